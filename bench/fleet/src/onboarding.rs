//! Clients that come in over the API: each with a key and a certificate of its own, which the server has
//! never seen.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, stream};
use http::Request;
use http_signature::SigningKey;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use testkit::client::capabilities_of;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::client::{Client, ContactError, signed, successful};
use crate::link::{Ticket, Way};
use crate::pace;

/// So many come in at a time.
const AT_A_TIME: usize = 64;

/// Somebody who wants to come in.
pub(crate) struct Stranger {
    key: SigningKey,
    request: Value,
}

/// Those who came in, and how long that took.
pub(crate) struct Onboarded {
    pub(crate) clients: Vec<Client>,
    pub(crate) took: Duration,
}

impl Stranger {
    /// Makes a key, and a certificate of it.
    pub(crate) fn new(number: usize) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("P-256 keys can be made");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name(number));
        let certificate = params.self_signed(&pair).expect("a key can sign its own certificate");
        let request = json!({
            "apiVersion": "onboarding.margo.org/v1alpha1",
            "kind": "OnboardingRequest",
            "certificate": STANDARD.encode(certificate.der()),
        });
        let key = SigningKey::from_pkcs8_der(pair.serialized_der());
        Self { key: key.expect("rcgen writes PKCS#8"), request }
    }

    /// Asks until it is let in. Each asks on a connection of its own.
    async fn onboard(self, way: &Arc<Way>) -> Client {
        let mut failures = 0;
        let id = loop {
            match self.ask(way).await {
                Ok(id) => break id,
                Err(error) if failures < 20 => {
                    failures += 1;
                    sleep(pace::pause(failures, error.retry_after())).await;
                }
                Err(error) => panic!("a client is not let in: {error}"),
            }
        };
        Client::onboarded(id, self.key)
    }

    async fn ask(&self, way: &Arc<Way>) -> Result<Uuid, ContactError> {
        let mut connection = way.connection(&Arc::new(Ticket::default()));
        let request = Request::post("/api/v1/onboarding");
        let request = signed(&self.key, "onboarding", &connection, request, Some(&self.request));
        let answer = successful(connection.ask(request).await?)?;
        let answer: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| ContactError::Nonsense("the answer is no JSON"))?;
        let id = answer["clientId"].as_str().and_then(|it| it.parse().ok());
        id.ok_or(ContactError::Nonsense("there is no id"))
    }
}

/// Lets all of them in.
pub(crate) async fn onboard(strangers: Vec<Stranger>, way: &Arc<Way>) -> Onboarded {
    let began = Instant::now();
    let clients = stream::iter(strangers).map(|it| it.onboard(way)).buffered(AT_A_TIME);
    let clients = clients.collect().await;
    Onboarded { clients, took: began.elapsed() }
}

/// What each does next: it says what device it speaks for, asks for its repository if it polls with Git, and
/// fetches its first desired state.
pub(crate) async fn settle(
    clients: Vec<Client>,
    way: &Arc<Way>,
    uses_git: impl Fn(usize) -> bool,
) -> Vec<Client> {
    let settled = stream::iter(clients.into_iter().enumerate()).map(|(number, mut client)| {
        let uses_git = uses_git(number);
        async move {
            for failures in 1_u32.. {
                let Err(error) = settle_one(&mut client, number, way, uses_git).await else {
                    break;
                };
                assert!(failures < 20, "a client cannot settle: {error}");
                sleep(pace::pause(failures, error.retry_after())).await;
            }
            client
        }
    });
    settled.buffered(AT_A_TIME).collect().await
}

async fn settle_one(
    client: &mut Client,
    number: usize,
    way: &Arc<Way>,
    uses_git: bool,
) -> Result<(), ContactError> {
    let mut connection = client.connection(way);
    client.describe(&mut connection, &capabilities_of(&name(number))).await?;
    if uses_git {
        client.use_git(&mut connection).await?;
    }
    client.contact(&mut connection, Duration::from_secs(60)).await
}

fn name(number: usize) -> String {
    format!("press-{number}")
}
