//! The application that is ordered for all clients.

use testkit::archive;

pub(crate) const APPLICATION: &str = "com-gantry-fleet";
/// Its one component.
pub(crate) const COMPONENT: &str = "web";

const DESCRIPTION: &str = r#"apiVersion: margo.org/v1-alpha1
kind: ApplicationDescription
metadata:
  id: com-gantry-fleet
  name: Fleet
  description: One service with one parameter.
  version: "1.0.0"
  catalog:
    author: [{name: The Gantry authors}]
    organization: [{name: Gantry}]
deploymentProfiles:
  - type: compose
    id: com-gantry-fleet-compose
    components:
      - name: web
        properties: {packageLocation: compose/web, wait: true, timeout: 1m0s}
parameters:
  greeting:
    value: Hello
    targets:
      - pointer: GREETING
        components: [web]
configuration:
  sections:
    - name: Greeting
      settings:
        - {parameter: greeting, name: Greeting, schema: text}
  schema:
    - {name: text, dataType: string, minLength: 1, maxLength: 100}
"#;
const COMPOSE: &str = r#"services:
  web:
    image: registry.example/web:1
    environment: {GREETING: "${GREETING:?the parameter greeting is missing}"}
"#;

/// As operators add it to the catalogue.
pub(crate) fn package() -> Vec<u8> {
    let file = tar::EntryType::Regular;
    archive::packed(&[
        (file, "margo.yaml", DESCRIPTION.as_bytes()),
        (file, "compose/web/compose.yaml", COMPOSE.as_bytes()),
    ])
}
