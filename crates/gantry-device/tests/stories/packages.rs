//! Packages that the fleet manager does not have: from a real registry, and with real signatures.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use testkit::certificates::{ALWAYS, Authority};
use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::meddler::{Meddler, Part, say};
use testkit::openpgp::Keyring;
use testkit::registry::{self, TestRegistry};
use testkit::relay::Relay;
use testkit::{programs, wait};

use crate::scene::Scene;
use crate::support::{PRESS, Plant, WAIT, example};

/// Where the registry has the package.
const NAME: &str = "plant/hello";

/// The Compose package of the example application, with this many bytes of ballast.
fn package(ballast: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    let copy = ["-r", &example().join("compose/hello").to_string_lossy(), "."].map(str::to_owned);
    programs::stdout_of(Command::new("cp").args(&copy).current_dir(folder.path()));
    if ballast > 0 {
        // Something that does not get smaller when it is packed.
        let mut random = fs::File::open("/dev/urandom").expect("Linux has it");
        let mut random = std::io::Read::take(&mut random, ballast as u64);
        let mut file = fs::File::create(folder.path().join("hello/ballast")).expect("writable");
        std::io::copy(&mut random, &mut file).expect("writable");
    }
    let tar = ["--create", "--gzip", "--file", "hello.tar.gz", "hello"];
    programs::stdout_of(Command::new("tar").args(tar).current_dir(folder.path()));
    fs::read(folder.path().join("hello.tar.gz")).expect("it was made")
}

/// Adds a version of the example application whose component has these properties.
fn add(plant: &Plant, version: &str, properties: &str) {
    let folder = plant.press.folder().join(format!("package-{version}"));
    programs::stdout_of(Command::new("cp").arg("-r").arg(example()).arg(&folder));
    fs::remove_dir_all(folder.join("compose")).expect("the copy has it");
    let file = folder.join("margo.yaml");
    let text = fs::read_to_string(&file).expect("the example has it");
    let text = text.replacen("version: \"1.0.0\"", &format!("version: \"{version}\""), 1);
    let text = text.replacen("packageLocation: compose/hello", properties, 1);
    fs::write(&file, text).expect("the copy can be written");
    plant.gantry(&["application", "add", &folder.to_string_lossy()]);
}

/// A device that knows the registry behind this port.
fn plant_with(registry: &TestRegistry, port: u16) -> Plant {
    let fleet = TestFleet::start();
    let password: PathBuf = fleet.dir().join("registry.password");
    fs::write(&password, registry::PASSWORD).expect("the test's folder can be written");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let configuration = format!(
        "[[registry]]\nhost = \"localhost:{port}\"\nusername = \"{}\"\npassword_file = \"{}\"\n\
         ca = \"{}\"\n",
        registry::USERNAME,
        password.display(),
        registry.ca(),
    );
    let press = TestDevice::start_with(&fleet, PRESS, &configuration);
    Plant::around(fleet, press)
}

fn from_registry(port: u16, revision: &str) -> String {
    format!("repository: oci://localhost:{port}/{NAME}\n          revision: {revision}")
}

/// Orders this version, and gives what is said about it and the exit code.
fn deploy(plant: &Plant, version: &str, more: &[&str]) -> (String, Option<i32>) {
    let (application, port) =
        (format!("com-gantry-hello@{version}"), format!("port={}", plant.port));
    let order = ["deploy", &application, "--to", PRESS, "--name", &plant.name, "--set", &port];
    said(&programs::run(&mut plant.fleet.gantry(&[&order[..], more].concat())))
}

fn said(output: &Output) -> (String, Option<i32>) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.code())
}

/// Updates the deployment, and gives what is said about it and the exit code.
fn update(plant: &Plant, version: &str) -> (String, Option<i32>) {
    let update = ["deployment", "update", &plant.name, "--version", version];
    said(&programs::run(&mut plant.fleet.gantry(&[&update[..], &WAIT].concat())))
}

// margo(R-20, R-21, R-22, R-36).
#[test]
fn a_package_from_a_registry_is_installed_and_a_registry_that_is_away_is_told_and_waited_for() {
    let mut registry = TestRegistry::start();
    registry.push_compose(NAME, "1.0.0", &package(0));
    let plant = plant_with(&registry, registry.port());
    add(&plant, "2.0.0", &from_registry(registry.port(), "1.0.0"));
    let (said, code) = deploy(&plant, "2.0.0", &WAIT);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(plant.greeting().as_deref(), Some("Hello"));
    let log = plant.press.log();
    assert!(!log.contains(registry::PASSWORD), "{log}");

    add(&plant, "3.0.0", &from_registry(registry.port(), "9.9.9"));
    let (said, code) = update(&plant, "3.0.0");
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("package-not-found"), "{said}");

    registry.push_compose(NAME, "1.0.1_b", &package(0));
    registry.kill();
    add(&plant, "4.0.0", &from_registry(registry.port(), "1.0.1_b"));
    let (said, code) = update(&plant, "4.0.0");
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("registry-unreachable"), "{said}");
    assert_eq!(plant.greeting().as_deref(), Some("Hello"), "what ran still runs");
    registry.start_program();
    plant.state_reached("installed");
}

