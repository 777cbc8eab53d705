//! What the engine says of a workload's containers, and what follows from it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::code;

/// A container, as `docker inspect` describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    pub(super) id: String,
    state: State,
    #[serde(default)]
    restart_count: u64,
    host_config: HostConfig,
    config: Config,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    exit_code: i64,
    started_at: String,
    #[serde(default)]
    finished_at: String,
    #[serde(default, rename = "OOMKilled")]
    out_of_memory: bool,
    health: Option<Health>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    restart_policy: RestartPolicy,
    #[serde(default)]
    network_mode: String,
    #[serde(default)]
    pid_mode: String,
    #[serde(default)]
    ipc_mode: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RestartPolicy {
    name: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Option<BTreeMap<String, IgnoredAny>>,
}

/// How a container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs. Without a health check nothing else is known of it.
    Running { checked: bool },
    /// It was to do one thing, and did it well.
    Finished,
    /// It runs, and its first health check has yet to come.
    Starting,
    /// It does not run, and may yet.
    Waiting(String),
    /// It will not run by itself, or not well.
    Failed { code: &'static str, what: String },
}

impl Container {
    pub(super) fn service(&self) -> &str {
        self.label("com.docker.compose.service").unwrap_or("?")
    }

    /// Made by `docker compose run`: somebody's doing, no part of the workload.
    pub(super) fn is_one_off(&self) -> bool {
        self.label("com.docker.compose.oneoff").is_some_and(|it| it.eq_ignore_ascii_case("true"))
    }

    /// The image that it was made from.
    pub(super) fn image(&self) -> &str {
        &self.config.image
    }

    /// Whether the engine has started it again, after it ended by itself, since those were seen.
    pub(super) fn was_restarted_since(&self, before: &[Self]) -> bool {
        let former = before.iter().find(|it| it.id == self.id);
        self.restart_count > former.map_or(0, |it| it.restart_count)
    }

    /// Whether anything has been started in it. Engines write the year 1 where nothing has.
    pub(super) fn has_run(&self) -> bool {
        !self.state.started_at.starts_with("0001-")
    }

    /// Whether it lives in the network, or another part, of another container.
    pub(super) fn is_dependent(&self) -> bool {
        let host = &self.host_config;
        [&host.network_mode, &host.pid_mode, &host.ipc_mode]
            .iter()
            .any(|it| it.starts_with("container:"))
    }

    /// Made to take the place of one of these, by a Compose that was ended before it did so.
    pub(super) fn is_left_over_beside(&self, others: &[Self]) -> bool {
        let place = |it: &Self| {
            let number = it.label("com.docker.compose.container-number").map(str::to_owned);
            (it.service().to_owned(), number)
        };
        self.label("com.docker.compose.replace").is_some()
            && !self.has_run()
            && others.iter().any(|it| it.id != self.id && place(it) == place(self))
    }

    /// Changes whenever the container is made or started anew.
    pub(super) fn incarnation(&self) -> (String, String, u64) {
        (self.id.clone(), self.state.started_at.clone(), self.restart_count)
    }

    /// Whether it runs, and did so already when the other one ended.
    pub(super) fn has_run_since_before_the_end_of(&self, other: &Self) -> bool {
        // Both are RFC 3339 in UTC, so that their order is that of the times.
        self.state.status == "running" && self.state.started_at < other.state.finished_at
    }

    pub(super) fn standing(&self) -> Standing {
        let exit_code = self.state.exit_code;
        match self.state.status.as_str() {
            "running" => match self.health() {
                None => Standing::Running { checked: false },
                Some("healthy") => Standing::Running { checked: true },
                Some("unhealthy") => Standing::Failed {
                    code: code::SERVICE_UNHEALTHY,
                    what: "is unhealthy: its health check fails".to_owned(),
                },
                Some(_) => Standing::Starting,
            },
            "exited" | "dead" if exit_code == 0 && !self.is_to_stay() => Standing::Finished,
            // margo(P-3): an exit with another code than 0 fails at once, even when the engine is
            // going to try again.
            "exited" | "dead" => self.ended(),
            "restarting" if exit_code != 0 => self.ended(),
            other => Standing::Waiting(format!("is {other}")),
        }
    }

    fn ended(&self) -> Standing {
        let memory = if self.state.out_of_memory { " for want of memory" } else { "" };
        let what = format!("exited with code {}{memory}", self.state.exit_code);
        Standing::Failed { code: code::SERVICE_EXITED, what }
    }

