//! `gantry-server migrate-to` moves a fleet from a SQLite file into PostgreSQL; nobody notices but the operator
//! who did it.

use std::process::{Command, Output};

use testkit::fleet::TestFleet;
use testkit::postgres::{Postgres, PostgresDatabase};
use testkit::programs;

use crate::real_git::{Git, repository, text};
use crate::support::{fleet_with_deployment_on, greet, manifest, seen};

fn migrate(fleet: &TestFleet, to: &PostgresDatabase) -> Output {
    let mut migrate = Command::new(programs::path("gantry-server"));
    migrate.arg("migrate-to").arg(to.url()).arg("--config").arg(fleet.dir().join("server.toml"));
    programs::run(&mut migrate)
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(words), "{said}");
    assert!(!said.contains("p%40ss") && !said.contains("p@ss"), "a password is told: {said}");
}

#[test]
fn a_fleet_is_moved_as_it_is_and_its_devices_go_on() {
    let (mut fleet, press, deployment) = fleet_with_deployment_on(TestFleet::start_on_sqlite());
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    let before = (manifest(&press), fleet.operator().get(&format!("/deployments/{deployment}")));
    let database = Postgres::shared().database();
    refused(&migrate(&fleet, &database), "the server has to be stopped");

    fleet.kill();
    let output = migrate(&fleet, &database);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{output:?}");
    assert!(
        said.contains("both sides are equal") && said.contains("copied clients: 1 rows"),
        "{said}"
    );
    refused(&migrate(&fleet, &database), "holds a fleet already");

    fleet.move_to(database);
    fleet.start_server();
    let after = (manifest(&press), fleet.operator().get(&format!("/deployments/{deployment}")));
    assert_eq!(before, after);
    // What was told before is known: this is not the first report.
    press.report(&deployment, "installed", &[("web", "installed")]).expect(200);
    let given = repository(&press);
    let git = Git::of(&fleet, &press);
    programs::stdout_of(&mut git.command(&["ls-remote", text(&given, "url"), "main"]));
    greet(&fleet, &deployment, "Moin", "it goes on");
    fleet.operator().revision_reached(press.id(), 3);
    assert_eq!(seen(&fleet, &deployment), "ordered");
}

/// An empty database that has the tables already, so that a test can spoil one.
fn with_tables(fleet: &TestFleet) -> PostgresDatabase {
    let database = Postgres::shared().database();
    assert!(migrate(fleet, &database).status.success());
    database.psql(
        "DO $$ DECLARE it TEXT; BEGIN FOR it IN SELECT tablename FROM pg_tables \
         WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations' \
         LOOP EXECUTE 'TRUNCATE ' || it || ' CASCADE'; END LOOP; END $$",
    );
    database
}

/// Lets every row that comes into a table meet this.
fn meets(database: &PostgresDatabase, table: &str, what: &str) {
    database.psql(&format!(
        "CREATE FUNCTION meets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what}; RETURN NEW; END $$; \
         CREATE TRIGGER meets BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION meets()"
    ));
}

#[test]
fn what_was_cut_off_goes_on_where_it_was_and_no_server_starts_before_that() {
    let (mut fleet, press, _) = fleet_with_deployment_on(TestFleet::start_on_sqlite());
    let before = manifest(&press);
    fleet.kill();
    let database = with_tables(&fleet);
    meets(&database, "revisions", "RAISE EXCEPTION 'no more'");
    refused(&migrate(&fleet, &database), "it goes on where it was");
    assert_eq!(database.psql("SELECT COUNT(*) FROM deployments").trim(), "1");
    let mut server = Command::new(programs::path("gantry-server"));
    server.args(["--database", &database.url(), "--config"]).arg(fleet.dir().join("server.toml"));
    refused(&programs::run(&mut server), "run `gantry-server migrate-to` again");

    database.psql("DROP FUNCTION meets CASCADE");
    let output = migrate(&fleet, &database);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{output:?}");
    assert!(!said.contains("copied deployments"), "it was there already: {said}");
    assert!(said.contains("copied revisions: 2 rows"), "{said}");
    fleet.move_to(database);
    fleet.start_server();
    assert_eq!(manifest(&press), before);
}

#[test]
fn what_is_not_the_same_on_both_sides_is_not_called_moved() {
    let (mut fleet, _, _) = fleet_with_deployment_on(TestFleet::start_on_sqlite());
    fleet.kill();
    let database = with_tables(&fleet);
    meets(&database, "deployments", "NEW.name := NEW.name || 'x'");
    refused(&migrate(&fleet, &database), "table `deployments` is not the same");
}
