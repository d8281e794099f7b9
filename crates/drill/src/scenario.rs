//! The scenarios: what breaks when, as data. Who carries it out is a [`Breaker`](crate::Breaker).
//!
//! Times are shares of the load's length, so that a drill can be short or long. The two that follow
//! real outages keep the proportions of their public timelines:
//!
//! - 28 February 2017, after Amazon's "Summary of the Amazon S3 Service Disruption in the Northern
//!   Virginia (US-EAST-1) Region": from 9:37 PST the index subsystem is gone and nothing is served;
//!   from 12:26 GET, LIST and DELETE begin to be served again, and are back to normal at 13:18; PUT
//!   needs the placement subsystem too, which is back at 13:54.
//! - 20 October 2025, after Amazon's "Summary of the Amazon DynamoDB Service Disruption in the
//!   Northern Virginia (US-EAST-1) Region": from 23:48 PDT an endpoint has no address, until cached
//!   answers ran out at 2:40; what depends on it is throttled; from 5:30 health checks of load
//!   balancers flap, until their automatic failover is switched off at 9:36; connection errors go on
//!   until 14:09. It was not S3 that broke: the drill shows what happens to an application whose
//!   storage endpoint goes through the same.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// How the primary is broken.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Disturbance {
    /// Not at all.
    None,
    /// Connections are refused.
    Refuse,
    /// Connections are accepted, and nothing passes.
    BlackHole,
    /// Requests arrive and have their effect, and no answer comes back.
    Hang,
    /// Requests have their effect, and the connection is reset in place of the answer.
    LoseAnswers,
    /// Connections are reset in the middle of a body.
    CutBodies,
    /// Every answer comes this much later.
    Slow(Duration),
    /// These shares of the requests (0 to 1) are answered with 500 and 503.
    Errors {
        /// Of those that store something.
        puts: f64,
        /// Of all others: reads, listings and deletes.
        others: f64,
    },
    /// This share of the requests (0 to 1) is answered with 503 `SlowDown` and `Retry-After`.
    Throttle(f64),
    /// Every request is refused for who sends it: the token has expired, the key is not known.
    Credentials,
    /// Every request is answered with 403 `AccessDenied`.
    LockedOut,
    /// The host name does not resolve; open connections are reset.
    NoName,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: &f64| share * 100.0;
        match self {
            Self::None => f.write_str("healthy"),
            Self::Refuse => f.write_str("connections refused"),
            Self::BlackHole => f.write_str("black hole"),
            Self::Hang => f.write_str("no answers"),
            Self::LoseAnswers => f.write_str("answers lost"),
            Self::CutBodies => f.write_str("bodies cut off"),
            Self::Slow(delay) => write!(f, "{} ms slower", delay.as_millis()),
            Self::Errors { puts, others } => {
                write!(f, "{:.0} % of puts, {:.0} % of others fail", percent(puts), percent(others))
            }
            Self::Throttle(share) => write!(f, "{:.0} % 503 SlowDown", percent(share)),
            Self::Credentials => f.write_str("credentials not accepted"),
            Self::LockedOut => f.write_str("everything denied"),
            Self::NoName => f.write_str("name does not resolve"),
        }
    }
}

/// From when on the primary is broken in which way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Share of the load's length, 0 to 1.
    pub at: f64,
    /// What holds from then on.
    pub disturbance: Disturbance,
}

impl Step {
    const fn new(at: f64, disturbance: Disturbance) -> Self {
        Self { at, disturbance }
    }
}

/// What a drill goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "&'static str")]
#[non_exhaustive]
pub enum Scenario {
    /// The primary refuses connections.
    Refused,
    /// The primary accepts connections and is silent.
    BlackHole,
    /// The primary takes requests, does what they ask, and never answers.
    Hang,
    /// The primary resets connections: in place of answers first, in the middle of bodies then.
    Reset,
    /// The primary is alive and a hundred times slower.
    Slow,
    /// The primary answers everything with 500 or 503.
    Errors,
    /// The primary answers most with 503 `SlowDown`.
    Throttle,
    /// The primary does not accept the credentials any more.
    Credentials,
    /// The primary denies everything.
    LockedOut,
    /// The primary's host name does not resolve.
    Dns,
    /// The primary goes and comes every moment.
    Flap,
    /// The outage of Amazon S3 on 28 February 2017.
    Aws20170228,
    /// The outage of Amazon's us-east-1 on 20 October 2025.
    Aws20251020,
}

/// When an outage begins and ends: long enough before it to know what is normal, and after it to see
/// what comes back.
const BREAK: f64 = 0.25;
const HEAL: f64 = 0.65;

/// How much slower a slow primary is: some hundred times what loopback takes.
const BROWNOUT: Duration = Duration::from_millis(250);

/// How often a flapping primary changes.
const FLAPS: u32 = 8;

