//! What an operator means by a short name: ids are long, so clients and deployments also answer to
//! names and to the beginning of their id, as long as it is unmistakable.

use std::collections::BTreeSet;

use operator_api::{Client, Deployment, Page};

use crate::api::Api;
use crate::failure::Failure;

/// The shortest beginning of an id that is looked for.
const SHORTEST_PREFIX: usize = 4;

/// Something that can be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    id: String,
    names: Vec<String>,
    /// What tells it from others of the same name.
    about: String,
    /// Whether it still matters; what is over gives way when names are equal.
    current: bool,
}

/// Finds the client that `text` means.
pub(crate) fn client(api: &Api, text: &str) -> anyhow::Result<Client> {
    if let Ok(id) = uuid::Uuid::try_parse(text)
        && let Some(client) = api.find(&format!("/clients/{id}"))?
    {
        return Ok(client);
    }
    let mut clients = among(&api.list("/clients")?.items, &[text])?;
    Ok(clients.pop().expect("each text means a client"))
}

/// Finds the clients that `texts` mean, each once.
pub(crate) fn clients(api: &Api, texts: &[String]) -> anyhow::Result<Vec<Client>> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut clients = among(&api.list("/clients")?.items, &texts)?;
    let mut seen = BTreeSet::new();
    clients.retain(|it| seen.insert(it.id.clone()));
    Ok(clients)
}

fn among(clients: &[Client], texts: &[&str]) -> Result<Vec<Client>, Failure> {
    let candidates: Vec<Candidate> = clients.iter().map(of_client).collect();
    texts.iter().map(|text| Ok(clients[find("client", text, &candidates)?].clone())).collect()
}

/// Finds the deployment that `text` means.
pub(crate) fn deployment(api: &Api, text: &str) -> anyhow::Result<Deployment> {
    if let Ok(id) = uuid::Uuid::try_parse(text)
        && let Some(deployment) = api.find(&format!("/deployments/{id}"))?
    {
        return Ok(deployment);
    }
    let deployments: Page<Deployment> = api.list("/deployments")?;
    let candidates: Vec<Candidate> = deployments.items.iter().map(of_deployment).collect();
    let place = find("deployment", text, &candidates)?;
    Ok(deployments.items.into_iter().nth(place).expect("one candidate for each deployment"))
}

fn of_client(client: &Client) -> Candidate {
    let mut names = vec![client.name.clone()];
    names.extend(client.devices.iter().map(|device| device.id.clone()));
    let current = match client.standing {
        operator_api::Standing::Waiting | operator_api::Standing::Approved => true,
        operator_api::Standing::Rejected | operator_api::Standing::Revoked => false,
    };
    let about = format!("onboarded {}", client.onboarded_at);
    Candidate { id: client.id.clone(), names, about, current }
}

fn of_deployment(deployment: &Deployment) -> Candidate {
    Candidate {
        id: deployment.id.clone(),
        names: vec![deployment.name.clone()],
        about: format!("on {}, ordered {}", deployment.device_id, deployment.ordered_at),
        current: deployment.wanted,
    }
}

/// The place of the one candidate that `text` means.
fn find(kind: &str, text: &str, candidates: &[Candidate]) -> Result<usize, Failure> {
    let places = |matches: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        (0..candidates.len()).filter(|place| matches(&candidates[*place])).collect()
    };
    let named = |it: &Candidate| it.names.iter().any(|name| name == text);
    let begins = |it: &Candidate| text.len() >= SHORTEST_PREFIX && it.id.starts_with(text);
    let steps = [
        places(&|it| it.id == text),
        places(&|it| it.current && named(it)),
        places(&named),
        places(&begins),
    ];
    match steps.into_iter().find(|places| !places.is_empty()).as_deref() {
        None => Err(Failure::NotFound(format!(
            "no {kind} has the id or name `{text}`, or an id with this beginning (of \
             {SHORTEST_PREFIX} characters or more); `gantry {kind} list` tells which there are"
        ))),
        Some([place]) => Ok(*place),
        Some(several) => {
            let lines: Vec<String> = several.iter().map(|it| line(&candidates[*it])).collect();
            Err(Failure::Conflict(format!(
                "`{text}` can mean several; give the id of one {kind}:\n{}",
                lines.join("\n")
            )))
        }
    }
}

fn line(candidate: &Candidate) -> String {
    let Candidate { id, names, about, .. } = candidate;
    format!("  {id}  {} ({about})", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Vec<Candidate> {
        let candidate = |id: &str, names: &[&str], current| Candidate {
            id: id.to_owned(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            about: format!("of {id}"),
            current,
        };
        vec![
            candidate("aaaa1111", &["press-7", "press-7"], true),
            candidate("aaaa2222", &["press-8", "line/8"], true),
            candidate("bbbb3333", &["press-8"], true),
            candidate("cccc4444", &["press-7"], false),
            candidate("dddd5555", &["aaaa1111"], true),
            candidate("eeee6666", &["old"], false),
        ]
    }

    #[test]
    fn an_id_goes_before_a_name_and_a_name_before_a_beginning() {
        assert_eq!(find("client", "aaaa1111", &fleet()).expect("the id"), 0);
        assert_eq!(find("client", "line/8", &fleet()).expect("the name"), 1);
        assert_eq!(find("client", "bbbb", &fleet()).expect("the beginning"), 2);
    }

    #[test]
    fn what_is_over_gives_way_to_what_is_not() {
        assert_eq!(find("client", "press-7", &fleet()).expect("the current one"), 0);
        assert_eq!(find("client", "old", &fleet()).expect("the only one"), 5);
    }

    #[test]
    fn an_ambiguous_name_lists_the_candidates() {
        for text in ["press-8", "aaaa"] {
            let error = find("client", text, &fleet()).expect_err("two candidates");
            assert!(matches!(error, Failure::Conflict(_)));
            assert!(
                error.to_string().contains("aaaa2222  press-8, line/8 (of aaaa2222)"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_short_beginning_or_a_stranger_is_not_found() {
        for text in ["bbb", "nobody", ""] {
            let error = find("client", text, &fleet()).expect_err("nothing");
            assert!(matches!(error, Failure::NotFound(_)), "{text}");
        }
    }
}
