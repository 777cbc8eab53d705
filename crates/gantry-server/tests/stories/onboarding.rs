//! A client proves that it holds the key of its certificate, waits, and is let in or not.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use testkit::certificates::{ALWAYS, Authority, Years};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;

use crate::support::fleet_with_deployment;

const PATH: &str = "/api/v1/onboarding";
const JSON: (&str, &str) = ("content-type", "application/json");

// margo(SP-2, SP-15, SP-16, SP-61, A-2, A-3, A-7): onboarding again gives the same clientId.
#[test]
fn an_unknown_certificate_waits_until_an_operator_lets_it_in() {
    let fleet = TestFleet::start();
    let mut press = fleet.stranger("press-7");

    let waiting = press.onboard().expect_problem(403, "#not-authorized", "approv");
    let seconds = waiting.header("retry-after").expect("a waiting client is told when to return");
    assert!(seconds.parse::<u32>().expect("Retry-After is in seconds") >= 1);
    press.onboard().expect(403);

    let clients = fleet.operator().get("/clients");
    let clients = clients["items"].as_array().expect("a list of clients");
    assert_eq!(clients.len(), 1, "the same certificate is one client: {clients:?}");
    assert_eq!(clients[0]["standing"], "waiting");
    assert_eq!(clients[0]["name"], "press-7");

    let id = clients[0]["id"].as_str().expect("an id is text");
    fleet.operator().approve(id);
    let accepted = press.onboard().expect(201);
    assert_eq!(accepted.header("content-type"), Some("application/json"));
    assert_eq!(accepted.json(), json!({"clientId": id}));
    press.onboard().expect(201);
    assert_eq!(press.id(), id);
}

// margo(SP-2, SP-15, SP-61)
#[test]
fn a_rejected_client_is_told_so_and_not_to_come_back() {
    let fleet = TestFleet::start();
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(403);
    let id = fleet.operator().get("/clients")["items"][0]["id"].clone();
    let id = id.as_str().expect("an id is text");
    fleet.operator().send("POST", &format!("/clients/{id}/reject"), Some(&json!({}))).expect(200);

    let rejected = press.onboard().expect(403);
    assert_eq!(rejected.header("retry-after"), None);
    // The older member that clients of the signed profile look for.
    assert_eq!(rejected.json()["error"], "Client rejected");
}

// margo(SP-28, SP-61, T-13, A-2, A-7): 403 from the next request on.
#[test]
fn a_revoked_client_is_refused_at_once_everywhere() {
    let fleet = TestFleet::start();
    let mut press = fleet.accepted_client("press-7");
    press.get(&press.path("/deployments"), &[]).expect(200);

    let revoke = format!("/clients/{}/revoke", press.id());
    fleet.operator().send("POST", &revoke, Some(&json!({"reason": "stolen"}))).expect(200);

    press.get(&press.path("/deployments"), &[]).expect_problem(403, "#not-authorized", "");
    press.get(&press.path("/repository"), &[]).expect(403);
    press.report_capabilities().expect(403);
    let refused = press.onboard().expect(403);
    assert_eq!(refused.header("retry-after"), None);
    fleet
        .operator()
        .send("POST", &format!("/clients/{}/approve", press.id()), Some(&json!({})))
        .expect(409);
}

// margo(SP-37): proof of possession.
#[test]
fn a_certificate_without_its_key_is_refused() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let thief = fleet.stranger("thief");

    let stolen = press.onboarding_request().to_string().into_bytes();
    let request = thief.signed("POST", PATH, Some(stolen), &[JSON]);
    let answer = thief.send(&request).expect(401);
    assert_eq!(answer.json()["error"], "Invalid signature");
    assert!(answer.json()["message"].is_string());

    assert_eq!(fleet.operator().get("/clients")["items"], json!([]));
}

// margo(SP-57): base64 of DER and of PEM.
#[test]
fn a_certificate_may_come_as_pem() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(press.certificate_der())
    );
    let mut body = press.onboarding_request();
    body["certificate"] = STANDARD.encode(pem).into();

    let body = body.to_string().into_bytes();
    press.send(&press.signed("POST", PATH, Some(body), &[JSON])).expect(403);
    assert_eq!(fleet.operator().get("/clients")["items"][0]["name"], "press-7");
}

