//! A model of racing tasks: the shipped program over a small store, with every call to the store a step of its own, and
//! a schedule that says whose step comes next. Short scenarios are explored in every order, longer ones at random.

mod model;
mod schedule;

use model::{Flaw, Scenario, Tools};
use schedule::Random;

const A_LATE_EVENT: Scenario =
    Scenario { sizes: "1", uploads: &[1, 2], made_of: None, late_events: 1, flaw: Flaw::None };
const CHANGED_AND_CHANGED_BACK: Scenario =
    Scenario { sizes: "1", uploads: &[1, 2, 1], made_of: Some(1), late_events: 0, flaw: Flaw::None };

#[test]
fn in_every_order_of_two_tasks_the_outputs_end_as_those_of_the_newest_source() {
    let scenarios = [
        ("a late event", A_LATE_EVENT),
        ("over an old output", Scenario { made_of: Some(9), ..A_LATE_EVENT }),
        ("the same event twice", Scenario { uploads: &[1], late_events: 2, ..A_LATE_EVENT }),
        ("changed and changed back", CHANGED_AND_CHANGED_BACK),
        ("without conditional writes", Scenario { flaw: Flaw::KnowsNoConditions, ..A_LATE_EVENT }),
        ("without the right to list", Scenario { flaw: Flaw::DeniesAbsence, ..A_LATE_EVENT }),
        (
            "twice without the right to list",
            Scenario { uploads: &[1], late_events: 2, flaw: Flaw::DeniesAbsence, ..A_LATE_EVENT },
        ),
    ];
    for (name, scenario) in scenarios {
        let (orders, wrong) = scenario.explore();
        println!("{name}: {orders} orders");
        assert_eq!(wrong, None, "{name}");
    }
}

#[test]
#[ignore = "804,068 orders take seven minutes: make chaos"]
fn in_every_order_of_two_tasks_with_two_sizes_the_outputs_end_as_those_of_the_newest_source() {
    let (orders, wrong) = Scenario { sizes: "1,2", ..A_LATE_EVENT }.explore();
    println!("{orders} orders");
    assert_eq!(wrong, None);
}

#[test]
fn in_random_orders_of_three_tasks_with_two_sizes_the_outputs_end_as_those_of_the_newest_source() {
    let scenarios = [
        ("late and twice", Scenario { sizes: "1,2", uploads: &[1, 2], late_events: 2, ..A_LATE_EVENT }),
        ("three versions", Scenario { sizes: "1,2", uploads: &[1, 2, 3], made_of: Some(9), ..A_LATE_EVENT }),
        ("back and forth", Scenario { sizes: "1,2", uploads: &[1, 2, 1, 2], ..CHANGED_AND_CHANGED_BACK }),
    ];
    // The orders repeat: each has its number as its seed.
    for (name, scenario) in scenarios {
        let tools = Tools::new(scenario.sizes);
        for seed in 0..1500 {
            let wrong = scenario.play(&tools, &mut Random(fastrand::Rng::with_seed(seed)));
            assert_eq!(wrong, None, "{name}, order {seed}");
        }
    }
}

#[test]
fn the_model_notices_a_store_that_writes_unconditionally() {
    let (orders, wrong) = Scenario { flaw: Flaw::IgnoresConditions, ..A_LATE_EVENT }.explore();
    assert!(wrong.is_some(), "{orders} orders, and nothing is wrong");
}

#[test]
fn the_model_notices_if_a_replaced_output_is_not_looked_at_again() {
    let (orders, wrong) = Scenario { flaw: Flaw::HidesReplacements, ..CHANGED_AND_CHANGED_BACK }.explore();
    assert!(wrong.is_some(), "{orders} orders, and nothing is wrong");
}
