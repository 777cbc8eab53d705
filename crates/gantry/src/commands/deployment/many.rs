//! `gantry deploy` for several clients: what can be ordered is ordered, and what was refused is told with its
//! reason.

use std::collections::BTreeMap;

use anyhow::{Error, Result};
use operator_api::{
    Application, Client, Deployment, MOST_PLACES, OrderDeployments, Page, ParameterInput, Place,
    PlaceOutcome, Standing,
};

use super::{application, send};
use crate::api::segment;
use crate::arguments::Deploy;
use crate::clock::Deadline;
use crate::commands::Context;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{self, Progress};
use crate::wait::{self, Goal};
use crate::{resolve, table, values};

pub(super) fn deploy(deploy: &Deploy, context: &Context) -> Result<()> {
    if deploy.device.is_some() {
        let message = "--device says which device of one client; give a single --to";
        return Err(Failure::Usage(message.to_owned()).into());
    }
    let parameters = values::read(&deploy.values)?;
    let clients = match deploy.to_all {
        true => let_in(context)?,
        false => resolve::clients(&context.api, &deploy.clients)?,
    };
    let application = application::find(&deploy.application, context)?;
    let outcomes = order(deploy, &parameters, &application, &clients, context)?;
    let what = format!("{}@{}", application.id, application.version);
    let page = Page::whole(outcomes);
    output::result(context.format, &page, |it| told(&what, &it.items, &clients))?;
    let failed = match deploy.order.wait.wait {
        true => follow(deploy, &page.items, context)?,
        false => None,
    };
    let refused = page.items.iter().filter_map(|it| it.refusal.as_ref());
    let (count, status) = (refused.clone().count(), refused.map(|it| it.status).max());
    match (status, failed) {
        (Some(status), _) => {
            let text = format!("{count} of {} orders were refused", page.items.len());
            Err(Failure::Refused { status, text }.into())
        }
        (None, Some(failed)) => Err(failed),
        (None, None) => Ok(()),
    }
}

fn let_in(context: &Context) -> Result<Vec<Client>> {
    let mut clients = context.api.list::<Client>("/clients")?.items;
    clients.retain(|it| it.standing == Standing::Approved);
    if clients.is_empty() {
        let message = "no client is let in; `gantry client list` shows who waits";
        return Err(Failure::NotFound(message.to_owned()).into());
    }
    Ok(clients)
}

fn order(
    deploy: &Deploy,
    parameters: &BTreeMap<String, ParameterInput>,
    application: &Application,
    clients: &[Client],
    context: &Context,
) -> Result<Vec<PlaceOutcome>> {
    let mut outcomes = Vec::with_capacity(clients.len());
    for some in clients.chunks(MOST_PLACES) {
        let place = |client: &Client| Place {
            client_id: client.id.clone(),
            device_id: None,
            id: Some(uuid::Uuid::new_v4().to_string()),
        };
        let order = OrderDeployments {
            application_id: application.id.clone(),
            version: Some(application.version.clone()),
            name: deploy.name.clone(),
            parameters: parameters.clone(),
            reason: deploy.order.reason.clone(),
            places: some.iter().map(place).collect(),
        };
        let (done, all) = (outcomes.len(), clients.len());
        let page: Page<PlaceOutcome> = match send("/deployments/batch", &order, context) {
            Err(error) if done > 0 => {
                let text =
                    format!("{done} of {all} clients are done; the same again does the others");
                return Err(Error::from(error).context(text));
            }
            page => page?,
        };
        outcomes.extend(page.items);
        if all > MOST_PLACES {
            let mut progress = Progress::new(context.format);
            progress.note(&format!("{} of {all} clients are done", outcomes.len()))?;
        }
    }
    Ok(outcomes)
}

/// Waits until every device has carried out its order, or the time is over; why the first one has not, if
/// any has not.
fn follow(deploy: &Deploy, outcomes: &[PlaceOutcome], context: &Context) -> Result<Option<Error>> {
    let deadline = Deadline::after(deploy.order.wait.timeout);
    let mut progress = Progress::without_steps(context.format);
    let (mut failed, mut count) = (None, 0);
    let ids: Vec<&String> = outcomes.iter().filter_map(|it| it.deployment_id.as_ref()).collect();
    for id in &ids {
        let deployment: Deployment = context.api.get(&format!("/deployments/{}", segment(id)))?;
        let goal = Goal::of(&deployment);
        match wait::follow(&context.api, &deployment, goal, deadline, &mut progress) {
            Ok(()) => count += 1,
            Err(error) if ExitCode::of(&error) == ExitCode::Unreachable => return Err(error),
            Err(error) => {
                progress.note(&format!("{}: {error}", deployment.device_id))?;
                failed.get_or_insert(error);
            }
        }
    }
    output::sentence(context.format, &format!("Installed on {count} of {} devices.", ids.len()))?;
    Ok(failed)
}

/// How many were ordered, and a table of those that were not.
fn told(what: &str, outcomes: &[PlaceOutcome], clients: &[Client]) -> String {
    let ordered = outcomes.iter().filter(|it| it.deployment_id.is_some()).count();
    let text = format!("Ordered {what} for {ordered} of {} clients.", outcomes.len());
    let mut text = table::clean(&text) + "\n";
    let names: BTreeMap<&str, &str> =
        clients.iter().map(|it| (it.id.as_str(), it.name.as_str())).collect();
    let rows: Vec<[String; 3]> = outcomes
        .iter()
        .filter_map(|it| {
            let name = names.get(it.client_id.as_str()).copied().unwrap_or_default();
            Some([it.client_id.clone(), name.to_owned(), it.refusal.as_ref()?.detail.clone()])
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&table::render(["CLIENT", "NAME", "REFUSED"], &rows));
    }
    text
}
