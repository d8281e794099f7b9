//! Ctrl-C: what is being copied ends in order, so that no unfinished upload is left behind. The
//! signal reaches a copy through its source, whose bodies and listings end with an error; the copy
//! then aborts its uploads as after any other failure.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use lifeboat::{BlobStore, Error, ErrorKind, forward_blob_store, forward_object_store};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectMeta, Result};
use tokio::sync::watch;

use crate::exit::Exit;
use crate::output::Output;

/// What aborting uploads may take after Ctrl-C: one round trip per upload, or the stall deadline of
/// a part on its way (10 s).
const GRACE: Duration = Duration::from_secs(12);

/// Whether the user has pressed Ctrl-C.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens for Ctrl-C (and SIGTERM); the second one ends the process at once.
    pub(crate) fn listen() -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signal().await;
            // Without receivers the process is about to end anyway.
            let _ = sender.send(true);
            signal().await;
            std::process::exit(i32::from(Exit::Interrupted as u8));
        });
        Self(receiver)
    }

    /// Whether it has happened.
    pub(crate) fn happened(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for it.
    pub(crate) async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|happened| *happened).await.is_err() {
            // Nobody is left who could press it.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for it, and then for what is being tidied up, within a bound.
    pub(crate) async fn wait_and_tidy(&self, output: Output) {
        self.wait().await;
        output.note("interrupted: tidying up, press again to stop at once");
        tokio::time::sleep(GRACE).await;
    }

    /// Passes items on until it happens, then ends with an error.
    fn guard<T: Send + 'static>(
        &self,
        items: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let state = Some((items, self.clone()));
        stream::unfold(state, |state| async {
            let (mut items, interrupt) = state?;
            tokio::select! {
                biased;
                () = interrupt.wait() => Some((Err(interrupted()), None)),
                item = items.next() => Some((item?, Some((items, interrupt)))),
            }
        })
        .boxed()
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return control_c().await;
    };
    tokio::select! {
        () = control_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    control_c().await;
}

async fn control_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        // It cannot be listened for: the system ends the process by itself.
        std::future::pending::<()>().await;
    }
}

fn interrupted() -> object_store::Error {
    Error::new(ErrorKind::Local, "interrupted").into()
}

/// A store whose bodies and listings end with an error once the user presses Ctrl-C.
pub(crate) struct Interruptible {
    inner: Arc<dyn BlobStore>,
    interrupt: Interrupt,
    only: Option<ObjectMeta>,
}

impl Interruptible {
    pub(crate) fn new(inner: Arc<dyn BlobStore>, interrupt: Interrupt) -> Self {
        Self { inner, interrupt, only: None }
    }

    /// Lists this object, and nothing else: what is done to a tree can be done to one object.
    pub(crate) fn listing_only(mut self, object: ObjectMeta) -> Self {
        self.only = Some(object);
        self
    }
}

impl fmt::Debug for Interruptible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interruptible").field(&self.inner).finish()
    }
}

impl fmt::Display for Interruptible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

forward_object_store! {
    Interruptible => inner:
    put_opts put_multipart_opts get_ranges delete_stream list_with_delimiter copy_opts rename_opts;

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = tokio::select! {
            biased;
            () = self.interrupt.wait() => return Err(interrupted()),
            result = self.inner.get_opts(location, options) => result?,
        };
        let nothing = GetResultPayload::Stream(stream::empty().boxed());
        let payload = std::mem::replace(&mut result.payload, nothing);
        let body = GetResult {
            payload,
            meta: result.meta.clone(),
            range: result.range.clone(),
            attributes: result.attributes.clone(),
            extensions: result.extensions.clone(),
        };
        result.payload = GetResultPayload::Stream(self.interrupt.guard(body.into_stream()));
        Ok(result)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = match &self.only {
            Some(object) => stream::iter([Ok(object.clone())]).boxed(),
            None => self.inner.list(prefix),
        };
        self.interrupt.guard(listing)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.interrupt.guard(self.inner.list_with_offset(prefix, offset))
    }
}

forward_blob_store!([] Interruptible, this => this.inner);

#[cfg(test)]
mod tests {
    use lifeboat::{AnyStore, Identity};
    use object_store::memory::InMemory;
    use object_store::{ObjectStore, ObjectStoreExt};

    use super::*;

    #[tokio::test]
    async fn body_and_listing_end_with_an_error_once_it_happens() {
        let inner = AnyStore::new(InMemory::new(), Identity::new("memory", "", "a"));
        inner.put(&"k".into(), "value".into()).await.unwrap();
        let (sender, receiver) = watch::channel(false);
        let store = Interruptible::new(Arc::new(inner), Interrupt(receiver));
        assert_eq!(store.get(&"k".into()).await.unwrap().bytes().await.unwrap(), "value");

        let body = store.get(&"k".into()).await.unwrap();
        sender.send(true).unwrap();
        assert!(body.bytes().await.is_err());
        assert!(store.get(&"k".into()).await.is_err());
        let listed: Vec<_> = store.list(None).collect().await;
        assert!(matches!(&*listed, [Err(_)]), "{listed:?}");
    }
}