#[test]
fn a_package_whose_registry_is_killed_in_the_middle_goes_on_where_it_broke_off() {
    const SIZE: usize = 16 << 20;
    let mut registry = TestRegistry::start();
    registry.push_compose(NAME, "1.0.0", &package(SIZE));
    let relay = Relay::start(registry.port());
    let plant = &mut plant_with(&registry, relay.port());
    add(plant, "2.0.0", &from_registry(relay.port(), "1.0.0"));
    relay.hold_after(SIZE as u64 / 2);
    deploy(plant, "2.0.0", &[]);
    wait::until("half of the package to be there", || relay.is_held().then_some(()));
    registry.kill();
    relay.cut();
    plant.state_reached("failed");
    // What is there of it outlives the client as well.
    plant.press.kill();
    registry.start_program();
    plant.press.start_program();
    plant.state_reached("installed");
    assert_eq!(plant.greeting().as_deref(), Some("Hello"));
    let (passed, most) = (relay.passed(), SIZE as u64 + (SIZE as u64 / 4));
    assert!(passed < most, "{passed} bytes came, and {most} are more than enough to go on");
}

#[test]
fn a_package_of_the_fleet_managers_goes_on_where_it_broke_off() {
    let scene = Scene::before_onboarding("http", |asked| {
        match asked.path.contains("/packages/") && asked.header("range").is_none() {
            true => Part::Halved,
            false => Part::Honest,
        }
    });
    scene.is_let_in();
    let packages = scene.press.state_dir().join("packages");
    wait::until("the package to be there", || {
        let mut files = fs::read_dir(&packages).ok()?.filter_map(Result::ok);
        files.find(|it| it.file_name().to_string_lossy().ends_with(".tar.gz"))
    });
    let asked = scene.meddler.asked();
    let asked: Vec<_> = asked.iter().filter(|it| it.path.contains("/packages/")).collect();
    let [first, second] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(first.header("range"), None);
    assert!(second.header("range").is_some_and(|it| it != "bytes=0-"), "{second:?}");
    assert!(second.header("if-range").is_some_and(|it| it.starts_with("\"sha256:")), "{second:?}");
}

// margo(SP-44)
#[test]
fn a_package_with_a_wrong_signature_or_another_key_does_not_take_the_place_of_what_runs() {
    let plant = Plant::start("");
    let keys = Keyring::new();
    keys.make("maker", "ed25519", "1y");
    keys.make("stranger", "ed25519", "1y");
    let good = package(0);
    let files = Authority::of_fleet(&plant.fleet.dir().join("data"));
    let files = Meddler::start(0, files.server("localhost", ALWAYS), None);
    let by_maker = keys.sign("maker", &good, &["--armor"]);
    let by_stranger = keys.sign("stranger", &good, &[]);
    let (maker, stranger) = (keys.public("maker"), keys.public("stranger"));
    files.play(move |asked| {
        Part::Say(match asked.path.as_str() {
            "/1/hello.tar.gz" | "/2/hello.tar.gz" | "/3/hello.tar.gz" | "/4/hello.tar.gz" => {
                say(200, &[], &good)
            }
            "/1/hello.tar.gz.asc" => say(200, &[], &by_maker),
            "/2/hello.tar.gz.sig" | "/3/hello.tar.gz.sig" => say(200, &[], &by_stranger),
            "/maker.asc" => say(200, &[], &maker),
            "/stranger.asc" => say(200, &[], &stranger),
            _ => say(404, &[], b""),
        })
    });
    let signed = |version: u32, key: &str| {
        let origin = format!("https://localhost:{}", files.port());
        format!(
            "packageLocation: {origin}/{version}/hello.tar.gz\n          keyLocation: {origin}/{key}.asc"
        )
    };
    add(&plant, "2.0.0", &signed(1, "maker"));
    let (said, code) = deploy(&plant, "2.0.0", &WAIT);
    assert_eq!(code, Some(0), "{said}");
    for (version, properties, code) in [
        ("3.0.0", signed(2, "maker"), "bad-signature"),
        ("4.0.0", signed(3, "stranger"), "key-changed"),
        ("5.0.0", signed(4, "maker"), "bad-signature"),
    ] {
        add(&plant, version, &properties);
        let (said, exit) = update(&plant, version);
        assert_eq!(exit, Some(7), "{said}");
        assert!(said.contains(code), "{code} is missing in: {said}");
        assert_eq!(plant.greeting().as_deref(), Some("Hello"), "what ran still runs");
    }
    let (said, exit) = update(&plant, "2.0.0");
    assert_eq!(exit, Some(0), "{said}");
}
