//! Two operators who change the same thing at once: one of them is heard, the other is told what was ordered
//! meanwhile, and nothing is lost.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::operator::Operator;

use crate::support::{add_web, fleet_with_deployment, greet};

const ROUNDS: usize = 40;
const NAMES: [&str; 2] = ["ann", "bob"];

/// Two operators with tokens of their own, as [`NAMES`] are called.
fn two_operators(fleet: &TestFleet) -> [Operator; 2] {
    NAMES.map(|name| {
        let operator = json!({"name": name, "role": "operator"});
        let added = fleet.operator().send("POST", "/operators", Some(&operator)).expect(201).json();
        let token = added["token"].as_str().expect("a token is text").to_owned();
        Operator::new(fleet.http(), token)
    })
}

/// Both send their request in the same moment.
fn at_once(
    operators: &[Operator; 2],
    send: impl Fn(usize, &Operator) -> Answer + Sync,
) -> [Answer; 2] {
    let (start, send) = (Barrier::new(2), &send);
    thread::scope(|scope| {
        let threads = [0, 1].map(|number| {
            let (start, operator) = (&start, &operators[number]);
            scope.spawn(move || {
                start.wait();
                send(number, operator)
            })
        });
        threads.map(|it| it.join().expect("a request gets an answer"))
    })
}

/// The number of the one that was heard; the other one was told of an order.
#[track_caller]
fn winner(answers: &[Answer; 2], good: u16) -> usize {
    let statuses = [answers[0].status, answers[1].status];
    let winner = usize::from(statuses[0] != good);
    let mut expected = [409; 2];
    expected[winner] = good;
    assert_eq!(statuses, expected, "{}\n{}", answers[0].text(), answers[1].text());
    winner
}

fn get(fleet: &TestFleet, deployment: &str) -> Value {
    fleet.operator().get(&format!("/deployments/{deployment}"))
}

fn update(operator: &Operator, deployment: &str, seen: &Value, greeting: &str) -> Answer {
    let update = json!({"orderedEvent": seen, "parameters": {"greeting": greeting},
        "reason": format!("{greeting} is better")});
    operator.send("PATCH", &format!("/deployments/{deployment}"), Some(&update))
}

fn withdraw(operator: &Operator, deployment: &str, seen: &Value) -> Answer {
    operator.send("DELETE", &format!("/deployments/{deployment}?orderedEvent={seen}"), None)
}

fn roll_back(operator: &Operator, client: &TestClient, order: &Value) -> Answer {
    operator.send("POST", &format!("/clients/{}/rollback", client.id()), Some(order))
}

#[test]
fn of_two_changes_at_once_one_is_made_and_the_other_one_is_told_of_it() {
    let (fleet, _press, web) = fleet_with_deployment();
    let operators = two_operators(&fleet);
    let mut winners = Vec::new();
    for round in 0..ROUNDS {
        let seen = get(&fleet, &web)["orderedEvent"].clone();
        let before = get(&fleet, &web)["parameters"].get("greeting").cloned();
        let greeting = |number: usize| format!("{} {round}", NAMES[number]);
        let answers = at_once(&operators, |number, it| update(it, &web, &seen, &greeting(number)));
        let winner = winner(&answers, 200);
        let now = get(&fleet, &web);
        assert_eq!(now["parameters"]["greeting"], greeting(winner));

        let refused = answers[1 - winner].clone();
        let refused = refused.expect_problem(409, "about:blank", "ordered meanwhile").json();
        assert_eq!(refused["present"], now["orderedEvent"]);
        let meanwhile = refused["meanwhile"].as_array().expect("a list of orders");
        let [order] = meanwhile.as_slice() else { panic!("one order came first: {refused}") };
        assert_eq!((&order["by"], &order["what"]), (&json!(NAMES[winner]), &json!("updated")));
        assert_eq!(order["at"], now["orderedAt"]);
        assert_eq!(order["reason"], format!("{} is better", greeting(winner)));
        let mut change = json!({"name": "greeting", "after": greeting(winner)});
        if let Some(before) = before {
            change["before"] = before;
        }
        assert_eq!(order["parameters"], json!([change]));
        winners.push(NAMES[winner]);
    }
    // Nothing was lost, and nothing was made twice.
    let events = fleet.operator().get(&format!("/deployments/{web}/events"));
    let events = events["items"].as_array().expect("a list of events").iter();
    let updates = events.filter(|it| it["what"] == "updated").filter_map(|it| it["by"].as_str());
    assert_eq!(updates.collect::<Vec<_>>(), winners);
}

#[test]
fn who_is_told_of_another_order_can_give_his_own_on_top_of_it() {
    let (fleet, _press, web) = fleet_with_deployment();
    let [ann, bob] = two_operators(&fleet);
    let seen = get(&fleet, &web)["orderedEvent"].clone();
    update(&ann, &web, &seen, "Hello").expect(200);
    update(&ann, &web, &get(&fleet, &web)["orderedEvent"], "Servus").expect(200);
    let refused = update(&bob, &web, &seen, "Moin").expect(409).json();
    let meanwhile = refused["meanwhile"].as_array().expect("a list of orders");
    let after: Vec<&Value> = meanwhile.iter().map(|it| &it["parameters"][0]["after"]).collect();
    assert_eq!(after, ["Hello", "Servus"], "the oldest first");
    update(&bob, &web, &refused["present"], "Moin").expect(200);
    assert_eq!(get(&fleet, &web)["orderedBy"], "bob");
    // A number that nobody was told, and who does not say what he has seen.
    let refused = update(&bob, &web, &json!(4_711), "Moin").expect(409).json();
    assert_eq!(refused["meanwhile"], json!([]));
    greet(&fleet, &web, "Tach", "whatever it is");
}

