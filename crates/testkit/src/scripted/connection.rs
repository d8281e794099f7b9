//! One connection of a scripted server: requests are read in full, each is answered in the manner of its reply.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::reply::{Manner, Reply};
use super::{Request, Shared};

/// The longest line of a request's head, and of a chunk's.
const LONGEST_LINE: u64 = 64 << 10;

/// The largest body that is read; a script has no use for more.
const LARGEST_BODY: u64 = 256 << 20;

/// What becomes of a connection after a reply.
enum Next {
    Request,
    Close,
    Reset,
}

type Connection = BufReader<TcpStream>;

/// Serves a connection until one side ends it.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = read_request(&mut stream).await {
        let to_head = request.method == "HEAD";
        let last = request.header("connection").is_some_and(|value| value == "close");
        let reply = shared.answer(request);
        match give(&mut stream, &reply, to_head).await {
            Ok(Next::Request) if !last => {}
            Ok(Next::Reset) => {
                // On failure the connection ends with a FIN, which is all that is left to do.
                let _ = stream.get_ref().set_zero_linger();
                return;
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// Reads a request; `None` when the client closed the connection instead.
async fn read_request(stream: &mut Connection) -> Result<Option<Request>> {
    let first = read_line(stream).await?;
    if first.is_empty() {
        return Ok(None);
    }
    let mut words = first.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, target, headers, body: Bytes::new() };
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let chunked = request.header("transfer-encoding").is_some_and(|value| value == "chunked");
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    request.body = match (chunked, length) {
        (true, _) => read_chunks(stream).await?,
        (false, Some(length)) => read_body(stream, length).await?,
        (false, None) => Bytes::new(),
    };
    Ok(Some(request))
}

/// Reads a line without its end; empty at the end of the stream, too.
async fn read_line(stream: &mut Connection) -> Result<String> {
    let mut line = Vec::new();
    stream.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

async fn read_body(stream: &mut Connection, length: u64) -> Result<Bytes> {
    if length > LARGEST_BODY {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).await?;
    if body.len() as u64 == length { Ok(body.into()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

async fn read_chunks(stream: &mut Connection) -> Result<Bytes> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream).await?;
        let size = line.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(Error::other)?;
        body.extend_from_slice(&read_body(stream, size).await?);
        if body.len() as u64 > LARGEST_BODY {
            return Err(ErrorKind::FileTooLarge.into());
        }
        // The line end of a chunk; after the last one the trailers and an empty line.
        while !read_line(stream).await?.is_empty() {}
        if size == 0 {
            return Ok(body.into());
        }
    }
}

/// Gives a reply in its manner.
async fn give(stream: &mut Connection, reply: &Reply, to_head: bool) -> Result<Next> {
    match reply.manner {
        Manner::Silence => return wait_for_the_end(stream).await,
        Manner::HangUp => return Ok(Next::Close),
        Manner::Reset => return Ok(Next::Reset),
        _ => {}
    }
    tokio::time::sleep(reply.delay).await;
    stream.write_all(head(reply).as_bytes()).await?;
    let body = if to_head { &[][..] } else { &reply.body[..] };
    let upto = |bytes: usize| &body[..bytes.min(body.len())];
    match reply.manner {
        Manner::ResetAfter(bytes) => {
            stream.write_all(upto(bytes)).await?;
            stream.flush().await?;
            Ok(Next::Reset)
        }
        Manner::StallAfter(bytes) => {
            stream.write_all(upto(bytes)).await?;
            stream.flush().await?;
            wait_for_the_end(stream).await
        }
        Manner::Drip(pause) => {
            for byte in body {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
            Ok(Next::Request)
        }
        Manner::Truncated(_) => {
            stream.write_all(body).await?;
            stream.shutdown().await?;
            Ok(Next::Close)
        }
        _ => {
            stream.write_all(body).await?;
            stream.flush().await?;
            Ok(Next::Request)
        }
    }
}

/// Keeps a connection open until the client gives up.
async fn wait_for_the_end(stream: &mut Connection) -> Result<Next> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(Next::Close)
}

fn head(reply: &Reply) -> String {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let told = |name: &str| reply.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let bodiless = matches!(reply.status, 100..200 | 204 | 304);
    if !told("content-length") && !told("transfer-encoding") && !bodiless {
        let missing = if let Manner::Truncated(missing) = reply.manner { missing } else { 0 };
        let length = (reply.body.len() + missing).to_string();
        head.extend(["content-length: ", &length, "\r\n"]);
    }
    head.push_str("\r\n");
    head
}
