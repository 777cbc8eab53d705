//! An application for many devices with one request: each place is decided for itself, and the answer tells
//! what came of each.

use serde_json::{Value, json};
use testkit::client::{TestClient, capabilities_of};
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::support::{add_web, manifest};

const WEB: &str = "com-example-web";

fn order(fleet: &TestFleet, places: &Value) -> Answer {
    let order = json!({"applicationId": WEB, "reason": "all of them", "places": places});
    fleet.operator().send("POST", "/deployments/batch", Some(&order))
}

fn at(client: &TestClient) -> Value {
    json!({"clientId": client.id(), "id": uuid::Uuid::new_v4().to_string()})
}

/// A client whose first, empty revision is there.
fn client(fleet: &TestFleet, name: &str) -> TestClient {
    let client = fleet.accepted_client(name);
    fleet.operator().revision_reached(client.id(), 1);
    client
}

/// The only document that the client's newest manifest names, once there is one.
fn deployment_in(fleet: &TestFleet, client: &TestClient, revision: u64) -> Value {
    fleet.operator().revision_reached(client.id(), revision);
    manifest(client)["deployments"][0]["deploymentId"].clone()
}

#[test]
fn an_application_is_ordered_in_many_places_and_each_gets_its_own_revision() {
    let fleet = TestFleet::start();
    add_web(&fleet);
    let clients: Vec<TestClient> =
        (0..70).map(|number| client(&fleet, &format!("press-{number}"))).collect();
    let places: Value = clients.iter().map(at).collect();
    let outcomes = order(&fleet, &places).expect(200).json();
    let outcomes = outcomes["items"].as_array().expect("a list");
    assert_eq!(outcomes.len(), clients.len());
    for ((client, place), outcome) in
        clients.iter().zip(places.as_array().expect("a list")).zip(outcomes)
    {
        let expected = json!({"clientId": client.id(), "deploymentId": place["id"]});
        assert_eq!(*outcome, expected);
        assert_eq!(deployment_in(&fleet, client, 2), place["id"]);
    }
    let one = fleet.operator().get(&format!("/clients/{}/revisions/2", clients[69].id()));
    assert!(one["message"].as_str().expect("a message").contains("all of them"), "{one}");

    // Whoever got no answer sends the same again, which orders nothing.
    let again = order(&fleet, &places).expect(200).json();
    assert_eq!(again["items"], json!(outcomes));
    let id = places[3]["id"].as_str().expect("an id");
    let events = fleet.operator().get(&format!("/deployments/{id}/events"));
    let orders = events["items"].as_array().expect("a list").iter();
    assert_eq!(orders.filter(|it| it["what"] == "ordered").count(), 1, "{events}");
}

#[test]
fn what_cannot_be_ordered_in_one_place_keeps_nothing_from_the_others() {
    let fleet = TestFleet::start();
    add_web(&fleet);
    let (good, other, there) =
        (client(&fleet, "good"), client(&fleet, "other"), client(&fleet, "there"));
    let present = fleet.operator().deploy(WEB, there.id(), &json!({}));
    let mut waiting = fleet.stranger("waiting");
    waiting.onboard().expect(403);
    let waiting = fleet.operator().client_called("waiting");
    let two = client(&fleet, "two");
    two.post(&two.path("/capabilities"), &capabilities_of("second")).expect(201);
    let unknown = "00000000-0000-4000-8000-000000000000";
    let outcomes = order(
        &fleet,
        &json!([
            at(&good),
            {"clientId": unknown},
            {"clientId": waiting},
            {"clientId": there.id()},
            {"clientId": other.id(), "id": present},
            {"clientId": two.id()},
            {"clientId": two.id(), "deviceId": "second"},
            {"clientId": two.id(), "deviceId": "third"},
            {"clientId": two.id(), "deviceId": "second"},
            at(&other),
        ]),
    );
    let outcomes = outcomes.expect(200).json();
    let refused: [(usize, u16, &str); 7] = [
        (1, 422, "no client"),
        (2, 409, "waiting"),
        (3, 409, &present),
        (4, 409, "another order"),
        (5, 422, "say which one"),
        (7, 422, "third"),
        (8, 409, "already"),
    ];
    for (place, outcome) in outcomes["items"].as_array().expect("a list").iter().enumerate() {
        let Some((_, status, words)) = refused.iter().find(|it| it.0 == place) else {
            assert!(outcome["deploymentId"].is_string(), "{place}: {outcome}");
            assert!(outcome.get("refusal").is_none(), "{place}: {outcome}");
            continue;
        };
        assert!(outcome.get("deploymentId").is_none(), "{place}: {outcome}");
        assert_eq!(outcome["refusal"]["status"], *status, "{place}: {outcome}");
        let detail = outcome["refusal"]["detail"].as_str().expect("a sentence");
        assert!(detail.contains(words), "{place}: {detail}");
    }
    for client in [&good, &other, &two] {
        fleet.operator().revision_reached(client.id(), 2);
        assert_eq!(manifest(client)["deployments"].as_array().map(Vec::len), Some(1));
    }
    let all = fleet.operator().get("/deployments");
    assert_eq!(all["items"].as_array().map(Vec::len), Some(4), "{all}");
}

#[test]
fn an_order_that_is_wrong_everywhere_is_refused_as_a_whole() {
    let fleet = TestFleet::start();
    add_web(&fleet);
    let client = client(&fleet, "press-7");
    let place = at(&client);
    let many: Value = std::iter::repeat_n(json!({"clientId": client.id()}), 1_001).collect();
    let wrong = [
        (json!({"applicationId": WEB, "places": []}), "places"),
        (json!({"applicationId": WEB, "places": many}), "places"),
        (json!({"applicationId": WEB, "places": [place, place]}), "places[1].id"),
        (json!({"applicationId": WEB, "places": [{"clientId": "x"}]}), "places[0].clientId"),
        (json!({"applicationId": "none", "places": [place]}), "applicationId"),
        (
            json!({"applicationId": WEB, "places": [place], "parameters": {"none": 1}}),
            "parameters.none",
        ),
    ];
    for (order, field) in wrong {
        let answer = fleet.operator().send("POST", "/deployments/batch", Some(&order));
        let problem = answer.expect(422).json();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    assert_eq!(fleet.operator().get("/deployments")["items"], json!([]));
}
