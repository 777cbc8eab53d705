//! What a commit tells: who ordered what, when and why, and trailers that programs can read. What
//! operators write is folded into one line, so that nobody can forge a trailer.

use commit_signature::{Recovery, Signer};
use fleet_domain::desired_state::{Order, Ordered, OrderedDeployment, ParameterChange};
use fleet_domain::ids::RevisionNumber;
use git_serve::object::Person;

/// The longest piece of an operator's text in a message, in characters.
const LONGEST_TEXT: usize = 500;
const LONGEST_SUBJECT: usize = 100;
/// Names that end with `.invalid` belong to nobody (RFC 2606).
const DOMAIN: &str = "gantry.invalid";
/// The address of the fleet manager, by which its signatures are looked up.
pub const COMMITTER_EMAIL: &str = "gantry@gantry.invalid";

/// The message of a revision.
pub(crate) fn of(
    number: RevisionNumber,
    orders: &[Order],
    introduces: Option<&Signer>,
    recovery: Option<&Recovery>,
) -> String {
    let subject = match orders {
        [] if recovery.is_some() => "Publish again above versions that were lost".to_owned(),
        [] => "Publish the desired state".to_owned(),
        [order] => subject(order),
        [first, more @ ..] => format!("{} and {} more", subject(first), more.len()),
    };
    let mut message = format!("{}\n", cut(&subject, LONGEST_SUBJECT));
    for order in orders {
        // One order alone is what the subject says already.
        let heading =
            if orders.len() > 1 { format!("{}.\n", self::subject(order)) } else { String::new() };
        message.push_str(&format!("\n{heading}{}\n", paragraph(order)));
    }
    message.push_str(&format!("\nMargo-Manifest-Version: {number}\n"));
    for order in orders {
        message.push_str(&format!("Gantry-Operator: {}\n", order.operator));
        for deployment in deployments(order) {
            message.push_str(&format!("Gantry-Deployment: {}\n", deployment.id));
        }
    }
    if let Some(signer) = introduces {
        message.push_str(&format!("{}\n", signer.introduction()));
    }
    if let Some(recovery) = recovery {
        message.push_str(&format!("{}\n", recovery.declaration()));
    }
    message
}

/// Who ordered the revision: the operator, if it was one alone.
pub(crate) fn author(orders: &[Order], now: i64) -> Person {
    match orders {
        [first, more @ ..] if more.iter().all(|it| it.operator == first.operator) => Person {
            name: first.operator.to_string(),
            email: format!("{}@{DOMAIN}", first.operator.as_str().replace('@', ".")),
            at: orders.iter().map(|it| it.at).max().unwrap_or(now),
        },
        _ => gantry(now),
    }
}

/// The fleet manager itself.
pub(crate) fn gantry(now: i64) -> Person {
    Person { name: "Gantry".to_owned(), email: COMMITTER_EMAIL.to_owned(), at: now }
}

fn subject(order: &Order) -> String {
    match &order.what {
        Ordered::Admit { client } => format!("Admit {}", line(client)),
        Ordered::Install { deployment: it } => {
            format!("Install {} {} as {}", it.application, it.version, it.name)
        }
        Ordered::Update { deployment: it } => {
            let changes: Vec<String> = it.changes.iter().map(change).collect();
            let changes = if changes.is_empty() {
                format!("to {} {}", it.application, it.version)
            } else {
                changes.join(", ")
            };
            format!("Update {}: {changes}", it.name)
        }
        Ordered::Remove { deployment: it } => format!("Remove {}", it.name),
        Ordered::RollBack { to, .. } => format!("Roll back to revision {to}"),
    }
}

fn paragraph(order: &Order) -> String {
    let mut lines = Vec::new();
    match &order.what {
        Ordered::Admit { .. } => {}
        Ordered::Install { deployment }
        | Ordered::Update { deployment }
        | Ordered::Remove { deployment } => {
            lines.push(format!("Application: {} {}", deployment.application, deployment.version));
            lines.extend(deployment.changes.iter().map(|it| format!("Parameter {}", change(it))));
        }
        Ordered::RollBack { to: _, installed, updated, removed } => {
            lines.extend(installed.iter().map(|it| step("Install", it)));
            lines.extend(updated.iter().map(|it| step("Update", it)));
            lines.extend(removed.iter().map(|it| step("Remove", it)));
        }
    }
    match &order.reason {
        Some(reason) => lines.push(format!("Reason: {}", line(reason))),
        None => lines.push("Reason: none was given".to_owned()),
    }
    lines.push(format!("Ordered by {}.", order.operator));
    lines.join("\n")
}

fn change(change: &ParameterChange) -> String {
    let name = line(&change.name);
    match (&change.before, &change.after) {
        (None, Some(after)) => format!("{name} = {}", line(after)),
        (Some(before), Some(after)) => format!("{name} {} -> {}", line(before), line(after)),
        (_, None) => format!("{name} unset"),
    }
}

/// What one of several deployments becomes, on one line.
fn step(verb: &str, it: &OrderedDeployment) -> String {
    let mut line = format!("{verb} {}: {} {}", it.name, it.application, it.version);
    for change in it.changes.iter().map(change) {
        line.push_str(&format!(", {change}"));
    }
    line
}

fn deployments(order: &Order) -> Vec<&OrderedDeployment> {
    match &order.what {
        Ordered::Admit { .. } => Vec::new(),
        Ordered::Install { deployment }
        | Ordered::Update { deployment }
        | Ordered::Remove { deployment } => vec![deployment],
        Ordered::RollBack { to: _, installed, updated, removed } => {
            installed.iter().chain(updated).chain(removed).collect()
        }
    }
}

/// A stranger's text on one line.
fn line(text: &str) -> String {
    let spaced: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    cut(&spaced, LONGEST_TEXT)
}

fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest).chain(['…']).collect()
}