#[test]
fn the_same_order_at_once_is_one_order_and_the_other_one_is_told() {
    let fleet = TestFleet::start();
    add_web(&fleet);
    let operators = two_operators(&fleet);
    for round in 0..5 {
        let press = fleet.accepted_client(&format!("press-{round}"));
        let order = json!({"applicationId": "com-example-web", "clientId": press.id(),
            "parameters": {"greeting": "Moin"}});
        let answers = at_once(&operators, |_, it| it.send("POST", "/deployments", Some(&order)));
        let first = winner(&answers, 201);
        let deployment = answers[first].json();
        let refused = answers[1 - first].clone();
        let refused = refused.expect_problem(409, "about:blank", "already").json();
        let [order] = refused["meanwhile"].as_array().expect("a list of orders").as_slice() else {
            panic!("one order came first: {refused}");
        };
        assert_eq!((&order["by"], &order["what"]), (&json!(NAMES[first]), &json!("ordered")));
        assert_eq!(order["deploymentId"], deployment["id"]);
        assert_eq!(order["parameters"], json!([{"name": "greeting", "after": "Moin"}]));

        // The same change, which the one who comes second has not made.
        let (web, seen) = (deployment["id"].as_str().expect("text"), &deployment["orderedEvent"]);
        let answers = at_once(&operators, |_, it| update(it, web, seen, "Servus"));
        let first = winner(&answers, 200);
        let refused = answers[1 - first].json();
        assert_eq!(refused["meanwhile"][0]["by"], NAMES[first]);

        let seen = get(&fleet, web)["orderedEvent"].clone();
        let answers = at_once(&operators, |_, it| withdraw(it, web, &seen));
        let first = winner(&answers, 200);
        let refused = answers[1 - first].json();
        let order = &refused["meanwhile"][0];
        assert_eq!((&order["by"], &order["what"]), (&json!(NAMES[first]), &json!("withdrawn")));
    }
}

#[test]
fn a_withdrawal_and_a_change_at_once_do_not_both_happen() {
    let fleet = TestFleet::start();
    add_web(&fleet);
    let operators = two_operators(&fleet);
    for round in 0..5 {
        let press = fleet.accepted_client(&format!("press-{round}"));
        let web = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
        let seen = get(&fleet, &web)["orderedEvent"].clone();
        let answers = at_once(&operators, |number, it| match number {
            0 => withdraw(it, &web, &seen),
            _ => update(it, &web, &seen, "Moin"),
        });
        let winner = winner(&answers, 200);
        let now = get(&fleet, &web);
        assert_eq!(now["wanted"], winner == 1);
        let refused = answers[1 - winner].json();
        let what = ["withdrawn", "updated"][winner];
        assert_eq!(refused["meanwhile"][0]["what"], what);
        assert_eq!(now["orderedEvent"], refused["present"]);
    }
}

#[test]
fn a_rollback_changes_what_was_shown_or_nothing() {
    let (fleet, press, web) = fleet_with_deployment();
    let [ann, bob] = two_operators(&fleet);
    greet(&fleet, &web, "Servus", "a revision to return from");
    fleet.operator().revision_reached(press.id(), 3);
    let mut order = json!({"revision": 2, "reason": "it was better before", "dryRun": true});
    let shown = roll_back(&ann, &press, &order).expect(200).json();
    order["newestOrder"] = shown["newestOrder"].clone();
    greet(&fleet, &web, "Moin", "meanwhile");
    order["dryRun"] = json!(false);
    let refused = roll_back(&ann, &press, &order).expect_problem(409, "about:blank", "meanwhile");
    let refused = refused.json();
    assert_eq!(refused["meanwhile"][0]["reason"], "meanwhile");
    assert_eq!(refused["meanwhile"][0]["parameters"][0]["after"], "Moin");
    assert_eq!(get(&fleet, &web)["parameters"]["greeting"], "Moin");

    // Two at once: what the one shows, the other one has not seen.
    order["newestOrder"] = refused["present"].clone();
    let answers = at_once(&[ann, bob], |_, it| roll_back(it, &press, &order));
    let winner = winner(&answers, 200);
    assert_eq!(get(&fleet, &web)["parameters"], json!({}));
    let refused = answers[1 - winner].json();
    let told = &refused["meanwhile"][0];
    assert_eq!((&told["by"], &told["rolledBackTo"]), (&json!(NAMES[winner]), &json!(2)));
    assert_eq!(answers[winner].json()["newestOrder"], refused["present"]);
}

#[test]
fn what_is_told_of_another_order_is_not_in_the_log() {
    let (fleet, _press, web) = fleet_with_deployment();
    let [ann, bob] = two_operators(&fleet);
    let seen = get(&fleet, &web)["orderedEvent"].clone();
    update(&ann, &web, &seen, "a secret word").expect(200);
    update(&bob, &web, &seen, "Moin").expect_problem(409, "about:blank", "a secret word");
    let log = fleet.log();
    assert!(log.contains("ann has ordered something else"), "{log}");
    assert!(!log.contains("a secret word"), "{log}");
}