    /// Whether the service is meant to run on: its author has it started again whenever it ends, or
    /// has its health checked. Any other may be a job that ends.
    fn is_to_stay(&self) -> bool {
        let policy = self.host_config.restart_policy.name.as_str();
        ["always", "unless-stopped"].contains(&policy) || self.health().is_some()
    }

    fn health(&self) -> Option<&str> {
        let status = self.state.health.as_ref()?.status.as_str();
        (!["", "none"].contains(&status)).then_some(status)
    }

    pub(super) fn is_in_network(&self, name: &str) -> bool {
        self.network_settings.networks.as_ref().is_some_and(|it| it.contains_key(name))
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }
}

/// How many containers each service has.
pub(super) fn by_service(containers: &[Container]) -> BTreeMap<String, usize> {
    let mut services = BTreeMap::new();
    for container in containers {
        *services.entry(container.service().to_owned()).or_default() += 1;
    }
    services
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(status: &str, exit_code: i64, policy: &str, health: Option<&str>) -> Container {
        let health = health.map(|it| json!({"Status": it, "FailingStreak": 0}));
        serde_json::from_value(json!({
            "Id": "01d1", "Name": "/p-web-1", "RestartCount": 0,
            "State": {"Status": status, "ExitCode": exit_code, "OOMKilled": false,
                "StartedAt": "2026-11-24T16:19:36Z", "Health": health},
            "HostConfig": {"RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}},
            "Config": {"Labels": {"com.docker.compose.service": "web"}},
        }))
        .expect("a container as the engine describes it")
    }

    fn failed_with(standing: &Standing) -> Option<&'static str> {
        match standing {
            Standing::Failed { code, .. } => Some(code),
            _ => None,
        }
    }

    #[test]
    fn a_running_service_is_as_good_as_its_health_check() {
        let standing = |health| container("running", 0, "no", health).standing();
        assert_eq!(standing(None), Standing::Running { checked: false });
        assert_eq!(standing(Some("healthy")), Standing::Running { checked: true });
        assert_eq!(standing(Some("starting")), Standing::Starting);
        assert_eq!(failed_with(&standing(Some("unhealthy"))), Some(code::SERVICE_UNHEALTHY));
    }

    // margo(P-3)
    #[test]
    fn a_job_that_ended_well_is_finished_and_one_that_did_not_has_failed() {
        for policy in ["", "no", "on-failure"] {
            assert_eq!(container("exited", 0, policy, None).standing(), Standing::Finished);
            let failed = container("exited", 3, policy, None).standing();
            assert_eq!(failed_with(&failed), Some(code::SERVICE_EXITED), "{policy}");
        }
    }

    #[test]
    fn a_service_that_is_to_stay_fails_by_ending_well() {
        // Somebody stopped it: that is drift, and no job that is done.
        for (policy, health) in
            [("always", None), ("unless-stopped", None), ("no", Some("unhealthy"))]
        {
            let failed = container("exited", 0, policy, health).standing();
            assert_eq!(failed_with(&failed), Some(code::SERVICE_EXITED), "{policy} {health:?}");
        }
    }

    #[test]
    fn a_service_that_fails_again_and_again_has_failed_the_first_time() {
        // margo(P-3)
        let failing = container("restarting", 1, "always", None).standing();
        assert_eq!(failed_with(&failing), Some(code::SERVICE_EXITED));
    }

    #[test]
    fn a_container_that_has_run_all_the_time_shows_that_the_engine_has_too() {
        let mut ended = container("exited", 0, "no", None);
        ended.state.finished_at = "2026-11-24T17:00:00Z".to_owned();
        let mut other = container("running", 0, "no", None);
        assert!(other.has_run_since_before_the_end_of(&ended));
        other.state.started_at = "2026-11-24T17:00:03Z".to_owned();
        assert!(!other.has_run_since_before_the_end_of(&ended), "it was started again, too");
        assert!(!container("exited", 0, "no", None).has_run_since_before_the_end_of(&ended));
    }

    #[test]
    fn what_was_not_started_yet_is_waited_for() {
        for status in ["created", "paused", "removing"] {
            let waiting = container(status, 0, "no", None).standing();
            assert_eq!(waiting, Standing::Waiting(format!("is {status}")));
        }
    }
}