// margo(SP-2, SP-14): 400.
#[test]
fn a_body_without_a_certificate_is_refused_in_the_old_words_and_the_new() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    for certificate in [json!("%%%"), json!(STANDARD.encode("no certificate")), json!(7)] {
        let mut body = press.onboarding_request();
        body["certificate"] = certificate;
        let body = body.to_string().into_bytes();
        let answer = press.send(&press.signed("POST", PATH, Some(body), &[JSON]));
        let answer = answer.expect_problem(400, "#invalid-request", "certificate");
        assert_eq!(answer.json()["error"], "Invalid certificate");
    }
    assert_eq!(fleet.operator().get("/clients")["items"], json!([]));
}

// margo(SP-1, SP-57, SP-18): PEM root certificate, base64 without line breaks, unsigned.
#[test]
fn the_root_certificate_can_be_fetched() {
    let fleet = TestFleet::start();
    let answer = fleet.http().send("GET", "/api/v1/onboarding/certificate", &[], None).expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let encoded = answer.json()["certificate"].as_str().expect("the field is text").to_owned();
    let pem = STANDARD.decode(encoded).expect("base64 without line breaks");
    assert_eq!(pem, std::fs::read(fleet.ca()).expect("the CA file can be read"));
}

// margo(A-3)
#[test]
fn an_open_fleet_lets_everybody_in_and_says_so_in_its_log() {
    let fleet = TestFleet::start_with("[onboarding]\npolicy = \"open\"\n");
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(201);
    press.report_capabilities().expect(201);
    assert!(fleet.log().contains("open"), "{}", fleet.log());
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

/// A client with a certificate of this authority for a key of its own.
fn issued(fleet: &TestFleet, authority: &Authority, name: &str, years: Years) -> TestClient {
    let key = key();
    let der = authority.client(name, years, &key);
    TestClient::with_certificate(fleet.http(), name, &key, der)
}

/// A self-signed certificate of this key, another one at each call.
fn self_signed(fleet: &TestFleet, name: &str, key: &KeyPair) -> TestClient {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let der = params.self_signed(key).expect("a certificate").der().to_vec();
    TestClient::with_certificate(fleet.http(), name, key, der)
}

fn trust(fleet: &TestFleet, authority: &Authority) -> Answer {
    fleet.operator().send("POST", "/trust", Some(&json!({"certificate": authority.pem()})))
}

fn standing(fleet: &TestFleet, id: &str) -> String {
    fleet.operator().get(&format!("/clients/{id}"))["standing"].as_str().expect("text").to_owned()
}

fn count(fleet: &TestFleet) -> usize {
    fleet.operator().get("/clients")["items"].as_array().expect("a list").len()
}

// margo(SP-28, A-2, A-3): 403 for a certificate that is not trusted.
#[test]
fn an_allow_list_lets_in_who_is_registered_or_vouched_for_and_remembers_nobody_else() {
    let fleet = TestFleet::start_with("[onboarding]\npolicy = \"allow-listed\"\n");
    let plant = Authority::new();
    let mut stranger = fleet.stranger("stranger");
    let refused = stranger.onboard().expect_problem(403, "#not-authorized", "not accepted");
    assert_eq!(refused.json()["error"], "Client rejected");
    assert_eq!(refused.header("retry-after"), None);
    let mut press = issued(&fleet, &plant, "press-7", ALWAYS);
    press.onboard().expect(403);
    assert_eq!(count(&fleet), 0);
    assert!(fleet.log().contains("a client is turned away"), "{}", fleet.log());

    trust(&fleet, &plant).expect(201);
    trust(&fleet, &plant).expect_problem(409, "about:blank", "already");
    press.onboard().expect(201);
    press.report_capabilities().expect(201);
    assert_eq!(standing(&fleet, press.id()), "approved");
    // An authority with the same name and another key vouches for nobody.
    issued(&fleet, &Authority::new(), "press-8", ALWAYS).onboard().expect(403);

    let register = json!({"certificate": stranger.certificate_pem(), "reason": "from the yard"});
    let registered = fleet.operator().send("POST", "/clients", Some(&register)).expect(201).json();
    assert_eq!(registered["standing"], "approved");
    fleet.operator().send("POST", "/clients", Some(&register)).expect_problem(
        409,
        "about:blank",
        "already",
    );
    stranger.onboard().expect(201);
    assert_eq!(registered["id"], stranger.id());

    let authorities = fleet.operator().get("/trust");
    let fingerprint = authorities["items"][0]["fingerprint"].as_str().expect("text").to_owned();
    assert_eq!(authorities["items"][0]["addedBy"], "admin");
    fleet.operator().send("DELETE", &format!("/trust/{fingerprint}"), None).expect(204);
    issued(&fleet, &plant, "press-9", ALWAYS).onboard().expect(403);
    press.onboard().expect(201);
}

#[test]
fn who_waits_is_let_in_when_somebody_vouches_for_it() {
    let fleet = TestFleet::start();
    let plant = Authority::new();
    let mut press = issued(&fleet, &plant, "press-7", ALWAYS);
    press.onboard().expect(403);
    trust(&fleet, &plant).expect(201);
    press.onboard().expect(201);
    press.get(&press.path("/deployments"), &[]).expect(200);
    assert_eq!(count(&fleet), 1);
    // Whoever nobody vouches for waits as before.
    fleet.stranger("press-8").onboard().expect_problem(403, "#not-authorized", "approve");
}

#[test]
fn only_an_authority_vouches_and_only_a_certificate_registers() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let pem = press.certificate_pem();
    for (path, text, says) in [
        ("/trust", pem.clone(), "certificate authority"),
        ("/trust", "nonsense".to_owned(), "PEM"),
        ("/trust", format!("{pem}{pem}"), "one certificate"),
        ("/clients", String::new(), "PEM"),
        ("/clients", pem.replace("MII", "AAA"), "certificate"),
    ] {
        let body = json!({"certificate": text});
        let answer = fleet.operator().send("POST", path, Some(&body));
        let answer = answer.expect_problem(422, "#semantic-error", says);
        assert_eq!(answer.json()["errors"][0]["field"], "certificate");
    }
}

