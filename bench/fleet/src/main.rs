//! A whole fleet on one machine: clients with keys and signatures of their own, over real TLS, that come in,
//! poll, install what is ordered, and come back after an outage, all of them against a real server.
//! `bench/README.md` says more. A step that cannot do its part panics and says what it was doing.

mod application;
mod client;
mod fleet;
mod git;
mod link;
mod onboarding;
mod operator;
mod pace;
mod settings;
mod store;
mod tally;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::fleet::TestFleet;
use testkit::{memory, meter};
use tokio::runtime::Runtime;

use client::Client;
use fleet::Fleet;
use link::Way;
use onboarding::Stranger;
use operator::Operator;
use settings::Settings;
use tally::{Counted, Tally};

/// Every client is let in as soon as it asks.
const OPEN: &str = "[onboarding]\npolicy = \"open\"\n";
/// How often the operator looks at what has come of an order.
const LOOK: Duration = Duration::from_millis(100);
/// How often all of that is told.
const PROGRESS: Duration = Duration::from_secs(10);
/// How old the server's numbers of deployments may be, and more.
const METRICS_AGE: Duration = Duration::from_secs(30);

fn main() {
    let settings = Settings::from_environment();
    let start = Instant::now();
    let step = |text: &str| tell(&format!("[{:4} s] {text}", start.elapsed().as_secs()));
    let runtime = Runtime::new().expect("a runtime can be made");

    let cluster = store::cluster(settings.engine);
    let mut server = store::server(cluster.as_ref(), OPEN);
    let empty = store::size(&mut server);
    let (clients, onboardings_per_s) = come_in(&mut server, &runtime, &settings, &step);
    let fleet = Arc::new(Fleet { clients, way: Arc::new(Way::to(&server)) });
    let polls = poll(&server, &fleet, &runtime, &settings, &step);
    let order = order(&server, &fleet, &runtime, &settings, &step);
    let outage = fail_and_return(&mut server, &fleet, &runtime, &settings, &step);
    let bytes = store::size(&mut server);

    step("done");
    let figures = json!({
        "clients": settings.clients,
        "database": settings.engine.name(),
        "polls_per_s": tenths(polls.per_second),
        "polls_per_s_most": polls.most_per_second.round(),
        "p50_ms": hundredths(polls.p50_ms),
        "p99_ms": hundredths(polls.p99_ms),
        "server_pss_bytes": polls.pss,
        "server_cores": thousandths(polls.server_cores),
        "simulator_cores": thousandths(polls.own_cores),
        "onboardings_per_s": onboardings_per_s.round(),
        "order_to_published_s": thousandths(order.published.as_secs_f64()),
        "order_to_installed_s": thousandths(order.installed.as_secs_f64()),
        "return_5xx": outage.server_errors,
        "return_s": thousandths(outage.took.as_secs_f64()),
        "database_bytes": bytes,
        "database_bytes_per_client": (bytes - empty) / settings.clients as u64,
    });
    say(&figures.to_string());
}

/// Lets some of the clients come in over the API and fills the store with the others. Gives them all, and
/// how many come in in a second.
fn come_in(
    server: &mut TestFleet,
    runtime: &Runtime,
    settings: &Settings,
    step: &dyn Fn(&str),
) -> (Vec<Client>, f64) {
    let Settings { clients: all, onboarding: some, .. } = *settings;
    step(&format!("{some} of {all} clients come in over the API"));
    let strangers: Vec<Stranger> = (0..some).map(Stranger::new).collect();
    let way = Arc::new(Way::to(server));
    let onboarded = runtime.block_on(onboarding::onboard(strangers, &way));
    let per_second = some as f64 / onboarded.took.as_secs_f64();
    step(&format!("  {per_second:.0} in a second"));
    let began = Instant::now();
    let settled = onboarding::settle(onboarded.clients, &way, |place| settings.uses_git(place));
    let mut clients = runtime.block_on(settled);
    step(&format!(
        "  {:.1} s for their capabilities and their first desired state",
        began.elapsed().as_secs_f64()
    ));

    let others = all - some;
    if others > 0 {
        step(&format!("the store is filled with the other {others}, of three revisions each"));
        let members = store::fill(server, others, step);
        clients.reserve_exact(others);
        clients.extend(members.iter().enumerate().map(|(number, member)| {
            Client::of_population(member, settings.uses_git(some + number))
        }));
    }
    (clients, per_second)
}

struct Polls {
    per_second: f64,
    most_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// The server's memory at the end of the window.
    pss: u64,
    server_cores: f64,
    own_cores: f64,
}

