//! Does what was put off. Jobs were written in the same transaction as the change that needs them; a job
//! reads the state itself, so doing one twice or late does no harm. From time to time it also writes down what
//! is only remembered, and forgets what has had its time.

use std::time::Duration;

use tokio::time::timeout;

use crate::clock;
use crate::fleet::Fleet;
use crate::problem;

/// How often to look for jobs that nobody has announced, such as postponed ones.
const INTERVAL: Duration = Duration::from_secs(1);

/// A database that is gone without a word must not keep the next ones waiting.
const LONGEST: Duration = Duration::from_secs(60);

/// Does jobs for ever: at once when one is announced, else each second.
pub(crate) async fn run(fleet: Fleet) {
    loop {
        match timeout(LONGEST, fleet.do_due_jobs(clock::now())).await {
            // There may be more.
            Ok(Ok(done)) if done > 0 => continue,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::error!(error = problem::chain(&error), "cannot look for jobs");
            }
            Err(_) => tracing::error!("the database has not answered to jobs for too long"),
        }
        tokio::select! {
            () = fleet.job_announced() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Keeps house for ever, at this interval: which clients were heard of is written down, what they have shown
/// never to have had is ended, and signatures that hold no more are forgotten.
pub(crate) async fn keep_house(fleet: Fleet, interval: Duration) {
    loop {
        // Before what was said lately is written down: that is for the next time.
        if let Err(error) = fleet.end_what_nobody_had(clock::now()).await {
            let error = problem::chain(&error);
            tracing::error!(error, "cannot end deployments that their clients never had");
        }
        if let Err(error) = fleet.write_contacts_down().await {
            let error = problem::chain(&error);
            tracing::error!(error, "cannot write down which clients were heard of");
        }
        if let Err(error) = fleet.forget_signatures(clock::now()).await {
            tracing::error!(error = problem::chain(&error), "cannot forget old signatures");
        }
        tokio::time::sleep(interval).await;
    }
}