// margo(T-9, T-11): the chain comes with the certificate.
#[test]
fn a_chain_in_the_request_leads_to_a_trusted_authority() {
    let fleet = TestFleet::start();
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let (root_key, plant_key, press_key) = (key(), key(), key());
    let root = authority("Root");
    let root_pem = root.self_signed(&root_key).expect("a root").pem();
    let root = Issuer::new(root, root_key);
    let plant = authority("Plant");
    let plant_pem = plant.signed_by(&plant_key, &root).expect("an authority").pem();
    let mut press = CertificateParams::default();
    press.distinguished_name.push(DnType::CommonName, "press-7");
    let press = press.signed_by(&press_key, &Issuer::new(plant, plant_key)).expect("a leaf");
    let client =
        TestClient::with_certificate(fleet.http(), "press-7", &press_key, press.der().to_vec());
    fleet.operator().send("POST", "/trust", Some(&json!({"certificate": root_pem}))).expect(201);

    let onboard = |pem: &str| {
        let mut body = client.onboarding_request();
        body["certificate"] = STANDARD.encode(pem).into();
        client.send(&client.signed("POST", PATH, Some(body.to_string().into_bytes()), &[JSON]))
    };
    onboard(&press.pem()).expect_problem(403, "#not-authorized", "approve");
    onboard(&format!("{}{plant_pem}", press.pem())).expect(201);
}

// margo(T-9).
#[test]
fn a_certificate_counts_between_its_dates_only() {
    let fleet = TestFleet::start();
    let plant = Authority::new();
    trust(&fleet, &plant).expect(201);
    for (years, says) in [((2000, 2020), "was valid until 2020"), ((2090, 2100), "before 2090")] {
        let mut press = issued(&fleet, &plant, "press-7", years);
        let answer = press.onboard().expect_problem(400, "#invalid-request", says);
        assert_eq!(answer.json()["error"], "Invalid certificate");
    }
    assert_eq!(count(&fleet), 0);
}

#[test]
fn a_key_that_cannot_sign_is_refused() {
    let fleet = TestFleet::start();
    let press = fleet.stranger("press-7");
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key can be made");
    let mut der = CertificateParams::default().self_signed(&key).expect("one").der().to_vec();
    // The last arc of id-Ed25519 (1.3.101.112) becomes that of X25519, which cannot sign.
    let oid = [0x06, 0x03, 0x2b, 0x65, 0x70];
    let places: Vec<usize> =
        (0..der.len() - oid.len()).filter(|it| der[*it..].starts_with(&oid)).collect();
    for place in places {
        der[place + 4] = 0x6e;
    }
    let mut body = press.onboarding_request();
    body["certificate"] = STANDARD.encode(der).into();
    let body = body.to_string().into_bytes();
    let answer = press.send(&press.signed("POST", PATH, Some(body), &[JSON]));
    let answer = answer.expect_problem(400, "#invalid-request", "unsupported kind");
    assert_eq!(answer.json()["error"], "Invalid certificate");
}

