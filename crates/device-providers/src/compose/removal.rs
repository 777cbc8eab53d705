//! Removes what carries a workload's name on the engine, and says what could not be removed.

use std::ffi::OsStr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::ComposeProvider;
use super::package::Package;
use crate::words::last_words;
use crate::{Failure, Workload, code};

/// How long the engine may take to forget what it has removed.
const FORGETTING: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(250);

impl ComposeProvider {
    /// By the name alone: the package may be gone, or may not be readable any more.
    pub(super) fn take_down(&self, workload: &Workload) -> Result<(), Failure> {
        let mut arguments = vec!["--project-name", &workload.name, "down", "--remove-orphans"];
        if self.rules.remove_volumes {
            // Those without a name, too: nothing else knows whose they are.
            arguments.push("--volumes");
        }
        let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
        // In the root folder, so that Compose finds no other package to work on.
        let ended = self.tools.compose(&arguments, Path::new("/"), workload.timeout)?;
        if self.rules.remove_volumes {
            self.remove_volumes(&workload.name)?;
        }
        let left = self.wait_until_gone(&workload.name)?;
        if !left.is_empty() {
            let message = format!(
                "{} of component `{}` could not be removed{}",
                left.join(", "),
                workload.component,
                last_words(&ended.stderr.text())
            );
            return Err(Failure::new(code::REMOVE_FAILED, message));
        }
        Package::of(&workload.directory).remove()
    }

    fn remove_volumes(&self, project: &str) -> Result<(), Failure> {
        for volume in self.volumes(project)? {
            // What could not be removed is found to be left over.
            self.tools.engine(&["volume", "rm", &volume])?;
        }
        Ok(())
    }

    fn volumes(&self, project: &str) -> Result<Vec<String>, Failure> {
        self.tools.listed("volume", &["ls", "--format", "{{.Name}}"], project)
    }

    /// Waits until the engine has nothing of the project any more; what it still has otherwise.
    fn wait_until_gone(&self, project: &str) -> Result<Vec<String>, Failure> {
        let asked = Instant::now();
        loop {
            let left = self.left_over(project)?;
            if left.is_empty() || asked.elapsed() >= FORGETTING {
                return Ok(left);
            }
            thread::sleep(INTERVAL);
        }
    }

    /// What carries the project's label though it should be gone.
    fn left_over(&self, project: &str) -> Result<Vec<String>, Failure> {
        let listed = |command, options: &[&str]| self.tools.listed(command, options, project);
        let containers = listed("ps", &["--all", "--format", "{{.Names}}"])?;
        let networks = listed("network", &["ls", "--format", "{{.Name}}"])?;
        let volumes = if self.rules.remove_volumes { self.volumes(project)? } else { Vec::new() };
        let containers = containers.iter().map(|it| format!("container {it}"));
        let networks = networks.iter().map(|it| format!("network {it}"));
        let volumes = volumes.iter().map(|it| format!("volume {it}"));
        Ok(containers.chain(networks).chain(volumes).collect())
    }
}
