//! Getting in: the certificate is presented until the fleet manager gives an id (contract §16.1).

use margo_contract::onboarding::OnboardingRequest;
use serde::{Deserialize, Serialize};

use crate::fleet_manager::{Ask, FleetManager, LinkError};
use crate::identity::Certificate;
use crate::state_dir::{StateDir, StateError};

const FILE: &str = "onboarded.json";
const PATH: &str = "/api/v1/onboarding";

/// Who the fleet manager says we are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Onboarded {
    /// URL-safe, given by the fleet manager.
    pub(crate) client_id: String,
    /// The fleet manager that gave it; with another one the id means nothing.
    pub(crate) server: String,
    /// The capabilities that it has heard, as a digest.
    #[serde(default)]
    pub(crate) reported_capabilities: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnboardingAnswer {
    client_id: String,
}

impl Onboarded {
    /// What is known of an earlier onboarding with this fleet manager.
    pub(crate) fn load(state: &StateDir, server: &str) -> Result<Option<Self>, StateError> {
        Ok(state.load::<Self>(FILE)?.filter(|it| it.server == server))
    }

    pub(crate) fn save(&self, state: &StateDir) -> Result<(), StateError> {
        state.save(FILE, self)
    }

    /// A path below this client's own resources.
    // margo(SP-9)
    pub(crate) fn path(&self, below: &str) -> String {
        format!("/api/v1/clients/{}{below}", self.client_id)
    }
}

/// Asks to be let in once.
// margo(SP-2, SP-14, SP-16)
pub(crate) fn ask(link: &FleetManager, certificate: &Certificate) -> Result<Onboarded, LinkError> {
    let request =
        OnboardingRequest { certificate_der: certificate.der.clone(), intermediates: Vec::new() };
    let body = request.to_json().to_string();
    let keyid = certificate.fingerprint();
    let answer = link.send(Ask::Onboarding, PATH, &keyid, &[], Some(body.as_bytes()))?;
    let OnboardingAnswer { client_id } = serde_json::from_slice(&answer.body)
        .map_err(|error| LinkError::Nonsense(format!("onboarding: {error}")))?;
    // It becomes a part of paths.
    let fits = (1..=128).contains(&client_id.len())
        && client_id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._~".contains(&it));
    if !fits {
        return Err(LinkError::Nonsense("the client id is not URL-safe".to_owned()));
    }
    let server = link.url().to_owned();
    Ok(Onboarded { client_id, server, reported_capabilities: None })
}
