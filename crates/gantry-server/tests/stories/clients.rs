//! The list of clients, however long it is.

use serde_json::Value;
use testkit::client::TestClient;
use testkit::fleet::TestFleet;

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("a list").iter();
    items.map(|it| it["id"].as_str().expect("an id is text")).collect()
}

#[test]
fn a_long_list_of_clients_comes_in_parts() {
    let fleet = TestFleet::start();
    let clients: Vec<_> =
        (1..=5).map(|number| fleet.accepted_client(&format!("press-{number}"))).collect();
    let operator = fleet.operator();
    let whole = operator.get("/clients");
    assert!(whole.get("next").is_none(), "{whole}");
    let mut expected = ids(&whole);
    assert_eq!(whole["items"][0]["devices"][0]["id"], whole["items"][0]["name"]);

    let (mut path, mut seen) = ("/clients?limit=2".to_owned(), Vec::new());
    for size in [2, 2, 1] {
        let part = operator.get(&path);
        assert_eq!(ids(&part).len(), size, "{part}");
        seen.extend(ids(&part).into_iter().map(str::to_owned));
        let next = part["next"].as_str();
        assert_eq!(next, (size == 2).then(|| seen[seen.len() - 1].as_str()), "{part}");
        path = format!("/clients?limit=2&after={}", next.unwrap_or_default());
    }
    assert_eq!(seen, expected, "each once, the oldest first");
    expected.sort_unstable();
    let mut known: Vec<&str> = clients.iter().map(TestClient::id).collect();
    known.sort_unstable();
    assert_eq!(expected, known);

    for (query, field) in [("limit=0", "limit"), ("limit=10001", "limit"), ("after=x", "after")] {
        let problem = operator.send("GET", &format!("/clients?{query}"), None).expect(422).json();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
}
