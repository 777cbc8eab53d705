//! Packages and orders that several stories need.

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use testkit::client::TestClient;
use testkit::fleet::TestFleet;
use testkit::http::Answer;
use testkit::programs;

/// The files of a package with one Compose component called `web`.
pub(crate) fn package_files(version: &str) -> BTreeMap<String, String> {
    let description = format!(
        r#"apiVersion: margo.org/v1-alpha1
kind: ApplicationDescription
metadata:
  id: com-example-web
  name: Web
  version: "{version}"
  catalog:
    organization:
      - name: Example
deploymentProfiles:
  - type: compose
    id: web-compose
    components:
      - name: web
        properties:
          packageLocation: compose/web
parameters:
  greeting:
    value: Hello
    targets:
      - pointer: GREETING
        components: [web]
  port:
    value: 8080
    targets:
      - pointer: PORT
        components: [web]
  ratio:
    value: 0.5
    targets:
      - pointer: RATIO
        components: [web]
  audit:
    value: false
    targets:
      - pointer: AUDIT
        components: [web]
  channels:
    value: [lamp]
    targets:
      - pointer: CHANNELS
        components: [web]
  site:
    value: HBR07
    targets:
      - pointer: SITE
        components: [web]
configuration:
  sections:
    - name: All
      settings:
        - {{ parameter: greeting, name: Greeting, schema: text }}
        - {{ parameter: port, name: Port, schema: portNumber }}
        - {{ parameter: ratio, name: Ratio, schema: ratioNumber }}
        - {{ parameter: audit, name: Audit, schema: yesNo }}
        - {{ parameter: channels, name: Channels, schema: channelChoice }}
        - {{ parameter: site, name: Site, immutable: true, schema: siteCode }}
  schema:
    - {{ name: text, dataType: string, minLength: 1, maxLength: 20 }}
    - {{ name: portNumber, dataType: integer, minValue: 1024, maxValue: 65535 }}
    - {{ name: ratioNumber, dataType: double, minValue: 0.0, maxValue: 1.0, maxPrecision: 2 }}
    - {{ name: yesNo, dataType: boolean }}
    - {{ name: channelChoice, dataType: "array[string]", multiselect: true, options: [lamp, siren] }}
    - {{ name: siteCode, dataType: string, regexMatch: "^[A-Z]{{3}}[0-9]{{2}}$" }}
"#
    );
    BTreeMap::from([
        ("margo.yaml".to_owned(), description),
        (
            "compose/web/compose.yaml".to_owned(),
            "services:\n  web:\n    image: web:1\n    environment:\n      GREETING: ${GREETING}\n"
                .to_owned(),
        ),
    ])
}

/// A tar.gz of some files, made by the real `tar`.
pub(crate) fn tar_gz(files: &BTreeMap<String, String>) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder"))
            .and_then(|()| std::fs::write(&path, text))
            .expect("the package can be written");
    }
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder.path()).args(["-czf", "-", "."]);
    let output = programs::run(&mut tar);
    assert!(output.status.success(), "tar failed: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Adds the package of [`package_files`].
pub(crate) fn add_web(fleet: &TestFleet) {
    fleet.operator().add_application(&tar_gz(&package_files("1.0.0"))).expect(201);
}

/// A fleet with the application, a client, and one published deployment: its id.
pub(crate) fn fleet_with_deployment() -> (TestFleet, TestClient, String) {
    fleet_with_deployment_on(TestFleet::start())
}

/// As [`fleet_with_deployment`], in this fleet.
pub(crate) fn fleet_with_deployment_on(fleet: TestFleet) -> (TestFleet, TestClient, String) {
    let press = fleet.accepted_client("press-7");
    // Else the first revision may have the deployment already, and those that follow other numbers.
    fleet.operator().revision_reached(press.id(), 1);
    add_web(&fleet);
    let deployment = fleet.operator().deploy("com-example-web", press.id(), &json!({}));
    fleet.operator().published(&deployment);
    (fleet, press, deployment)
}

/// The client's manifest as JSON.
pub(crate) fn manifest(client: &TestClient) -> Value {
    client.get(&client.path("/deployments"), &[]).expect(200).json()
}

/// The path of the package that the client's only deployment needs.
pub(crate) fn package_path(client: &TestClient) -> String {
    let listed = manifest(client);
    let document = listed["deployments"][0]["url"].as_str().expect("a URL is text");
    let yaml = client.get(document, &[]).expect(200).text();
    let digest = yaml.split("/packages/").nth(1).expect("the document names its package");
    let digest: String = digest.chars().take("sha256:".len() + 64).collect();
    client.path(&format!("/packages/{digest}"))
}

/// A package of this version with so many bytes, hardly any of which a program can save.
pub(crate) fn package_with_noise(version: &str, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    SystemRandom::new().fill(&mut noise).expect("there is randomness");
    let mut files: BTreeMap<String, String> = package_files(version);
    files.insert("compose/web/noise".to_owned(), STANDARD.encode(noise));
    tar_gz(&files)
}

/// What `GET /metrics` tells.
pub(crate) fn metrics_text(fleet: &TestFleet) -> Answer {
    let bearer = format!("Bearer {}", fleet.operator().token());
    fleet.http().send("GET", "/metrics", &[("authorization", &bearer)], None).expect(200)
}

/// The value of a metric without labels.
pub(crate) fn metric(fleet: &TestFleet, name: &str) -> u64 {
    let text = metrics_text(fleet).text();
    let value = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("no {name}: {text}"))
}

/// What the operator sees of a deployment.
pub(crate) fn seen(fleet: &TestFleet, deployment: &str) -> String {
    let seen = fleet.operator().get(&format!("/deployments/{deployment}"));
    seen["state"].as_str().expect("a deployment has a state").to_owned()
}

/// Orders another greeting for the deployment of [`fleet_with_deployment`].
pub(crate) fn greet(fleet: &TestFleet, deployment: &str, greeting: &str, reason: &str) {
    let update = json!({"parameters": {"greeting": greeting}, "reason": reason});
    let path = format!("/deployments/{deployment}");
    fleet.operator().send("PATCH", &path, Some(&update)).expect(200);
}

/// A digest as Margo documents write it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex: String =
        digest(&SHA256, bytes).as_ref().iter().map(|it| format!("{it:02x}")).collect();
    format!("sha256:{hex}")
}
