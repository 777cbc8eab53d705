//! Devices and operators call a load balancer, HAProxy as `deploy/server/haproxy.cfg` has it, with two servers
//! behind it, of which one dies.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use serde_json::json;
use testkit::fleet::TestFleet;
use testkit::http::Http;
use testkit::postgres::Postgres;
use testkit::programs::Running;
use testkit::wait;

use crate::real_git::Git;
use crate::support::{add_web, greet, manifest, seen};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/server/haproxy.cfg");

/// Starts HAProxy with the example, which hands on what comes to this port to these servers.
fn balance(port: u16, servers: [u16; 2], ca: &Path) -> Running {
    let mut text = fs::read_to_string(EXAMPLE).expect("the example can be read");
    for (from, to) in [
        // Each takes two open files, of which the machine of a test may not have so many.
        ("maxconn 20000", "maxconn 200".to_owned()),
        ("bind :443", format!("bind 127.0.0.1:{port}")),
        ("192.0.2.11:443", format!("127.0.0.1:{}", servers[0])),
        ("192.0.2.12:443", format!("127.0.0.1:{}", servers[1])),
        ("/etc/haproxy/gantry-ca.pem", ca.display().to_string()),
        ("gantry.example", "localhost".to_owned()),
    ] {
        assert!(text.contains(from), "the example has no {from:?}");
        text = text.replace(from, &to);
    }
    let folder = ca.parent().expect("it is in a folder");
    let (file, log) = (folder.join("haproxy.cfg"), folder.join("haproxy.log"));
    fs::write(&file, text).expect("it can be written");
    let mut haproxy = Command::new("haproxy");
    haproxy.arg("-db").arg("-f").arg(&file);
    // Where Debian has it, and where not everybody looks.
    haproxy.env("PATH", format!("{}:/usr/sbin", env::var("PATH").unwrap_or_default()));
    Running::start(&mut haproxy, &log)
}

/// Whether somebody has polled at the server that listens at this port, which may not have started yet.
fn was_polled(fleet: &TestFleet, listen: u16) -> bool {
    let bearer = format!("Bearer {}", fleet.operator().token());
    let server = Http::through(&fleet.url(), &fleet.ca(), listen);
    let metrics = server.try_send("GET", "/metrics", &[("authorization", &bearer)], None);
    let Ok(metrics) = metrics else { return false };
    let text = metrics.expect(200).text();
    let mut polls = text.lines().filter(|it| it.starts_with("gantry_polls_total{"));
    polls.any(|it| !it.ends_with(" 0"))
}

#[test]
fn a_load_balancer_may_choose_any_server_and_outlives_each() {
    let mut first = TestFleet::start_on(Postgres::shared().database());
    let (port, own) = first.move_behind();
    let second = first.replica();
    first.launch_server();
    let _balancer = balance(port, [own, second.listen()], &first.ca());
    first.await_server();

    add_web(&first);
    let mut press = first.accepted_client("press-7");
    let deployment = first.operator().deploy("com-example-web", press.id(), &json!({}));
    first.operator().published(&deployment);
    press.report(&deployment, "installed", &[("web", "installed")]).expect(201);
    assert_eq!(seen(&first, &deployment), "installed");
    let git = Git::of(&first, &press);
    git.clone(&[]);
    assert_eq!(git.commits(), 2);
    wait::until("polls at both servers", || {
        // On a new connection, for which a server is chosen.
        press.go_through(first.http());
        assert_eq!(manifest(&press)["manifestVersion"], 2);
        let polled = [own, second.listen()].map(|it| was_polled(&first, it));
        (polled == [true, true]).then_some(())
    });

    first.kill();
    greet(&first, &deployment, "Moin", "one server is gone");
    first.operator().published(&deployment);
    for _ in 0..20 {
        press.go_through(first.http());
        assert_eq!(manifest(&press)["manifestVersion"], 3);
    }
    press.report(&deployment, "installed", &[("web", "installed")]).expect(200);
    git.in_checkout(&["pull", "--quiet"]);
    assert_eq!(git.commits(), 3);

    first.launch_server();
    wait::until("the other server to be chosen again", || {
        press.go_through(first.http());
        assert_eq!(manifest(&press)["manifestVersion"], 3);
        was_polled(&first, own).then_some(())
    });
}
