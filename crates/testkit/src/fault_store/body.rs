//! Strikes on what is read: broken, stalled, truncated and corrupted bodies and listings.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{Attributes, Extensions, GetResult, GetResultPayload, Result, path::Path};
use tokio::time::sleep;

use super::faults::Fate;
use super::{Failure, Strike};

/// What happens when a position is reached.
#[derive(Clone, Copy)]
enum Then {
    Break(Failure),
    Stall,
    End,
    Flip,
}

fn planned(fate: &Fate, length: u64) -> Option<(u64, Then)> {
    let (at, then) = match &fate.strike {
        Some(Strike::Break(at, failure)) => (*at, Then::Break(*failure)),
        Some(Strike::Stall(at)) => (*at, Then::Stall),
        Some(Strike::Truncate(at)) => (*at, Then::End),
        Some(Strike::Corrupt(at)) => (*at, Then::Flip),
        _ => return None,
    };
    Some((fate.position(at, length), then))
}

/// Applies a strike to the body of an answer. Positions count from the beginning of what is sent.
pub(super) fn strike(answer: GetResult, fate: &Fate, key: &Path) -> GetResult {
    if let Some(Strike::Drip(pause)) = fate.strike {
        return with_body(answer, |body| drip(body, pause));
    }
    let length = answer.range.end - answer.range.start;
    let Some((at, then)) = planned(fate, length) else { return answer };
    with_body(answer, |body| struck(body, at, then, key.clone()))
}

type Body = BoxStream<'static, Result<Bytes>>;

fn with_body(answer: GetResult, change: impl FnOnce(Body) -> Body) -> GetResult {
    let GetResult { payload, meta, range, attributes, extensions } = answer;
    let (none, nothing) = (Attributes::new(), Extensions::new());
    let (about, of) = (meta.clone(), range.clone());
    let whole =
        GetResult { payload, meta: about, range: of, attributes: none, extensions: nothing };
    let body = change(whole.into_stream());
    GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes, extensions }
}

fn drip(body: Body, pause: Duration) -> Body {
    let late = move |piece| async move {
        sleep(pause).await;
        piece
    };
    body.then(late).boxed()
}

/// A body and how far it is from the place of a strike; `None` once that lies behind.
struct Struck {
    body: Body,
    left: Option<u64>,
    then: Then,
    key: Path,
}

fn struck(body: Body, at: u64, then: Then, key: Path) -> Body {
    let state = Struck { body, left: Some(at), then, key };
    let pieces =
        stream::unfold(state, |mut state| async move { Some((state.next().await?, state)) });
    pieces.fuse().boxed()
}

impl Struck {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        let Some(left) = self.left else { return self.body.next().await };
        let flips = matches!(self.then, Then::Flip);
        if left == 0 && !flips {
            self.left = None;
            self.body = stream::empty().boxed();
            return stop(self.then, &self.key).await;
        }
        let chunk = match self.body.next().await? {
            Ok(chunk) => chunk,
            Err(error) => return Some(Err(error)),
        };
        let length = chunk.len() as u64;
        if left > length || (flips && left == length) {
            self.left = Some(left - length);
            return Some(Ok(chunk));
        }
        let position = usize::try_from(left).unwrap_or(usize::MAX);
        if !flips {
            self.left = Some(0);
            return Some(Ok(chunk.slice(..position)));
        }
        self.left = None;
        let mut wrong = chunk.to_vec();
        if let Some(byte) = wrong.get_mut(position) {
            *byte ^= 0x20;
        }
        Some(Ok(wrong.into()))
    }
}

/// What comes at the place of a strike; `None` for the end.
async fn stop<T>(then: Then, key: &Path) -> Option<Result<T>> {
    match then {
        Then::Break(failure) => Some(Err(failure.error(key))),
        Then::Stall => std::future::pending().await,
        Then::End | Then::Flip => None,
    }
}

/// Applies a strike to ranges that were read at once. What is cut off is empty.
pub(super) async fn strike_ranges(
    ranges: Vec<Bytes>,
    fate: &Fate,
    key: &Path,
) -> Result<Vec<Bytes>> {
    let wanted = ranges.len();
    let length = ranges.iter().map(|range| range.len() as u64).sum();
    let whole = stream::iter(ranges).map(Ok).boxed();
    let whole = match (&fate.strike, planned(fate, length)) {
        (Some(Strike::Drip(pause)), _) => drip(whole, *pause),
        (_, Some((at, then))) => struck(whole, at, then, key.clone()),
        _ => return whole.try_collect().await,
    };
    let mut ranges: Vec<Bytes> = whole.try_collect().await?;
    ranges.resize(wanted, Bytes::new());
    Ok(ranges)
}

/// Applies a strike to a page of a listing.
pub(super) fn strike_page<T: Send + 'static>(
    page: Vec<T>,
    fate: &Fate,
    key: &Path,
) -> BoxStream<'static, Result<T>> {
    if let Some(Strike::Drip(pause)) = fate.strike {
        let late = move |entry| async move {
            sleep(pause).await;
            Ok(entry)
        };
        return stream::iter(page).then(late).boxed();
    }
    let Some((at, then)) = planned(fate, page.len() as u64) else {
        return stream::iter(page.into_iter().map(Ok)).boxed();
    };
    if matches!(then, Then::Flip) {
        return stream::iter(page.into_iter().map(Ok)).boxed();
    }
    let key = key.clone();
    let first = stream::iter(page).map(Ok).take(usize::try_from(at).unwrap_or(usize::MAX));
    let last = stream::once(async move { stop(then, &key).await });
    first.chain(last.filter_map(std::future::ready)).boxed()
}
