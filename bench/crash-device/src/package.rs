//! The applications that lives are made of, `a` and `b`: two components in order, of which the first has a
//! volume. The second version has lost the other component.

use std::fs;
use std::path::Path;

use testkit::fleet::TestFleet;
use testkit::programs;

const APPLICATION: &str = "com-gantry-crash";
pub(crate) const WITH_WEB: &str = "1.0.0";
pub(crate) const WITHOUT_WEB: &str = "2.0.0";

/// The components of a version, in the order of installation.
pub(crate) fn components(version: &str) -> &'static [&'static str] {
    if version == WITH_WEB { &["store", "web"] } else { &["store"] }
}

/// What one of the applications is called in the catalogue.
pub(crate) fn application(which: &str) -> String {
    format!("{APPLICATION}-{which}")
}

/// Adds them to the catalogue.
pub(crate) fn add_to(fleet: &TestFleet) {
    for (which, version) in [("a", WITH_WEB), ("a", WITHOUT_WEB), ("b", WITHOUT_WEB)] {
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        write(folder.path(), &application(which), version);
        let path = folder.path().to_string_lossy();
        programs::stdout_of(&mut fleet.gantry(&["application", "add", &path]));
    }
}

fn write(folder: &Path, application: &str, version: &str) {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("writable");
        fs::write(path, text).expect("the temporary directory can be written");
    };
    let components = components(version);
    write("margo.yaml", &description(application, version, components));
    for component in components {
        write(&format!("compose/{component}/compose.yaml"), &compose(component));
    }
}

fn description(application: &str, version: &str, components: &[&str]) -> String {
    let entry = |name: &&str| {
        format!(
            "      - name: {name}\n        properties: {{packageLocation: compose/{name}, wait: true, \
             timeout: 1m0s}}\n"
        )
    };
    let entries: String = components.iter().map(entry).collect();
    format!(
        r#"apiVersion: margo.org/v1-alpha1
kind: ApplicationDescription
metadata:
  id: {application}
  name: Crash
  description: Two services, one of them with a volume.
  version: "{version}"
  catalog:
    author: [{{name: The Gantry authors}}]
    organization: [{{name: Gantry}}]
deploymentProfiles:
  - type: compose
    id: {application}-compose
    components:
{entries}parameters:
  greeting:
    value: Hello
    targets:
      - pointer: GREETING
        components: [{targets}]
configuration:
  sections:
    - name: Greeting
      settings:
        - {{parameter: greeting, name: Greeting, schema: text}}
  schema:
    - {{name: text, dataType: string, minLength: 1, maxLength: 100}}
"#,
        targets = components.join(", ")
    )
}

fn compose(component: &str) -> String {
    // One of them has a network of its own: these are few on a machine.
    let (more, volumes) = match component {
        "store" => ("volumes: [\"data:/data\"]", "volumes: {data: {}}\n"),
        _ => ("network_mode: none", ""),
    };
    format!(
        r#"services:
  {component}:
    image: gantry-hello:1
    pull_policy: never
    environment: {{GREETING: "${{GREETING:?the parameter greeting is missing}}"}}
    {more}
    healthcheck:
      test: ["CMD", "/hello-server", "check"]
      interval: 250ms
      timeout: 3s
      retries: 40
{volumes}"#
    )
}