impl Scenario {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 13] = [
        Self::Refused,
        Self::BlackHole,
        Self::Hang,
        Self::Reset,
        Self::Slow,
        Self::Errors,
        Self::Throttle,
        Self::Credentials,
        Self::LockedOut,
        Self::Dns,
        Self::Flap,
        Self::Aws20170228,
        Self::Aws20251020,
    ];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::BlackHole => "blackhole",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::Slow => "slow",
            Self::Errors => "errors",
            Self::Throttle => "throttle",
            Self::Credentials => "credentials",
            Self::LockedOut => "locked-out",
            Self::Dns => "dns",
            Self::Flap => "flap",
            Self::Aws20170228 => "aws-2017-02-28",
            Self::Aws20251020 => "aws-2025-10-20",
        }
    }

    /// What happens to the primary, in order; the last step heals it.
    pub fn steps(self) -> Vec<Step> {
        let outage = |how| vec![Step::new(BREAK, how), Step::new(HEAL, Disturbance::None)];
        match self {
            Self::Refused => outage(Disturbance::Refuse),
            Self::BlackHole => outage(Disturbance::BlackHole),
            Self::Hang => outage(Disturbance::Hang),
            Self::Reset => vec![
                Step::new(BREAK, Disturbance::LoseAnswers),
                Step::new(f64::midpoint(BREAK, HEAL), Disturbance::CutBodies),
                Step::new(HEAL, Disturbance::None),
            ],
            Self::Slow => outage(Disturbance::Slow(BROWNOUT)),
            Self::Errors => outage(Disturbance::Errors { puts: 1.0, others: 1.0 }),
            Self::Throttle => outage(Disturbance::Throttle(0.8)),
            Self::Credentials => outage(Disturbance::Credentials),
            Self::LockedOut => outage(Disturbance::LockedOut),
            Self::Dns => outage(Disturbance::NoName),
            Self::Flap => flapping(BREAK, HEAL, FLAPS).collect(),
            Self::Aws20170228 => february_2017(),
            Self::Aws20251020 => october_2025(),
        }
    }
}

/// Gone and back so many times between two moments.
fn flapping(from: f64, to: f64, times: u32) -> impl Iterator<Item = Step> {
    let length = (to - from) / f64::from(times);
    (0..times).flat_map(move |number| {
        let gone = from + f64::from(number) * length;
        let back = gone + length / 2.0;
        [Step::new(gone, Disturbance::Refuse), Step::new(back, Disturbance::None)]
    })
}

/// Places the minutes of a real outage of a given length between two moments of the drill.
fn timeline(from: f64, to: f64, minutes: f64) -> impl Fn(f64) -> f64 {
    move |minute| from + (to - from) * minute / minutes
}

fn february_2017() -> Vec<Step> {
    // Minutes since 9:37 PST.
    let at = timeline(0.2, 0.75, 257.0);
    vec![
        Step::new(at(0.0), Disturbance::Errors { puts: 1.0, others: 1.0 }),
        Step::new(at(169.0), Disturbance::Errors { puts: 1.0, others: 0.5 }),
        Step::new(at(221.0), Disturbance::Errors { puts: 1.0, others: 0.0 }),
        Step::new(at(257.0), Disturbance::None),
    ]
}

fn october_2025() -> Vec<Step> {
    // Minutes since 23:48 PDT of the day before.
    let at = timeline(0.2, 0.8, 872.0);
    let mut steps = vec![
        Step::new(at(0.0), Disturbance::NoName),
        Step::new(at(172.0), Disturbance::Throttle(0.5)),
    ];
    steps.extend(flapping(at(342.0), at(588.0), 4));
    steps.push(Step::new(at(588.0), Disturbance::Errors { puts: 0.1, others: 0.1 }));
    steps.push(Step::new(at(861.0), Disturbance::None));
    steps
}

impl From<Scenario> for &'static str {
    fn from(scenario: Scenario) -> Self {
        scenario.name()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no scenario has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no scenario is called `{0}`")]
pub struct UnknownScenario(String);

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        let named = Self::ALL.into_iter().find(|scenario| scenario.name() == text);
        named.ok_or_else(|| UnknownScenario(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_breaks_in_order_within_the_load_and_ends_healed() {
        for scenario in Scenario::ALL {
            let steps = scenario.steps();
            assert!(steps.windows(2).all(|pair| pair[0].at < pair[1].at), "{scenario}: {steps:?}");
            assert!(steps.iter().all(|step| step.at > 0.1 && step.at < 0.9), "{scenario}");
            assert_ne!(steps[0].disturbance, Disturbance::None, "{scenario}");
            assert_eq!(steps[steps.len() - 1].disturbance, Disturbance::None, "{scenario}");
        }
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
        let error = Scenario::from_str("earthquake").unwrap_err().to_string();
        assert_eq!(error, "no scenario is called `earthquake`");
    }
}