#[test]
fn another_certificate_of_the_same_key_is_the_same_client() {
    let fleet = TestFleet::start();
    let key = key();
    let mut press = self_signed(&fleet, "press-7", &key);
    press.onboard().expect(403);
    let mut again = self_signed(&fleet, "press-7", &key);
    assert_ne!(press.certificate_der(), again.certificate_der());
    again.onboard().expect(403);
    assert_eq!(count(&fleet), 1);

    let id = fleet.operator().client_called("press-7");
    fleet.operator().approve(&id);
    press.onboard().expect(201);
    again.onboard().expect(201);
    assert_eq!((press.id(), again.id()), (id.as_str(), id.as_str()));

    // What is revoked stays so, whatever its key has signed since.
    fleet.operator().send("POST", &format!("/clients/{id}/revoke"), Some(&json!({}))).expect(200);
    let mut third = self_signed(&fleet, "press-7", &key);
    third.onboard().expect_problem(403, "#not-authorized", "not accepted");
    assert_eq!(count(&fleet), 1);
}

#[test]
fn an_authority_renews_the_certificate_of_a_client_with_a_new_key() {
    let fleet = TestFleet::start();
    let plant = Authority::new();
    trust(&fleet, &plant).expect(201);
    let mut former = issued(&fleet, &plant, "press-7", ALWAYS);
    former.onboard().expect(201);
    let mut renewed = issued(&fleet, &plant, "press-7", ALWAYS);
    renewed.onboard().expect(201);
    assert_eq!(former.id(), renewed.id());
    renewed.get(&renewed.path("/deployments"), &[]).expect(200);
    former.get(&former.path("/deployments"), &[]).expect(401);
    let mut other = issued(&fleet, &plant, "press-8", ALWAYS);
    other.onboard().expect(201);
    assert_ne!(other.id(), renewed.id());
    // The name alone is nothing.
    let mut thief = fleet.stranger("press-7");
    thief.onboard().expect(403);
    renewed.get(&renewed.path("/deployments"), &[]).expect(200);
}

#[test]
fn a_certificate_is_announced_for_one_client_at_a_time() {
    let fleet = TestFleet::start();
    let [press, lathe] = ["press-7", "lathe-2"].map(|name| fleet.accepted_client(name));
    let body = json!({"certificate": fleet.stranger("renewed").certificate_pem()});
    let announce = |client: &str| {
        let path = format!("/clients/{client}/certificate");
        fleet.operator().send("POST", &path, Some(&body))
    };
    announce(press.id()).expect(200);
    announce(press.id()).expect(200);
    let refused = announce(lathe.id()).expect_problem(409, "about:blank", press.id());
    assert!(refused.text().contains("announced"), "{}", refused.text());

    // Who is revoked never comes with it.
    let revoke = format!("/clients/{}/revoke", press.id());
    fleet.operator().send("POST", &revoke, Some(&json!({}))).expect(200);
    announce(lathe.id()).expect(200);
    let former = fleet.operator().get(&format!("/clients/{}", press.id()));
    assert_eq!(former.get("expectedFingerprint"), None);
}

#[test]
fn an_operator_announces_the_certificate_of_a_new_key() {
    let fleet = TestFleet::start();
    let former = fleet.accepted_client("press-7");
    let mut renewed = fleet.stranger("press-7");
    // It may have called before anybody was told: then it waits.
    renewed.onboard().expect(403);
    assert_eq!(count(&fleet), 2);

    let path = format!("/clients/{}/certificate", former.id());
    let body = json!({"certificate": renewed.certificate_pem(), "reason": "new board"});
    let client = fleet.operator().send("POST", &path, Some(&body)).expect(200).json();
    assert!(client["expectedFingerprint"].is_string());
    assert_eq!(count(&fleet), 1);
    former.get(&former.path("/deployments"), &[]).expect(200);
    let access = former.get(&former.path("/repository"), &[]).expect(200).json();
    let pair = format!("{}:{}", former.id(), access["token"].as_str().expect("a token is text"));
    let basic = format!("Basic {}", STANDARD.encode(pair));
    let refs = format!("/git/{}.git/info/refs?service=git-upload-pack", former.id());
    let fetch = || fleet.http().send("GET", &refs, &[("authorization", &basic)], None);
    fetch().expect(200);

    renewed.onboard().expect(201);
    fetch().expect(401);
    assert_eq!(renewed.id(), former.id());
    renewed.get(&renewed.path("/deployments"), &[]).expect(200);
    former.get(&former.path("/deployments"), &[]).expect(401);
    let client = fleet.operator().get(&format!("/clients/{}", renewed.id()));
    assert_eq!(client.get("expectedFingerprint"), None);
    assert_eq!(client["certificateFingerprint"], body_fingerprint(&renewed));

    let lathe = fleet.accepted_client("lathe-2");
    let theirs = json!({"certificate": lathe.certificate_pem()});
    let answer = fleet.operator().send("POST", &path, Some(&theirs));
    answer.expect_problem(409, "about:blank", "key of this certificate");
}

