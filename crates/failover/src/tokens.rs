//! A budget for requests beyond the necessary: hedges and retries. Work done earns tokens, extra requests
//! spend them, so that help never becomes a storm.

use std::sync::atomic::{AtomicI64, Ordering};

/// Tokens in hundredths: a request earns `percent` of them, an extra request costs a hundred.
#[derive(Debug)]
pub(crate) struct TokenBudget {
    hundredths: AtomicI64,
    percent: i64,
}

/// Extra requests that may go out before any was earned: enough to see that a backend hangs.
const BURST: i64 = 20;
const ONE: i64 = 100;

impl TokenBudget {
    pub(crate) fn new(percent: u32) -> Self {
        let burst = if percent == 0 { 0 } else { BURST * ONE };
        Self { hundredths: AtomicI64::new(burst), percent: i64::from(percent) }
    }

    /// A request was made.
    pub(crate) fn earn(&self) {
        // Full most of the time: then this is one load, and no cache line is taken from another core.
        if self.hundredths.load(Ordering::Relaxed) < BURST * ONE {
            self.hundredths.fetch_add(self.percent, Ordering::Relaxed);
        }
    }

    /// Takes what an extra request costs, if it is there.
    pub(crate) fn spend(&self) -> bool {
        let take = |left: i64| (left >= ONE).then(|| left - ONE);
        self.hundredths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_requests_stay_within_the_burst_and_the_share() {
        let budget = TokenBudget::new(5);
        let spent = (0..10_000)
            .filter(|_| {
                budget.earn();
                budget.spend()
            })
            .count();
        assert!((500..=520).contains(&spent), "{spent}");
    }

    #[test]
    fn nothing_is_hedged_where_the_share_is_none() {
        assert!(!TokenBudget::new(0).spend());
    }
}
