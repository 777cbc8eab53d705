//! `gantry deploy` and `gantry deployment`: orders, and how far they got.

mod many;

use std::time::Duration;

use anyhow::Result;
use operator_api::{ComponentStatus, Deployment, OrderDeployment, Page, UpdateDeployment};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, application, or_dash};
use crate::api::{ApiError, segment};
use crate::arguments::{ApplicationArgument, Deploy, DeploymentCommand, Format, Order, Values};
use crate::clock::Deadline;
use crate::failure::Failure;
use crate::output::{self, Progress};
use crate::wait::{self, Goal};
use crate::{resolve, table, values};

/// How often an order that may be repeated is sent.
const MOST_ATTEMPTS: usize = 3;
const RETRY_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn deploy(deploy: &Deploy, context: &Context) -> Result<()> {
    let [client] = deploy.clients.as_slice() else { return many::deploy(deploy, context) };
    // What can be wrong here is found before anything is asked.
    let parameters = values::read(&deploy.values)?;
    let client = resolve::client(&context.api, client)?;
    let application = application::find(&deploy.application, context)?;
    let order = OrderDeployment {
        id: Some(uuid::Uuid::new_v4().to_string()),
        application_id: application.id,
        version: Some(application.version),
        client_id: client.id,
        device_id: deploy.device.clone(),
        name: deploy.name.clone(),
        parameters,
        reason: deploy.order.reason.clone(),
    };
    let deployment = send("/deployments", &order, context)?;
    finish(&deployment, &deploy.order, context)
}

/// An order carries its own id, so that sending it again after a lost answer orders nothing twice.
fn send<T: DeserializeOwned>(
    path: &str,
    order: &impl Serialize,
    context: &Context,
) -> Result<T, ApiError> {
    let mut attempt = 1;
    loop {
        match context.api.post(path, order) {
            Err(ApiError::Unreachable { .. }) if attempt < MOST_ATTEMPTS => {
                Deadline::after(RETRY_PAUSE).pause(RETRY_PAUSE);
                attempt += 1;
            }
            result => return result,
        }
    }
}

pub(super) fn run(command: &DeploymentCommand, context: &Context) -> Result<()> {
    match command {
        DeploymentCommand::List { client } => show_list(client.as_deref(), context),
        DeploymentCommand::Show { deployment } => {
            let deployment = resolve::deployment(&context.api, deployment)?;
            output::result(context.format, &deployment, show)
        }
        DeploymentCommand::Update { deployment, version, values, order } => {
            update(deployment, version.as_deref(), values, order, context)
        }
        DeploymentCommand::Remove { deployment, order } => remove(deployment, order, context),
    }
}

fn show_list(client: Option<&str>, context: &Context) -> Result<()> {
    let deployments: Page<Deployment> = match client {
        Some(client) => {
            let client = resolve::client(&context.api, client)?;
            context.api.get(&format!("/deployments?client={}", segment(&client.id)))?
        }
        None => context.api.list("/deployments")?,
    };
    output::result(context.format, &deployments, list)
}

fn update(
    name: &str,
    version: Option<&str>,
    values: &Values,
    order: &Order,
    context: &Context,
) -> Result<()> {
    let parameters = values::read(values)?;
    if version.is_none() && parameters.is_empty() {
        let message = "nothing to change; give --version, --set or --values";
        return Err(Failure::Usage(message.to_owned()).into());
    }
    let deployment = resolve::deployment(&context.api, name)?;
    if let Some(version) = version {
        let (id, version) = (deployment.application_id.clone(), Some(version.to_owned()));
        application::find(&ApplicationArgument { id, version }, context)?;
    }
    let body = UpdateDeployment {
        version: version.map(str::to_owned),
        parameters,
        reason: order.reason.clone(),
        // So that it changes what was there, and nothing that somebody else orders in this moment.
        ordered_event: Some(deployment.ordered_event),
    };
    let path = format!("/deployments/{}", segment(&deployment.id));
    let deployment: Deployment = context.api.patch(&path, &body)?;
    finish(&deployment, order, context)
}

