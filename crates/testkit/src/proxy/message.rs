//! Where messages and their bodies begin and end in one direction of an HTTP/1.1 connection, followed byte by byte,
//! so that a fault can strike at an offset of a body whatever the headers are. Nothing is changed here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest head that is looked at; a longer one ends the following, and no more offsets are found.
const LONGEST_HEAD: usize = 64 << 10;

/// The methods of the requests whose responses are still to come: `true` for `HEAD`, whose response has no body.
pub(super) type Methods = Arc<Mutex<VecDeque<bool>>>;

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    /// This much body is still to come.
    Body(u64),
    /// In the line before a chunk.
    ChunkSize(Vec<u8>),
    /// This much of a chunk is still to come, its line end included.
    Chunk(u64),
    /// In the lines after the last chunk.
    Trailer(Vec<u8>),
    /// A body without an end, or something that is not HTTP/1.1.
    Endless,
}

/// Follows one direction.
#[derive(Debug)]
pub(super) struct Follower {
    state: State,
    methods: Methods,
    response: bool,
    /// How much of the current body has passed.
    offset: u64,
}

/// What a piece of the stream holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Where in the piece a message begins.
    pub(super) start: Option<usize>,
    /// Where in the piece the body byte is that was asked for.
    pub(super) byte: Option<usize>,
}

impl Follower {
    pub(super) fn requests(methods: Methods) -> Self {
        Self { state: State::Head(Vec::new()), methods, response: false, offset: 0 }
    }

    pub(super) fn responses(methods: Methods) -> Self {
        Self { response: true, ..Self::requests(methods) }
    }

    /// Goes over the next piece, looking for the first body byte at `wanted` in any message.
    pub(super) fn follow(&mut self, piece: &[u8], wanted: u64) -> Found {
        let mut found = Found::default();
        let mut at = 0;
        while at < piece.len() {
            if let State::Head(head) = &self.state
                && head.is_empty()
            {
                found.start.get_or_insert(at);
            }
            if self.in_body() {
                let skip = wanted.checked_sub(self.offset).and_then(|n| usize::try_from(n).ok());
                let run = self.run(piece.len() - at);
                if let Some(skip) = skip.filter(|skip| *skip < self.data(run)) {
                    found.byte.get_or_insert(at + skip);
                }
                self.pass(run);
                at += run;
            } else {
                self.take(piece[at]);
                at += 1;
            }
        }
        found
    }

    fn in_body(&self) -> bool {
        matches!(self.state, State::Body(_) | State::Chunk(_) | State::Endless)
    }

    /// How much of `available` belongs to the current run of body bytes.
    fn run(&self, available: usize) -> usize {
        match self.state {
            State::Body(left) | State::Chunk(left) => {
                usize::try_from(left).map_or(available, |left| left.min(available))
            }
            _ => available,
        }
    }

    /// How much of a run is data: a chunk ends with two bytes that are not.
    fn data(&self, run: usize) -> usize {
        match self.state {
            State::Chunk(left) => {
                usize::try_from(left.saturating_sub(2)).map_or(run, |data| data.min(run))
            }
            _ => run,
        }
    }

    fn pass(&mut self, run: usize) {
        self.offset += self.data(run) as u64;
        match &mut self.state {
            State::Body(left) | State::Chunk(left) => *left -= run as u64,
            _ => {}
        }
        match self.state {
            State::Body(0) => self.next_message(),
            State::Chunk(0) => self.state = State::ChunkSize(Vec::new()),
            _ => {}
        }
    }

    fn next_message(&mut self) {
        self.offset = 0;
        self.state = State::Head(Vec::new());
    }

    /// Takes a byte that is not body.
    fn take(&mut self, byte: u8) {
        let (State::Head(text) | State::ChunkSize(text) | State::Trailer(text)) = &mut self.state
        else {
            return;
        };
        text.push(byte);
        if text.len() > LONGEST_HEAD {
            self.state = State::Endless;
        } else if byte == b'\n' {
            self.line_ended();
        }
    }

    fn line_ended(&mut self) {
        match &self.state {
            State::Head(head) if head.ends_with(b"\r\n\r\n") => {
                let head = String::from_utf8_lossy(head).to_lowercase();
                self.head_ended(&head);
            }
            State::ChunkSize(line) => {
                let line = String::from_utf8_lossy(line);
                let size = line.split([';', '\r']).next().unwrap_or_default();
                self.state = match u64::from_str_radix(size.trim(), 16) {
                    Ok(0) => State::Trailer(b"\r\n".to_vec()),
                    Ok(size) => State::Chunk(size + 2),
                    Err(_) => State::Endless,
                };
            }
            State::Trailer(text) if text.ends_with(b"\r\n\r\n") => self.next_message(),
            _ => {}
        }
    }

    /// Decides what follows a head, which is in lower case.
    fn head_ended(&mut self, head: &str) {
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(known, _)| *known == name).map(|(_, value)| value.trim())
        };
        let mut bodiless = false;
        let mut methods = self.methods.lock().unwrap_or_else(PoisonError::into_inner);
        if self.response {
            let status = head.split(' ').nth(1).unwrap_or_default();
            let interim = status.starts_with('1');
            let to_head = !interim && methods.pop_front().unwrap_or_default();
            bodiless = interim || to_head || matches!(status, "204" | "304");
        } else {
            methods.push_back(head.starts_with("head "));
        }
        drop(methods);
        self.offset = 0;
        let length = field("content-length").and_then(|length| length.parse().ok());
        let chunked = field("transfer-encoding").is_some_and(|value| value.ends_with("chunked"));
        self.state = match length {
            _ if bodiless => State::Head(Vec::new()),
            _ if chunked => State::ChunkSize(Vec::new()),
            Some(0) => State::Head(Vec::new()),
            Some(length) => State::Body(length),
            None if self.response => State::Endless,
            None => State::Head(Vec::new()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows some text byte by byte and in one piece; both must find the same.
    fn find(response: bool, heads: &[bool], text: &str, wanted: u64) -> Vec<usize> {
        let methods = || Arc::new(Mutex::new(heads.iter().copied().collect()));
        let follower = |methods| {
            if response { Follower::responses(methods) } else { Follower::requests(methods) }
        };
        let mut single = follower(methods());
        let found: Vec<usize> = (0..text.len())
            .filter(|at| single.follow(&text.as_bytes()[*at..=*at], wanted).byte.is_some())
            .collect();
        let whole = follower(methods()).follow(text.as_bytes(), wanted).byte;
        assert_eq!(whole, found.first().copied());
        found
    }

    #[test]
    fn body_bytes_are_found_in_every_message_of_a_connection() {
        let text = "PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n\
                    PUT /c HTTP/1.1\r\ncontent-length:4\r\n\r\ndefg";
        let letters: String = find(false, &[], text, 2)
            .into_iter()
            .map(|at| char::from(text.as_bytes()[at]))
            .collect();
        assert_eq!(letters, "cf");
        assert_eq!(find(false, &[], text, 4), Vec::<usize>::new());
    }

    #[test]
    fn chunk_framing_is_not_body() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n\
                    HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nvwxyz";
        let at = |wanted| -> String {
            let found = find(true, &[], text, wanted);
            found.into_iter().map(|at| char::from(text.as_bytes()[at])).collect()
        };
        assert_eq!((at(0).as_str(), at(3).as_str(), at(4).as_str()), ("av", "dy", "ez"));
    }

    #[test]
    fn responses_to_head_and_interim_responses_have_no_body() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                    HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let found = find(true, &[true, false], text, 0);
        assert_eq!(found, [text.len() - 2]);
    }
}
