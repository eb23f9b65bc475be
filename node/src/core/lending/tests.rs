//! Pauses come and go as they should, whatever is observed.

use super::*;
use proptest::prelude::*;

fn rules(idle_only: bool, hours: Option<&str>) -> LendingRules {
    LendingRules {
        idle_only,
        hours: hours.map(|text| text.parse().unwrap()),
    }
}

fn load(others_millicores: u32) -> Observation {
    Observation {
        load: Some(Load {
            others_millicores,
            cores: 8,
        }),
        ..Observation::default()
    }
}

/// Looks every two seconds; gives the state and the time after them.
fn run(state: State, now: &mut u64, looks: u32, seen: &Observation) -> State {
    let rules = rules(true, None);
    (0..looks).fold(state, |state, _| {
        *now += 2_000;
        state.observe(&rules, seen, *now)
    })
}

#[test]
fn others_pause_us_after_seconds_and_release_us_after_more() {
    let mut now = 1_000_000;
    let state = run(State::default(), &mut now, 5, &load(100));
    assert_eq!(verdict(None, &state, now), None);
    // One look of load, a compiler that starts, is no reason yet.
    let state = run(state, &mut now, 1, &load(3_000));
    assert_eq!(verdict(None, &state, now), None);
    let state = run(state, &mut now, 5, &load(3_000));
    let pause = verdict(None, &state, now).unwrap();
    assert_eq!((pause.reason, pause.until_ms), (Reason::Busy, None));
    let since = pause.since_ms;
    assert!(since < now);
    // Not calm enough: it stays, and remembers since when.
    let state = run(state, &mut now, 60, &load(1_200));
    assert_eq!(verdict(None, &state, now).unwrap().since_ms, since);
    let state = run(state, &mut now, 5, &load(0));
    assert!(verdict(None, &state, now).is_some(), "20 s of calm first");
    let state = run(state, &mut now, 15, &load(0));
    assert_eq!(verdict(None, &state, now), None);
}

#[test]
fn a_large_machine_notices_two_processors_and_a_small_one_a_fifth() {
    assert_eq!(busy_from_millicores(64), 2_000);
    assert_eq!(busy_from_millicores(2), 400);
    assert_eq!(busy_from_millicores(0), 200);
}

#[test]
fn hours_say_until_when_and_come_before_other_reasons() {
    let rules = rules(true, Some("22:00-07:00"));
    let seen = Observation {
        minute_of_day: Some(21 * 60),
        is_on_battery: true,
        ..Observation::default()
    };
    let now = 90_061_000;
    let state = State::default().observe(&rules, &seen, now);
    let pause = verdict(None, &state, now).unwrap();
    assert_eq!(pause.reason, Reason::Hours);
    assert_eq!(pause.until_ms, Some(90_060_000 + 3_600_000));
    let later = Observation {
        minute_of_day: Some(22 * 60),
        ..seen
    };
    let state = state.observe(&rules, &later, now + 3_600_000);
    let pause = verdict(None, &state, now + 3_600_000).unwrap();
    assert_eq!(pause.reason, Reason::Battery);
    assert_eq!(pause.since_ms, now + 3_600_000);
    let plugged = Observation {
        is_on_battery: false,
        ..later
    };
    let state = state.observe(&rules, &plugged, now + 3_602_000);
    assert_eq!(verdict(None, &state, now + 3_602_000), None);
}

#[test]
fn the_owner_comes_first_and_ends_when_said() {
    let by_hand = ByHand {
        reason: Some("a film".to_owned()),
        since_ms: 5,
        until_ms: Some(100),
    };
    let state = State::default();
    let pause = verdict(Some(&by_hand), &state, 99).unwrap();
    assert_eq!(pause.reason.to_string(), "paused by its owner: a film");
    assert_eq!((pause.since_ms, pause.until_ms), (5, Some(100)));
    assert_eq!(verdict(Some(&by_hand), &state, 100), None);
    let endless = ByHand {
        until_ms: None,
        ..by_hand
    };
    assert!(verdict(Some(&endless), &state, u64::MAX).is_some());
}

proptest! {
    /// Without a rule nothing that is observed pauses; with rules lending is
    /// never paused while it is calm, plugged in and within the hours for long.
    #[test]
    fn calm_always_resumes(
        looks in proptest::collection::vec((0_u32..9_000, any::<bool>(), 0_u16..1_440), 0..40),
    ) {
        let with = rules(true, Some("08:00-20:00"));
        let none = LendingRules::default();
        let (mut state, mut free, mut now) = (State::default(), State::default(), 1_000_000);
        for (others, is_on_battery, minute) in looks {
            now += 2_000;
            let seen = Observation { is_on_battery, minute_of_day: Some(minute), ..load(others) };
            state = state.observe(&with, &seen, now);
            free = free.observe(&none, &seen, now);
            prop_assert_eq!(verdict(None, &free, now), None);
            let is_open = (480..1_200).contains(&minute);
            let pause = verdict(None, &state, now);
            if !is_open || is_on_battery {
                prop_assert!(pause.is_some());
            }
            if let Some(pause) = pause {
                prop_assert!(pause.since_ms <= now);
                prop_assert!(pause.until_ms.is_none_or(|until| until > now));
            }
        }
        let calm = Observation { minute_of_day: Some(600), ..load(0) };
        for _ in 0..60 {
            now += 2_000;
            state = state.observe(&with, &calm, now);
        }
        prop_assert_eq!(verdict(None, &state, now), None);
    }
}