fn remove(name: &str, order: &Order, context: &Context) -> Result<()> {
    let deployment = resolve::deployment(&context.api, name)?;
    let Deployment { id, ordered_event, .. } = deployment;
    let mut path = format!("/deployments/{}?orderedEvent={ordered_event}", segment(&id));
    if let Some(reason) = &order.reason {
        path.push_str(&format!("&reason={}", segment(reason)));
    }
    let deployment: Deployment = context.api.read(&context.api.delete(&path)?)?;
    finish(&deployment, order, context)
}

/// Says what was ordered, and waits for it when that was asked for.
fn finish(deployment: &Deployment, order: &Order, context: &Context) -> Result<()> {
    let Deployment { name, device_id, id, .. } = deployment;
    let ordered = match Goal::of(deployment) {
        Goal::Installed => format!("Ordered {name} on {device_id} ({id})."),
        Goal::Removed => format!("Withdrew {name} from {device_id} ({id})."),
    };
    if !order.wait.wait {
        return output::result(context.format, deployment, |_| table::clean(&ordered) + "\n");
    }
    if context.format == Format::Table {
        output::sentence(context.format, &ordered)?;
    }
    let now = follow(deployment, Deadline::after(order.wait.timeout), context)?;
    match context.format {
        Format::Table => Ok(()),
        Format::Json | Format::Yaml => output::result(context.format, &now, show),
    }
}

/// Waits for the end of a deployment's newest order, and says so. Gives the deployment as it is then.
pub(super) fn follow(
    deployment: &Deployment,
    deadline: Deadline,
    context: &Context,
) -> Result<Deployment> {
    let goal = Goal::of(deployment);
    let mut progress = Progress::new(context.format);
    wait::follow(&context.api, deployment, goal, deadline, &mut progress)?;
    if context.format == Format::Table {
        let done = match goal {
            Goal::Installed => "is installed",
            Goal::Removed => "is removed",
        };
        output::sentence(context.format, &format!("{} {done}.", deployment.name))?;
    }
    Ok(context.api.get(&format!("/deployments/{}", segment(&deployment.id)))?)
}

fn list(deployments: &Page<Deployment>) -> String {
    let rows: Vec<[String; 6]> = deployments.items.iter().map(row).collect();
    table::render(["ID", "NAME", "APPLICATION", "DEVICE", "WANTED", "STATE"], &rows)
}

fn row(deployment: &Deployment) -> [String; 6] {
    [
        deployment.id.clone(),
        deployment.name.clone(),
        format!("{}@{}", deployment.application_id, deployment.application_version),
        deployment.device_id.clone(),
        if deployment.wanted { "yes" } else { "no" }.to_owned(),
        wait::words(deployment.state).to_owned(),
    ]
}

fn show(deployment: &Deployment) -> String {
    let it = deployment;
    let mut text = table::fields(&[
        ("Id", Some(it.id.clone())),
        ("Name", Some(it.name.clone())),
        ("Application", Some(format!("{}@{}", it.application_id, it.application_version))),
        ("Client", Some(it.client_id.clone())),
        ("Device", Some(it.device_id.clone())),
        ("Wanted", Some(if it.wanted { "yes" } else { "no" }.to_owned())),
        ("State", Some(wait::words(it.state).to_owned())),
        ("Error", it.error.as_ref().map(wait::reason)),
        ("Revision", it.revision.map(|revision| revision.to_string())),
        ("Ordered", Some(format!("{} by {}", it.ordered_at, it.ordered_by))),
        ("Heard", it.heard_at.clone()),
    ]);
    if !it.components.is_empty() {
        let rows: Vec<[String; 3]> = it.components.iter().map(component_row).collect();
        text.push('\n');
        text.push_str(&table::render(["COMPONENT", "STATE", "ERROR"], &rows));
    }
    if !it.parameters.is_empty() {
        let rows: Vec<[String; 2]> =
            it.parameters.iter().map(|(name, value)| [name.clone(), value.to_string()]).collect();
        text.push('\n');
        text.push_str(&table::render(["PARAMETER", "VALUE"], &rows));
    }
    text
}

fn component_row(component: &ComponentStatus) -> [String; 3] {
    let error = component.error.as_ref().map(wait::reason);
    [component.name.clone(), wait::words(component.state).to_owned(), or_dash(error.as_deref())]
}