fn poll(
    server: &TestFleet,
    fleet: &Arc<Fleet>,
    runtime: &Runtime,
    settings: &Settings,
    step: &dyn Fn(&str),
) -> Polls {
    let Settings { interval, window, .. } = *settings;
    let tally = Arc::new(Tally::default());
    step(&format!("each polls every {} s; the first time counts for nothing", interval.as_secs()));
    let polling = runtime.spawn(Arc::clone(fleet).come_spread(interval, Arc::clone(&tally)));
    // Until as many connections are left open as there are going to be.
    thread::sleep(interval.max(window / 2));
    let warm = tally.take();
    step(&format!("  {} polls{}", warm.count(), warm.failures()));

    let cpu = || [server.server_id(), std::process::id()].map(meter::cpu_time);
    let (began, before) = (Instant::now(), cpu());
    thread::sleep(window);
    let (took, after, counted) = (began.elapsed().as_secs_f64(), cpu(), tally.take());
    let pss = memory::pss(server.server_id());
    polling.abort();
    let cores = |place: usize| after[place].saturating_sub(before[place]).as_secs_f64() / took;
    let per_second = counted.count() as f64 / took;
    step(&format!(
        "  {per_second:.1} polls a second, half of them within {:.2} ms, 99 % within {:.2} ms{}; the \
         server takes {} MB and {:.3} cores, the fleet {:.3}",
        counted.percentile(50),
        counted.percentile(99),
        counted.failures(),
        pss >> 20,
        cores(0),
        cores(1)
    ));

    step("they poll as fast as they can");
    let began = Instant::now();
    runtime.block_on(fleet.come_flat_out(settings.flat_out(), &tally));
    let flat_out = tally.take();
    let most_per_second = flat_out.count() as f64 / began.elapsed().as_secs_f64();
    step(&format!(
        "  {most_per_second:.0} polls a second, half of them within {:.2} ms, 99 % within {:.2} ms{}",
        flat_out.percentile(50),
        flat_out.percentile(99),
        flat_out.failures()
    ));
    Polls {
        per_second,
        most_per_second,
        p50_ms: counted.percentile(50),
        p99_ms: counted.percentile(99),
        pss,
        server_cores: cores(0),
        own_cores: cores(1),
    }
}

/// How long it took from the first order until all was so.
struct Order {
    published: Duration,
    installed: Duration,
}

fn order(
    server: &TestFleet,
    fleet: &Arc<Fleet>,
    runtime: &Runtime,
    settings: &Settings,
    step: &dyn Fn(&str),
) -> Order {
    server.operator().add_application(&application::package()).expect(201);
    let token = Arc::from(server.operator().token());
    let interval = settings.order_interval();
    step(&format!("an application is ordered for all; each polls every {} s", interval.as_secs()));
    let tally = Arc::new(Tally::default());
    let polling = runtime.spawn(Arc::clone(fleet).come_spread(interval, Arc::clone(&tally)));
    let before = meter::cpu_time(server.server_id());
    let order = runtime.block_on(see_through(&token, fleet, step));
    let cpu = meter::cpu_time(server.server_id()).saturating_sub(before);
    polling.abort();
    let counted = tally.take();
    step(&format!(
        "  {} contacts, 99 % of them within {:.0} ms{}; the server took {:.1} s of CPU time",
        counted.count(),
        counted.percentile(99),
        counted.failures(),
        cpu.as_secs_f64()
    ));
    order
}

async fn see_through(token: &Arc<str>, fleet: &Arc<Fleet>, step: &dyn Fn(&str)) -> Order {
    let mut operator = Operator::new(token, fleet);
    let count = fleet.clients.len();
    let before = operator.metric(PUBLICATIONS).await;
    let began = Instant::now();
    let ordering = tokio::spawn({
        let (token, fleet) = (Arc::clone(token), Arc::clone(fleet));
        async move { Operator::order_for_all(&token, &fleet).await }
    });
    let (mut ordered, mut published, mut told) = (None, None, Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        if ordered.is_none() && ordering.is_finished() {
            ordered = Some(began.elapsed());
            step(&format!("  all are ordered after {:.1} s", began.elapsed().as_secs_f64()));
        }
        let publications = operator.metric(PUBLICATIONS).await - before;
        if published.is_none() && publications >= count as u64 {
            published = Some(began.elapsed());
            step(&format!("  all are published after {:.1} s", began.elapsed().as_secs_f64()));
        }
        let installed = fleet.clients.iter().filter(|it| it.has_installed()).count();
        if installed == count {
            break;
        }
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            step(&format!("  {publications} published, {installed} installed"));
        }
    }
    ordering.await.expect("orders are taken");
    // The server answers a report when it is durable; the operator sees it all the same.
    let last = fleet.clients.iter().filter_map(Client::ordered).next_back();
    let state = operator.state_of(last.expect("all were ordered")).await;
    assert_eq!(state, "installed");
    let installed = began.elapsed();
    step(&format!("  all are installed after {:.1} s", installed.as_secs_f64()));
    let end = Instant::now() + METRICS_AGE;
    while operator.metric(INSTALLED).await != count as u64 {
        assert!(Instant::now() < end, "the operator sees every one as installed");
        tokio::time::sleep(LOOK).await;
    }
    Order { published: published.unwrap_or(installed), installed }
}

const PUBLICATIONS: &str = "gantry_publications_total";
const INSTALLED: &str = "gantry_deployments{state=\"installed\"}";

struct Outage {
    server_errors: u64,
    took: Duration,
}

fn fail_and_return(
    server: &mut TestFleet,
    fleet: &Arc<Fleet>,
    runtime: &Runtime,
    settings: &Settings,
    step: &dyn Fn(&str),
) -> Outage {
    step("the server is away until all are due; then all come at once");
    server.stop();
    server.start_server();
    let tally = Arc::new(Tally::default());
    let began = Instant::now();
    runtime.block_on(fleet.come_at_once(settings.interval, &tally));
    let took = began.elapsed();
    let counted: Counted = tally.take();
    step(&format!(
        "  all are served after {:.1} s, half of them within {:.0} ms of their last attempt{}; the server \
         takes {} MB",
        took.as_secs_f64(),
        counted.percentile(50),
        counted.failures(),
        memory::pss(server.server_id()) >> 20
    ));
    Outage { server_errors: counted.server_errors, took }
}

fn tenths(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

fn hundredths(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

fn thousandths(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "progress is no result")]
fn tell(line: &str) {
    eprintln!("{line}");
}
