//! A model of racing tasks: the shipped program over a small store, with every call to the store a step of its own, and
//! a schedule that says whose step comes next. Short scenarios are explored in every order, longer ones at random.

mod model;
mod schedule;

use model::{Flaw, Scenario, Tools};
use schedule::Random;

const A_LATE_EVENT: Scenario = Scenario {
    sizes: "1",
    uploads: &[1, 2],
    made_of: None,
    late_events: 1,
    deletions: 0,
    collide: false,
    flaw: Flaw::None,
};
const THE_SAME_EVENT_TWICE: Scenario = Scenario { uploads: &[1], late_events: 2, ..A_LATE_EVENT };
const CHANGED_AND_CHANGED_BACK: Scenario =
    Scenario { uploads: &[1, 2, 1], made_of: Some(1), late_events: 0, ..A_LATE_EVENT };

#[test]
fn in_every_order_of_two_tasks_the_outputs_end_as_those_of_the_newest_source() {
    let scenarios = [
        ("a late event", A_LATE_EVENT),
        ("over an old output", Scenario { made_of: Some(9), ..A_LATE_EVENT }),
        ("the same event twice", THE_SAME_EVENT_TWICE),
        ("changed and changed back", CHANGED_AND_CHANGED_BACK),
        ("a store that ignores conditions", Scenario { flaw: Flaw::IgnoresConditions, ..A_LATE_EVENT }),
        ("without the right to list", Scenario { flaw: Flaw::DeniesAbsence, ..A_LATE_EVENT }),
        ("twice without the right to list", Scenario { flaw: Flaw::DeniesAbsence, ..THE_SAME_EVENT_TWICE }),
        ("a source without an ETag", Scenario { flaw: Flaw::HasNoEtags, ..A_LATE_EVENT }),
    ];
    for (name, scenario) in scenarios {
        let (orders, wrong) = scenario.explore();
        println!("{name}: {orders} orders");
        assert_eq!(wrong, None, "{name}");
    }
}

#[test]
fn in_every_order_of_two_sources_of_one_output_one_is_refused() {
    let (orders, wrong) = Scenario { collide: true, ..THE_SAME_EVENT_TWICE }.explore();
    println!("{orders} orders");
    assert_eq!(wrong, None);
}

/// Scenarios with too many orders to try all of them.
const LONG_SCENARIOS: [(&str, Scenario); 6] = [
    ("a late event, two sizes", Scenario { sizes: "1,2", ..A_LATE_EVENT }),
    ("late and twice", Scenario { sizes: "1,2", late_events: 2, ..A_LATE_EVENT }),
    ("three versions", Scenario { sizes: "1,2", uploads: &[1, 2, 3], made_of: Some(9), ..A_LATE_EVENT }),
    ("back and forth", Scenario { sizes: "1,2", uploads: &[1, 2, 1, 2], ..CHANGED_AND_CHANGED_BACK }),
    ("outputs that are deleted meanwhile", Scenario { sizes: "1,2", deletions: 2, ..A_LATE_EVENT }),
    ("old outputs that are deleted meanwhile", Scenario { made_of: Some(9), deletions: 2, ..A_LATE_EVENT }),
];

#[test]
fn in_random_orders_of_up_to_three_tasks_the_outputs_end_as_those_of_the_newest_source() {
    play_random_orders(1000);
}

#[test]
#[ignore = "it takes ten minutes: make chaos"]
fn in_very_many_random_orders_the_outputs_end_as_those_of_the_newest_source() {
    play_random_orders(100_000);
}

/// The orders repeat: each has its number as its seed.
fn play_random_orders(orders: u64) {
    for (name, scenario) in LONG_SCENARIOS {
        let tools = Tools::new(scenario.sizes);
        for seed in 0..orders {
            let wrong = scenario.play(&tools, &mut Random(fastrand::Rng::with_seed(seed)));
            assert_eq!(wrong, None, "{name}, order {seed}");
        }
    }
}

#[test]
fn the_model_notices_if_the_source_is_not_looked_at_after_a_write() {
    let (orders, wrong) = Scenario { flaw: Flaw::HidesChangesAfterWrites, ..A_LATE_EVENT }.explore();
    assert!(wrong.is_some(), "{orders} orders, and nothing is wrong");
}
