//! `gantry application`: the catalogue.

use std::path::Path;

use anyhow::Result;
use operator_api::{Application, ApplicationSummary, Page, Parameter};

use super::{Context, or_dash};
use crate::api::segment;
use crate::arguments::{ApplicationArgument, ApplicationCommand};
use crate::failure::Failure;
use crate::{output, package, table};

pub(super) fn run(command: &ApplicationCommand, context: &Context) -> Result<()> {
    match command {
        ApplicationCommand::Add { package } => add(package, context),
        ApplicationCommand::List => {
            let applications: Page<ApplicationSummary> = context.api.get("/applications")?;
            output::result(context.format, &applications, list)
        }
        ApplicationCommand::Show { application } => {
            let application = find(application, context)?;
            output::result(context.format, &application, show)
        }
        ApplicationCommand::Remove { application } => remove(application, context),
    }
}

fn add(path: &Path, context: &Context) -> Result<()> {
    let upload = package::read(path)?;
    let application: Application =
        context.api.upload("/applications", upload.content_type, &upload.bytes)?;
    output::result(context.format, &application, |it| {
        table::clean(&format!("{}@{} is in the catalogue.", it.id, it.version)) + "\n"
    })
}

/// The version that is named, or the newest one.
pub(super) fn find(argument: &ApplicationArgument, context: &Context) -> Result<Application> {
    let (id, found) = match &argument.version {
        Some(version) => {
            let id = format!("{}@{version}", argument.id);
            (id, context.api.find(&path(&argument.id, version))?)
        }
        None => (argument.id.clone(), versions(&argument.id, context)?.into_iter().next()),
    };
    found.ok_or_else(|| none(&id).into())
}

fn remove(argument: &ApplicationArgument, context: &Context) -> Result<()> {
    let id = &argument.id;
    let version = match &argument.version {
        Some(version) => version.clone(),
        None => only_version(id, versions(id, context)?)?,
    };
    context.api.delete(&path(id, &version))?;
    output::sentence(context.format, &format!("Removed {id}@{version} from the catalogue."))
}

fn only_version(id: &str, versions: Vec<Application>) -> Result<String, Failure> {
    let mut versions: Vec<String> = versions.into_iter().map(|it| it.version).collect();
    match versions.len() {
        0 => Err(none(id)),
        1 => Ok(versions.remove(0)),
        _ => Err(Failure::Conflict(format!(
            "{id} has several versions; name one: {id}@VERSION with {}",
            versions.join(", ")
        ))),
    }
}

fn versions(id: &str, context: &Context) -> Result<Vec<Application>> {
    let page: Option<Page<Application>> =
        context.api.find(&format!("/applications/{}", segment(id)))?;
    Ok(page.map(|it| it.items).unwrap_or_default())
}

fn none(id: &str) -> Failure {
    Failure::NotFound(format!(
        "there is no application `{id}`; `gantry application list` tells which there are"
    ))
}

fn path(id: &str, version: &str) -> String {
    format!("/applications/{}/{}", segment(id), segment(version))
}

fn list(applications: &Page<ApplicationSummary>) -> String {
    let row = |it: &ApplicationSummary| {
        let (id, version) = (it.id.clone(), it.version.clone());
        [id, version, it.name.clone(), it.added_at.clone(), it.added_by.clone()]
    };
    let rows: Vec<[String; 5]> = applications.items.iter().map(row).collect();
    table::render(["ID", "VERSION", "NAME", "ADDED", "BY"], &rows)
}

fn show(application: &Application) -> String {
    let mut text = table::fields(&[
        ("Id", Some(application.id.clone())),
        ("Version", Some(application.version.clone())),
        ("Name", Some(application.name.clone())),
        ("Description", application.description.clone()),
        ("Digest", Some(application.digest.clone())),
        ("Added", Some(format!("{} by {}", application.added_at, application.added_by))),
    ]);
    let profiles: Vec<[String; 3]> = application
        .profiles
        .iter()
        .map(|it| [it.id.clone(), it.kind.clone(), it.components.join(", ")])
        .collect();
    text.push('\n');
    text.push_str(&table::render(["PROFILE", "TYPE", "COMPONENTS"], &profiles));
    if !application.parameters.is_empty() {
        let rows: Vec<[String; 4]> = application.parameters.iter().map(parameter_row).collect();
        text.push('\n');
        text.push_str(&table::render(["PARAMETER", "DEFAULT", "ACCEPTS", "DESCRIPTION"], &rows));
    }
    text
}

fn parameter_row(parameter: &Parameter) -> [String; 4] {
    let mut accepts = or_dash(parameter.accepts.as_deref());
    if parameter.immutable {
        accepts.push_str(", cannot change later");
    }
    [
        parameter.name.clone(),
        or_dash(parameter.default.as_ref().map(ToString::to_string).as_deref()),
        accepts,
        or_dash(parameter.description.as_deref()),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn application(version: &str) -> Application {
        serde_json::from_value(json!({
            "id": "a", "version": version, "name": "A", "digest": "d", "addedAt": "t",
            "addedBy": "ann", "profiles": [], "parameters": [
                {"name": "port", "default": 8080, "accepts": "a whole number", "immutable": true},
            ],
        }))
        .expect("an application")
    }

    #[test]
    fn a_version_may_be_left_out_only_where_there_is_one() {
        assert_eq!(only_version("a", vec![application("1")]).expect("one"), "1");
        let several = only_version("a", vec![application("2"), application("1")]);
        assert!(several.expect_err("two").to_string().contains("2, 1"));
        assert!(matches!(only_version("a", Vec::new()), Err(Failure::NotFound(_))));
    }

    #[test]
    fn a_parameter_shows_what_it_accepts() {
        let text = show(&application("1"));
        assert!(text.contains("port       8080     a whole number, cannot change later"), "{text}");
    }
}
