//! Tells the fleet manager what is in the journal, in order, until it is empty or the way is closed.

use margo_contract::deployment_status::{ComponentStatus, DeploymentStatus, Status, StatusError};
use uuid::Uuid;

use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::journal::{Entry, Journal};
use crate::onboarding::Onboarded;
use crate::running::Deployment;
use crate::state_dir::{StateDir, StateError};

/// No more reports than this are sent in one turn of the loop, which has other things to do as well.
const MOST_AT_ONCE: usize = 100;
/// Ours; servers of another make ignore it.
// margo(V-1, V-4)
const ADOPTED: &str = "gantry-adopted-manifest-version";

/// Why reporting stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("the fleet manager did not take a report")]
    Link(#[from] LinkError),
    #[error("the journal cannot be written")]
    State(#[from] StateError),
}

/// A transition of a deployment, ready for the journal.
// margo(S-1, S-2, DS-5, X-32)
pub(crate) fn entry(id: Uuid, deployment: &Deployment) -> Entry {
    let error_of = |source: &str, error: &crate::running::Error| StatusError {
        code: error.code.clone(),
        source: source.to_owned(),
        message: error.message.clone(),
    };
    let components = deployment.components.iter().map(|component| ComponentStatus {
        name: component.name.clone(),
        status: Status {
            state: component.state.state(),
            error: component.error.as_ref().map(|error| error_of(&component.name, error)),
        },
    });
    let error = deployment.components.iter().find_map(|it| it.error.as_ref());
    let status = DeploymentStatus {
        deployment_id: id,
        device_id: None,
        adopted_manifest_version: None,
        status: Status {
            state: deployment.overall(),
            error: error.map(|it| error_of(&deployment.name, it)),
        },
        components: components.collect(),
    };
    Entry {
        deployment: id,
        adopted: deployment.adopted,
        state: deployment.overall().name().to_owned(),
        document: status.to_json().to_string(),
    }
}

/// Delivers the oldest entries of the journal, in order; the rest is for the next time, so that a year
/// is not told in one breath. An entry is struck out once the fleet manager took it, or refused it for good.
// margo(S-8, CW-10, S-5, X-04, PO-1)
pub(crate) fn deliver(
    journal: &mut Journal,
    link: &FleetManager,
    client: &Onboarded,
    state: &StateDir,
) -> Result<(), ReportError> {
    let delivered = deliver_oldest(journal, link, client, state);
    link.announce_undelivered(journal.len());
    delivered
}

fn deliver_oldest(
    journal: &mut Journal,
    link: &FleetManager,
    client: &Onboarded,
    state: &StateDir,
) -> Result<(), ReportError> {
    for _ in 0..MOST_AT_ONCE {
        let Some(entry) = journal.oldest() else { break };
        // Whoever hears this one has it.
        link.announce_undelivered(journal.len() - 1);
        let path = client.path(&format!("/deployments/{}/status", entry.deployment));
        let adopted = entry.adopted.to_string();
        let headers = [(ADOPTED, adopted.as_str())];
        match link.send(
            Ask::Report,
            &path,
            &client.client_id,
            &headers,
            Some(entry.document.as_bytes()),
        ) {
            Ok(_) => {}
            // It will never be taken: what follows must not wait for it.
            Err(LinkError::Refused {
                status: status @ (400 | 404 | 413 | 415 | 422),
                detail,
                ..
            }) => {
                tracing::error!(deployment = %entry.deployment, status, detail, "a report is refused for good");
            }
            Err(error) => return Err(error.into()),
        }
        journal.strike_out(state)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use margo_contract::component::ProfileType;
    use margo_contract::digest::Digest;
    use testkit::meddler::{Meddler, Part, say};

    use super::*;
    use crate::fleet_manager::scripted::Scripted;
    use crate::running::{Component, Error, Progress};

    struct Stage {
        _folder: tempfile::TempDir,
        meddler: Meddler,
        link: FleetManager,
        client: Onboarded,
        state: StateDir,
        journal: Journal,
    }

    impl Stage {
        /// A journal with this many transitions and a fleet manager that is not yet there.
        fn with(transitions: usize) -> Self {
            let folder = tempfile::tempdir().expect("a temporary directory can be made");
            let state = StateDir::open(&folder.path().join("state")).expect("nobody else has it");
            let Scripted { meddler, link, .. } = Scripted::start(folder.path());
            let server = link.origin().to_owned();
            let client =
                Onboarded { client_id: "me".to_owned(), server, reported_capabilities: None };
            let mut journal = Journal::load(&state).expect("an empty journal");
            for number in 0..transitions {
                let entry = Entry {
                    deployment: Uuid::nil(),
                    adopted: 1,
                    state: "installing".to_owned(),
                    document: number.to_string(),
                };
                journal.append(entry, &state).expect("writable");
            }
            Self { _folder: folder, meddler, link, client, state, journal }
        }

        fn deliver(&mut self) -> Result<(), ReportError> {
            deliver(&mut self.journal, &self.link, &self.client, &self.state)
        }

        fn heard(&self) -> Vec<usize> {
            let asked = self.meddler.asked();
            let bodies = asked.iter().map(|it| String::from_utf8_lossy(&it.body).into_owned());
            bodies.map(|it| it.parse().expect("the report of this test")).collect()
        }
    }

    // margo(S-1, S-2, DS-3, DS-5, SP-46, X-32)
    #[test]
    fn a_report_has_each_component_and_each_error_says_whose_it_is() {
        let component = |name: &str, state, error: Option<&str>| Component {
            name: name.to_owned(),
            kind: ProfileType::Compose,
            project: name.to_owned(),
            namespace: "default".to_owned(),
            state,
            error: error.map(|code| Error { code: code.to_owned(), message: "no".to_owned() }),
        };
        let deployment = Deployment {
            name: "pump-monitor".to_owned(),
            digest: Digest::of(b""),
            adopted: 7,
            components: vec![
                component("db", Progress::Installed, None),
                component("api", Progress::Failed, Some("service-exited")),
                component("web", Progress::Pending, None),
            ],
            leaving: Vec::new(),
            attempts: 1,
            retry_at: 0,
            withdrawn: false,
            upkeep: None,
        };
        let entry = entry(Uuid::nil(), &deployment);
        assert_eq!((entry.adopted, entry.state.as_str()), (7, "failed"));
        let document: serde_json::Value = serde_json::from_str(&entry.document).expect("JSON");
        let error = |source: &str| serde_json::json!({"code": "service-exited", "source": source, "message": "no"});
        assert_eq!(
            document,
            serde_json::json!({
                "apiVersion": "deployment.margo.org/v1alpha1",
                "kind": "DeploymentStatusManifest",
                "deploymentId": Uuid::nil(),
                "status": {"state": "failed", "error": error("pump-monitor")},
                "components": [
                    {"name": "db", "state": "installed"},
                    {"name": "api", "state": "failed", "error": error("api")},
                    {"name": "web", "state": "pending"},
                ],
            })
        );
    }

    // margo(S-5, V-4, X-04)
    #[test]
    fn any_success_strikes_a_report_out_and_every_report_tells_its_version() {
        for status in [200, 201, 202, 204] {
            let mut stage = Stage::with(2);
            stage.meddler.play(move |_| Part::Say(say(status, &[], b"")));
            stage.deliver().expect("they are taken");
            assert_eq!(stage.journal.len(), 0, "{status}");
            for asked in stage.meddler.asked() {
                assert_eq!(asked.header(ADOPTED), Some("1"));
                assert!(
                    asked
                        .path
                        .ends_with("/deployments/00000000-0000-0000-0000-000000000000/status")
                );
            }
        }
    }

    // margo(S-8, CW-10)
    #[test]
    fn reports_go_out_in_order_and_not_all_in_one_breath() {
        let mut stage = Stage::with(MOST_AT_ONCE + 7);
        stage.meddler.play(|_| Part::Say(say(200, &[], b"")));
        stage.deliver().expect("they are taken");
        assert_eq!(stage.heard(), (0..MOST_AT_ONCE).collect::<Vec<_>>());
        stage.deliver().expect("they are taken");
        assert_eq!(stage.heard(), (0..MOST_AT_ONCE + 7).collect::<Vec<_>>());
        stage.deliver().expect("there is nothing to tell");
        assert_eq!(stage.journal.len(), 0);
        assert_eq!(stage.meddler.asked().len(), MOST_AT_ONCE + 7);
    }

    // margo(RT-2)
    #[test]
    fn a_server_that_has_had_enough_is_obeyed_in_the_middle() {
        let mut stage = Stage::with(5);
        let left = Arc::new(AtomicUsize::new(2));
        stage.meddler.play(move |_| match left.fetch_sub(1, Ordering::Relaxed) {
            1.. => Part::Say(say(200, &[], b"")),
            0 => Part::Say(say(429, &[("retry-after", "90")], b"")),
        });
        let Err(ReportError::Link(error)) = stage.deliver() else { panic!("it was refused") };
        assert_eq!(error.retry_after().map(|it| it.as_secs()), Some(90));
        assert_eq!(stage.heard(), [0, 1, 2], "nothing more was asked");
        assert_eq!(stage.journal.len(), 3, "what was not taken is still there");
        stage.meddler.play(|_| Part::Say(say(200, &[], b"")));
        stage.deliver().expect("they are taken");
        assert_eq!(stage.heard(), [0, 1, 2, 2, 3, 4]);
    }

    // margo(S-8)
    #[test]
    fn only_the_fleet_managers_own_word_strikes_a_report_out() {
        let mut stage = Stage::with(2);
        for answer in [
            say(200, &[("content-type", "text/html")], b"<html>log in</html>"),
            say(302, &[("location", "https://login.example/")], b""),
            say(500, &[], b""),
            b"HTTP/1.1 2".to_vec(),
        ] {
            stage.meddler.play(move |_| Part::Say(answer.clone()));
            stage.deliver().expect_err("nobody took it");
            assert_eq!(stage.journal.len(), 2);
        }
        // It will never be taken, and what follows must not wait for it.
        stage
            .meddler
            .play(|asked| Part::Say(say(if asked.body == b"0" { 422 } else { 200 }, &[], b"{}")));
        stage.deliver().expect("the way is open");
        assert_eq!(stage.journal.len(), 0);
    }

    // margo(S-8)
    #[test]
    fn a_report_whose_taking_was_forgotten_is_sent_again_as_it_was() {
        let mut stage = Stage::with(2);
        let before = std::fs::read(stage.state.join("journal.log")).expect("readable");
        stage.meddler.play(|_| Part::Say(say(200, &[], b"")));
        stage.deliver().expect("they are taken");
        // A power cut took back what was written after the reports.
        std::fs::write(stage.state.join("journal.log"), before).expect("writable");
        stage.journal = Journal::load(&stage.state).expect("readable");
        stage.deliver().expect("they are taken");
        assert_eq!(stage.heard(), [0, 1, 0, 1]);
        assert_eq!(Journal::load(&stage.state).expect("readable").len(), 0);
    }
}
