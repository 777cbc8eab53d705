//! What has to be done later. A job names only what it is about; whoever does it reads the rest when
//! it starts, so that late, twice and after a crash all come to the same.

use std::collections::{BTreeSet, HashSet};

use crate::columns::{Columns, count_column};
use crate::statements::none;
use crate::{Snapshot, StoreError, Transaction};

/// Something to be done. There is one at most for each kind and subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub kind: String,
    pub subject: String,
    /// How often it was tried in vain.
    pub attempts: u32,
    pub not_before: i64,
    asked: i64,
}

impl Snapshot {
    /// Jobs that may start now, the one that has waited longest first.
    pub async fn due_jobs(&mut self, now: i64, limit: u32) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE not_before <= $1 ORDER BY not_before, kind, subject LIMIT $2",
        )
        .bind(now)
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| job(&Columns::of("jobs", row))).collect()
    }

    /// When the next job may start, if there is one.
    pub async fn next_job_at(&mut self) -> Result<Option<i64>, StoreError> {
        let row = sqlx::query("SELECT MIN(not_before) AS not_before FROM jobs")
            .fetch_one(self.connection())
            .await?;
        Columns::of("jobs", &row).optional_integer("not_before")
    }
}

impl Transaction {
    /// Asks for a job, as [`enqueue_jobs`](Self::enqueue_jobs) for several.
    pub async fn enqueue_job(
        &mut self,
        kind: &str,
        subject: &str,
        not_before: i64,
    ) -> Result<(), StoreError> {
        self.enqueue_jobs(kind, &BTreeSet::from([subject.to_owned()]), not_before).await
    }

    /// Asks for a job about each of these subjects. Asking again before it has started is asking once;
    /// asking while it is being done is asking for another turn.
    pub async fn enqueue_jobs(
        &mut self,
        kind: &str,
        subjects: &BTreeSet<String>,
        not_before: i64,
    ) -> Result<(), StoreError> {
        let subjects: Vec<&String> = subjects.iter().collect();
        let asked = self.write_rows(
            "INSERT INTO jobs (kind, subject, asked, attempts, not_before) VALUES",
            5,
            &subjects,
            none,
            "ON CONFLICT (kind, subject) DO UPDATE \
             SET asked = jobs.asked + 1, attempts = 0, not_before = excluded.not_before",
            |query, subject| {
                query.bind(kind).bind(subject.as_str()).bind(1_i64).bind(0_i64).bind(not_before)
            },
        );
        asked.await.map(drop)
    }

    /// Strikes out jobs, but for those that were asked for again since they were read, and those that
    /// somebody else has done. Gives back which were there. Struck out first, in the transaction that does
    /// it, a job is done once however many servers have read of it.
    pub async fn take_jobs<'a>(&mut self, jobs: &'a [Job]) -> Result<Vec<&'a Job>, StoreError> {
        let written = self.write_returning(
            "DELETE FROM jobs WHERE (kind, subject, asked) IN (VALUES",
            3,
            jobs,
            none,
            ") RETURNING kind, subject",
            |query, job| query.bind(job.kind.as_str()).bind(job.subject.as_str()).bind(job.asked),
        );
        let mut taken = HashSet::with_capacity(jobs.len());
        for row in written.await? {
            let row = Columns::of("jobs", &row);
            taken.insert((row.text("kind")?, row.text("subject")?));
        }
        let is_taken = |job: &&Job| taken.contains(&(job.kind.clone(), job.subject.clone()));
        Ok(jobs.iter().filter(is_taken).collect())
    }

    /// Puts a job off after a vain attempt, unless it was asked for again since it was read.
    pub async fn postpone_job(&mut self, job: &Job, not_before: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE jobs SET attempts = attempts + 1, not_before = $1 \
             WHERE kind = $2 AND subject = $3 AND asked = $4",
        )
        .bind(not_before)
        .bind(job.kind.as_str())
        .bind(job.subject.as_str())
        .bind(job.asked)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

fn job(row: &Columns<'_>) -> Result<Job, StoreError> {
    let attempts = row.count("attempts")?;
    Ok(Job {
        kind: row.text("kind")?,
        subject: row.text("subject")?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        not_before: row.integer("not_before")?,
        asked: row.integer("asked")?,
    })
}
