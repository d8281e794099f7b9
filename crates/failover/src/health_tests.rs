//! The rules of health, one by one and under any history.

use proptest::prelude::*;

use super::*;

fn rules() -> Rules {
    Rules {
        health: HealthSettings::default(),
        settling: Duration::from_secs(10),
        failback: Failback::Auto,
    }
}

/// A health that is told things at chosen times.
struct Told {
    health: Health,
    began: Instant,
    answers: u64,
}

impl Told {
    fn new() -> Self {
        let began = Instant::now();
        Self { health: Health::new(began), began, answers: 0 }
    }

    fn at(&mut self, millis: u64, evidence: Evidence) -> HealthState {
        let now = self.began + Duration::from_millis(millis);
        self.answers += u64::from(evidence == Evidence::Answered);
        self.health = self.health.after(evidence, now, &rules(), (self.answers, 0.5));
        self.health.state()
    }
}

const DOWN: Evidence = Evidence::Failed(Fault::Down, None);

#[test]
fn three_faults_in_a_row_eject_and_an_answer_between_them_does_not() {
    let mut told = Told::new();
    assert_eq!(told.at(0, DOWN), HealthState::Suspect);
    assert_eq!(told.at(1, DOWN), HealthState::Suspect);
    assert_eq!(told.at(2, Evidence::Answered), HealthState::Serving);
    told.at(3, DOWN);
    told.at(4, DOWN);
    assert_eq!(told.at(5, DOWN), HealthState::Ejected);
}

/// Hedges of requests that were under way when it was ejected win only then.
#[test]
fn one_that_failed_is_not_merely_slow_because_requests_are_saved_from_it_afterwards() {
    let mut told = Told::new();
    for at in 0..3 {
        told.at(at, DOWN);
    }
    for request in 0..20 {
        assert_eq!(told.at(3 + request * 100, Evidence::Outrun), HealthState::Ejected);
        assert!(!told.health.is_outrun(&rules()), "it does not answer if it is given the time");
    }
}

#[test]
fn one_fault_in_a_hundred_requests_never_ejects() {
    let mut told = Told::new();
    for request in 0..10_000 {
        let evidence = if request % 100 == 0 { DOWN } else { Evidence::Answered };
        assert_ne!(told.at(request, evidence), HealthState::Ejected, "request {request}");
    }
}

#[test]
fn half_of_all_requests_failing_ejects() {
    let mut told = Told::new();
    let ejected = (0..40).any(|request| {
        let evidence = if request % 2 == 0 { DOWN } else { Evidence::Answered };
        told.at(request, evidence) == HealthState::Ejected
    });
    assert!(ejected);
}

#[test]
fn throttling_is_pressure_and_not_death() {
    let mut told = Told::new();
    for millis in 0..100 {
        let throttled = Evidence::Failed(Fault::Throttled, Some(Duration::from_millis(500)));
        assert_eq!(told.at(millis, throttled), HealthState::Suspect);
    }
    assert_eq!(told.at(5_000, Evidence::Tick), HealthState::Serving);
}

#[test]
fn a_row_of_saved_requests_ejects_only_if_it_lasts() {
    let mut told = Told::new();
    for millis in 0..50 {
        assert_eq!(told.at(millis, Evidence::Outrun), HealthState::Serving, "our own pause");
    }
    told.at(51, Evidence::InTime);
    for millis in [100, 150, 200] {
        assert_eq!(told.at(millis, Evidence::Outrun), HealthState::Serving);
    }
    assert_eq!(told.at(350, Evidence::Outrun), HealthState::Ejected);
}

#[test]
fn one_that_was_only_outrun_is_told_from_one_that_fails() {
    let mut told = Told::new();
    for millis in [0, 100, 200, 300] {
        told.at(millis, Evidence::Outrun);
    }
    assert_eq!(told.health.state(), HealthState::Ejected);
    assert!(told.health.is_outrun(&rules()));
    told.at(1_000, Evidence::ProbeBegun);
    assert!(told.health.is_outrun(&rules()));
    told.at(1_500, Evidence::ProbeFailed);
    assert!(!told.health.is_outrun(&rules()));
}

#[test]
fn a_returned_backend_settles_before_reads_prefer_it_and_longer_after_a_relapse() {
    let mut told = Told::new();
    (0..3).for_each(|millis| {
        told.at(millis, DOWN);
    });
    assert_eq!(told.at(1_000, Evidence::ProbeBegun), HealthState::Probing);
    assert_eq!(told.at(1_001, Evidence::ProbeAnswered), HealthState::Suspect);
    assert!(told.health.is_settling());
    assert_eq!(told.at(10_000, Evidence::Answered), HealthState::Suspect);
    assert_eq!(told.at(11_002, Evidence::Tick), HealthState::Serving);
    // A relapse.
    (12_000..12_003).for_each(|millis| {
        told.at(millis, DOWN);
    });
    told.at(13_000, Evidence::ProbeBegun);
    told.at(13_001, Evidence::ProbeAnswered);
    assert_eq!(told.at(24_000, Evidence::Tick), HealthState::Suspect);
    assert_eq!(told.at(33_002, Evidence::Tick), HealthState::Serving);
}

#[test]
fn probes_back_off_to_the_longest_pause() {
    let mut told = Told::new();
    (0..3).for_each(|millis| {
        told.at(millis, DOWN);
    });
    for round in 0..10 {
        let now = 1_000 * (round + 1);
        told.at(now, Evidence::ProbeBegun);
        told.at(now, Evidence::ProbeFailed);
    }
    let next = told.health.probe_at().unwrap().duration_since(told.began);
    let longest = rules().health.probe_max;
    assert!(
        next > Duration::from_secs(10) && next <= Duration::from_secs(10) + longest,
        "{next:?}"
    );
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        Just(Evidence::Answered),
        Just(DOWN),
        Just(Evidence::Failed(Fault::Throttled, None)),
        Just(Evidence::Outrun),
        Just(Evidence::InTime),
        Just(Evidence::ProbeBegun),
        Just(Evidence::ProbeAnswered),
        Just(Evidence::ProbeFailed),
        Just(Evidence::FailBack),
        Just(Evidence::Tick),
    ]
}

proptest! {
    #[test]
    fn an_ejected_backend_always_has_a_next_probe(history in prop::collection::vec((evidence(), 0..5_000_u64), 0..200)) {
        let mut told = Told::new();
        let mut now = 0;
        for (evidence, pause) in history {
            now += pause;
            let state = told.at(now, evidence);
            prop_assert_eq!(state == HealthState::Ejected, told.health.probe_at().is_some());
        }
    }

    #[test]
    fn whatever_happened_a_healthy_backend_serves_again(history in prop::collection::vec((evidence(), 0..5_000_u64), 0..200)) {
        let mut told = Told::new();
        let mut now = 0;
        for (evidence, pause) in history {
            now += pause;
            told.at(now, evidence);
        }
        told.at(now, Evidence::ProbeBegun);
        told.at(now, Evidence::ProbeAnswered);
        told.at(now, Evidence::Answered);
        let settled = told.at(now + 81_000, Evidence::Tick);
        prop_assert_eq!(told.at(now + 81_001, Evidence::Answered), HealthState::Serving, "{:?}", settled);
    }
}