fn body_fingerprint(client: &TestClient) -> String {
    crate::support::sha256(client.certificate_der())
}

// A device that was reset to how it left its factory has another key, and is a stranger.
#[test]
fn a_client_that_lost_its_state_is_known_by_its_key_and_with_a_new_key_it_waits() {
    let fleet = TestFleet::start();
    let key = key();
    let mut press = self_signed(&fleet, "press-7", &key);
    press.onboard().expect(403);
    fleet.operator().approve(&fleet.operator().client_called("press-7"));
    press.onboard().expect(201);

    let mut forgetful =
        TestClient::with_certificate(fleet.http(), "press-7", &key, press.certificate_der().into());
    forgetful.onboard().expect(201);
    assert_eq!(forgetful.id(), press.id());
    forgetful.get(&forgetful.path("/deployments"), &[]).expect(200);

    let mut reset = fleet.stranger("press-7");
    let waiting = reset.onboard().expect(403);
    assert!(waiting.header("retry-after").is_some());
    assert_eq!(count(&fleet), 2);
}

// margo(T-13, A-2): also where a connection was opened, and a token was given, before.
#[test]
fn revoking_holds_on_open_connections_and_for_tokens_of_git() {
    let (fleet, press, _) = fleet_with_deployment();
    let access = press.get(&press.path("/repository"), &[]).expect(200).json();
    let token = access["token"].as_str().expect("a token is text");
    let basic = STANDARD.encode(format!("{}:{token}", press.id()));
    let refs = format!("/git/{}.git/info/refs?service=git-upload-pack", press.id());
    let authorization = format!("Basic {basic}");
    let fetch = || fleet.http().send("GET", &refs, &[("authorization", &authorization)], None);
    fetch().expect(200);
    let mut stream = fleet.http().connect();
    let mut ask = || {
        let request = press.signed("GET", &press.path("/deployments"), None, &[]);
        let mut text = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n", request.path);
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{text}\r\n").as_bytes()).expect("the connection is open");
        let mut answer = [0; 16 << 10];
        let length = stream.read(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let before = ask();
    assert!(before.starts_with("HTTP/1.1 200 "), "{before}");
    let revoke = format!("/clients/{}/revoke", press.id());
    fleet.operator().send("POST", &revoke, Some(&json!({}))).expect(200);
    fetch().expect(401);
    let after = ask();
    assert!(after.starts_with("HTTP/1.1 403 "), "{after}");
}

#[test]
fn a_reason_that_is_too_long_changes_nothing() {
    let fleet = TestFleet::start();
    let plant = Authority::new();
    let mut press = fleet.stranger("press-7");
    press.onboard().expect(403);
    let id = fleet.operator().client_called("press-7");
    let reason = "x".repeat(2_001);
    let certificate = |pem: &str| json!({"certificate": pem, "reason": reason});
    let other = fleet.stranger("press-8").certificate_pem();
    fleet.operator().approve(&id);
    for (path, body) in [
        (format!("/clients/{id}/revoke"), json!({"reason": reason})),
        (format!("/clients/{id}/certificate"), certificate(&other)),
        ("/clients".to_owned(), certificate(&other)),
        ("/trust".to_owned(), certificate(plant.pem())),
    ] {
        let answer = fleet.operator().send("POST", &path, Some(&body));
        answer.expect_problem(422, "#semantic-error", "more than 2000 bytes");
    }
    press.onboard().expect(201);
    assert_eq!(count(&fleet), 1);
    assert_eq!(fleet.operator().get("/trust")["items"], json!([]));
}
