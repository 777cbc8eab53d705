//! All clients, and the ways in which they come: spread over an interval, as fast as they can, and all at
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{Client, ContactError};
use crate::link::Way;
use crate::pace;
use crate::tally::Tally;

/// So many ask at a time where all ask as fast as they can.
const AT_A_TIME: usize = 64;

/// The clients, and the way to their server.
pub(crate) struct Fleet {
    pub(crate) clients: Vec<Client>,
    pub(crate) way: Arc<Way>,
}

/// What becomes of a connection after a contact.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// As the device client does, which does not know that it will not use it again in time.
    LeaveOpen,
    Close,
}

impl Fleet {
    /// Lets each client come once in an interval, one after the other.
    pub(crate) async fn come_spread(self: Arc<Self>, interval: Duration, tally: Arc<Tally>) {
        let (start, count) = (Instant::now(), self.clients.len());
        for turn in 0.. {
            let due = interval.mul_f64(turn as f64 / count as f64);
            sleep_until(start + due).await;
            let (this, tally) = (Arc::clone(&self), Arc::clone(&tally));
            tokio::spawn(async move {
                let client = &this.clients[turn % count];
                if !client.begin_to_talk() {
                    return;
                }
                let began = Instant::now();
                let contact = this.contact(client, interval, Then::LeaveOpen).await;
                tally.count(&contact, began.elapsed());
                client.stop_talking();
            });
        }
    }

    /// Lets clients come one after the other for so long, as fast as the server takes them. They close
    /// their connections.
    pub(crate) async fn come_flat_out(self: &Arc<Self>, window: Duration, tally: &Arc<Tally>) {
        let (end, turns) = (Instant::now() + window, Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..AT_A_TIME {
            let (this, tally, turns) = (Arc::clone(self), Arc::clone(tally), Arc::clone(&turns));
            tasks.spawn(async move {
                while Instant::now() < end {
                    let turn = turns.fetch_add(1, Ordering::Relaxed);
                    let client = &this.clients[turn % this.clients.len()];
                    let began = Instant::now();
                    let contact = this.contact(client, window, Then::Close).await;
                    tally.count(&contact, began.elapsed());
                }
            });
        }
        tasks.join_all().await;
    }

    /// Lets all clients come at once. Who is not served comes again after a pause, as devices do. Ends
    /// when each was served.
    pub(crate) async fn come_at_once(self: &Arc<Self>, interval: Duration, tally: &Arc<Tally>) {
        let mut tasks = JoinSet::new();
        for place in 0..self.clients.len() {
            let (this, tally) = (Arc::clone(self), Arc::clone(tally));
            tasks.spawn(async move {
                for failures in 1.. {
                    let began = Instant::now();
                    let contact =
                        this.contact(&this.clients[place], interval, Then::LeaveOpen).await;
                    tally.count(&contact, began.elapsed());
                    let Err(error) = contact else { break };
                    sleep(pace::pause(failures, error.retry_after())).await;
                }
            });
        }
        tasks.join_all().await;
    }

    async fn contact(
        &self,
        client: &Client,
        interval: Duration,
        then: Then,
    ) -> Result<(), ContactError> {
        let mut connection = client.connection(&self.way);
        client.contact(&mut connection, interval).await?;
        match then {
            Then::LeaveOpen => connection.leave_open(),
            Then::Close => drop(connection),
        }
        Ok(())
    }
}
