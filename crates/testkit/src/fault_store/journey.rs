//! The way of one request: to the store, its effect there, and back, with whatever strikes it on the way.

use std::future::{Future, pending};

use object_store::{Result, path::Path};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::faults::{Fate, Faults};
use super::{Operation, Strike};

tokio::task_local! {
    /// When the request that has its effect now was sent: what is sent and what lands may be minutes apart.
    pub(crate) static SENT: Instant;
}

/// One request on its way.
#[derive(Clone)]
pub(super) struct Journey {
    pub(super) faults: Faults,
    pub(super) operation: Operation,
    pub(super) key: Path,
    pub(super) detached: bool,
}

impl Journey {
    /// Sends the request. `work` is its effect at the store and the answer.
    pub(super) async fn travel<T, W>(self, fate: &Fate, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let watch = self.faults.watcher();
        if let Some(watch) = &watch
            && !watch.request(self.operation, &self.key)
        {
            return pending().await;
        }
        let (operation, key) = (self.operation, self.key.clone());
        let work = SENT.scope(Instant::now(), work);
        let answer = if self.detached && operation.is_write() {
            self.detach(fate, work).await
        } else {
            carry_out(fate, &self.key, work).await
        };
        match (answer, &watch) {
            (Some(_), Some(watch)) if !watch.answer(operation, &key) => pending().await,
            (Some(answer), _) => answer,
            (None, _) => pending().await,
        }
    }

    /// Lets a task of its own do it, which goes on when nobody waits any more.
    async fn detach<T, W>(self, fate: &Fate, work: W) -> Option<Result<T>>
    where
        T: Send + 'static,
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let fate = Fate {
            strike: fate.strike.clone(),
            there: fate.there,
            back: fate.back,
            draw: fate.draw,
        };
        tokio::spawn(async move {
            if let Some(answer) = carry_out(&fate, &self.key, work).await {
                // The client may have left; the effect stays.
                let _ = sender.send(answer);
            }
        });
        receiver.await.ok()
    }
}

/// Carries a request out; `None` when no answer comes back.
async fn carry_out<T, W>(fate: &Fate, key: &Path, work: W) -> Option<Result<T>>
where
    T: Send + 'static,
    W: Future<Output = Result<T>> + Send + 'static,
{
    if !fate.there.is_zero() {
        sleep(fate.there).await;
    }
    let answer = match &fate.strike {
        Some(Strike::Fail(failure)) => Err(failure.error(key)),
        Some(Strike::FailAfter(failure)) => {
            let _ = work.await;
            Err(failure.error_in_spite(key))
        }
        Some(Strike::FailLate(failure, bound)) => {
            let delay = fate.moment(*bound);
            tokio::spawn(async move {
                sleep(delay).await;
                let _ = work.await;
            });
            Err(failure.error_in_spite(key))
        }
        Some(Strike::Delay(delay)) => {
            sleep(*delay).await;
            work.await
        }
        Some(Strike::Hang) => return None,
        Some(Strike::HangAfter) => {
            let _ = work.await;
            return None;
        }
        Some(Strike::Hold(gate)) => {
            gate.pass().await;
            work.await
        }
        Some(Strike::HoldAfter(gate)) => {
            let answer = work.await;
            gate.pass().await;
            answer
        }
        // The others strike the body.
        Some(_) | None => work.await,
    };
    if !fate.back.is_zero() {
        sleep(fate.back).await;
    }
    Some(answer)
}
