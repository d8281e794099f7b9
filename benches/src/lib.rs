//! Paired measurement: two subjects, one server, one run.
//!
//! Shared machines drift, so neither subject is measured alone. Rounds alternate between them
//! (A B, B A, A B, …), and what is reported is the median of the ratios of neighbours, with the
//! quartiles that say how far to trust it.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;

/// One subject's way to do the operation once.
pub type Operation<'a> = Box<dyn Fn() -> BoxFuture<'a, ()> + 'a>;

/// What came out of a paired measurement.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// Median time of one operation of the first subject.
    pub first: Duration,
    /// Median time of one operation of the second subject.
    pub second: Duration,
    /// Quartiles of second / first: lower, median, upper.
    pub ratio: [f64; 3],
}

/// Measures `rounds` pairs, each of `batch` operations of either subject, after one warm-up round.
pub async fn paired(
    first: Operation<'_>,
    second: Operation<'_>,
    rounds: usize,
    batch: usize,
) -> Pair {
    let (mut firsts, mut seconds, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (a, b) = if round % 2 == 0 {
            let a = timed(&first, batch).await;
            (a, timed(&second, batch).await)
        } else {
            let b = timed(&second, batch).await;
            (timed(&first, batch).await, b)
        };
        if round > 0 {
            firsts.push(a);
            seconds.push(b);
            ratios.push(b / a);
        }
    }
    Pair {
        first: Duration::from_secs_f64(quantile(&mut firsts, 0.5)),
        second: Duration::from_secs_f64(quantile(&mut seconds, 0.5)),
        ratio: [0.25, 0.5, 0.75].map(|at| quantile(&mut ratios, at)),
    }
}

/// Seconds of one operation, over a batch.
async fn timed(operation: &Operation<'_>, batch: usize) -> f64 {
    let started = Instant::now();
    for _ in 0..batch {
        operation().await;
    }
    #[allow(clippy::cast_precision_loss, reason = "batches are small numbers")]
    let batch = batch as f64;
    started.elapsed().as_secs_f64() / batch
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a short list"
    )]
    let index = ((values.len() - 1) as f64 * at).round() as usize;
    values[index]
}
