//! The applications that are ordered: one component, and a parameter by which contents are told apart.

use tar::EntryType;
use testkit::archive;
use testkit::fleet::TestFleet;

use crate::orders::PARAMETER;

pub(crate) const COMPONENT: &str = "web";

/// Adds one with this id to the catalogue.
pub(crate) fn add(fleet: &TestFleet, id: &str) {
    let description = format!(
        r#"apiVersion: margo.org/v1-alpha1
kind: ApplicationDescription
metadata:
  id: {id}
  name: Web
  version: "1.0.0"
  catalog:
    organization: [{{name: Gantry}}]
deploymentProfiles:
  - type: compose
    id: {id}-compose
    components:
      - name: {COMPONENT}
        properties: {{packageLocation: compose/{COMPONENT}}}
parameters:
  {PARAMETER}:
    value: Hello
    targets:
      - pointer: GREETING
        components: [{COMPONENT}]
configuration:
  sections:
    - name: All
      settings:
        - {{parameter: {PARAMETER}, name: Greeting, schema: text}}
  schema:
    - {{name: text, dataType: string, maxLength: 100}}
"#
    );
    let compose = "services:\n  web:\n    image: example.com/web:1\n";
    let package = archive::packed(&[
        (EntryType::Regular, "margo.yaml", description.as_bytes()),
        (EntryType::Regular, "compose/web/compose.yaml", compose.as_bytes()),
    ]);
    fleet.operator().add_application(&package).expect(201);
}
