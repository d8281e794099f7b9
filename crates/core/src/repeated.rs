//! Requests that a store repeated by itself. One that had no clear answer may still land when its repetition has long
//! succeeded, over whatever was written since: who orders writes has to know of it.

use std::cell::Cell;

tokio::task_local! {
    static OPEN: Cell<bool>;
}

/// Runs a write, and says beside its result whether a request of it, repeated since, may still land.
///
/// The stores of Lifeboat tell ([`note`]); of a store that repeats requests without telling, nothing is known.
///
/// # Cancel safety
/// As safe as the write itself.
pub async fn watched<F: Future>(write: F) -> (F::Output, bool) {
    let watched = async {
        let output = write.await;
        (output, OPEN.with(Cell::get))
    };
    OPEN.scope(Cell::new(false), watched).await
}

/// A request of the running write had no clear answer. For stores that repeat such requests; in the task that runs the write.
pub fn note() {
    // Nobody may be watching.
    let _ = OPEN.try_with(|open| open.set(true));
}
