//! Lists of clients and deployments, however long they are.

use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::operator::Operator;

use crate::support::add_web;

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("a list").iter();
    items.map(|it| it["id"].as_str().expect("an id is text").to_owned()).collect()
}

/// The ids of a list of five that is read two at a time.
fn in_parts(operator: &Operator, list: &str) -> Vec<String> {
    let (mut path, mut seen) = (format!("{list}?limit=2"), Vec::new());
    for size in [2, 2, 1] {
        let part = operator.get(&path);
        assert_eq!(ids(&part).len(), size, "{part}");
        seen.extend(ids(&part));
        let next = part["next"].as_str();
        assert_eq!(next.is_some(), size == 2, "{part}");
        path = format!("{list}?limit=2&after={}", next.unwrap_or_default());
    }
    seen
}

#[test]
fn a_long_list_comes_in_parts_that_are_the_whole() {
    let fleet = TestFleet::start();
    add_web(&fleet);
    let clients: Vec<TestClient> =
        (1..=5).map(|number| fleet.accepted_client(&format!("press-{number}"))).collect();
    let operator = fleet.operator();
    let order = |client: &TestClient| operator.deploy("com-example-web", client.id(), &json!({}));
    let ordered: Vec<String> = clients.iter().map(order).collect();
    let known: Vec<String> = clients.iter().map(|it| it.id().to_owned()).collect();
    for (list, expected) in [("/clients", known), ("/deployments", ordered)] {
        let whole = operator.get(list);
        assert!(whole.get("next").is_none(), "{whole}");
        assert_eq!(in_parts(&operator, list), ids(&whole), "{list}, in its order");
        assert_eq!(sorted(ids(&whole)), sorted(expected), "{list}");

        for (query, field) in [("limit=0", "limit"), ("limit=10001", "limit"), ("after=x", "after")]
        {
            let answer = operator.send("GET", &format!("{list}?{query}"), None);
            let problem = answer.expect(422).json();
            assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        }
    }
    let client = &clients[2];
    let of_one = operator.get(&format!("/deployments?client={}", client.id()));
    assert_eq!(ids(&of_one).len(), 1);
    let both = format!("/deployments?client={}&limit=2", client.id());
    assert_eq!(
        operator.send("GET", &both, None).expect(422).json()["errors"][0]["field"],
        "client"
    );
    let devices = &operator.get("/clients")["items"][0]["devices"];
    assert_eq!(devices.as_array().map(Vec::len), Some(1), "{devices}");
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}
