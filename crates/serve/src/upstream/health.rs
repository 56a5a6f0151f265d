//! Whether servers are there: looked at from time to time, with a request that costs them nothing.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use super::pool::Pool;
use crate::seconds::seconds;

/// Looks in a row that may stay unanswered: a server that is hard at work answers late.
const MAX_SILENCE: u32 = 3;

/// What a look has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// An answer, whatever it is: not every server knows the question.
    There,
    /// No connection, or a failure of the server's own.
    Gone,
    /// Nothing in time.
    Silent,
}

/// How a server has answered so far. Before the first look it is taken to be there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Health {
    silence: u32,
}

impl Health {
    pub(super) fn is_there(self) -> bool {
        self.silence < MAX_SILENCE
    }

    fn saw(&mut self, seen: Seen) {
        self.silence = match seen {
            Seen::There => 0,
            Seen::Gone => MAX_SILENCE,
            Seen::Silent => self.silence.saturating_add(1),
        };
    }
}

/// What one look at a server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The server.
    pub url: String,
    /// Whether it answered in time, whatever it said.
    pub answers: bool,
}

impl Pool {
    /// Looks at all servers once. One that is back is not left alone any longer for what it did before.
    pub async fn look(&self) -> Vec<Look> {
        let looks = (0..self.members.len()).map(|index| async move {
            let seen = self.see(index).await;
            let look = Look { url: self.url(index).to_owned(), answers: seen == Seen::There };
            let mut standings = self.lock();
            let Some(standing) = standings.get_mut(index) else { return look };
            let before = standing.health.is_there();
            standing.health.saw(seen);
            match (before, standing.health.is_there()) {
                (false, true) => {
                    tracing::info!(upstream = self.url(index), "back again");
                    standing.breaker.succeeded();
                }
                (true, false) => tracing::warn!(upstream = self.url(index), ?seen, "does not answer"),
                _ => {}
            }
            look
        });
        let looks = futures_util::future::join_all(looks).await;
        self.freed.notify_waiters();
        looks
    }

    /// Looks at all servers for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut interval = tokio::time::interval(seconds(self.settings.health_interval_secs));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.look().await;
        }
    }

    async fn see(&self, index: usize) -> Seen {
        let Some(member) = self.members.get(index) else { return Seen::Gone };
        let request = self.client.get(format!("{}/models", self.url(index)));
        let request = match &member.key {
            Some(key) => request.bearer_auth(&key.0),
            None => request,
        };
        match tokio::time::timeout(seconds(self.settings.connect_timeout_secs), request.send()).await {
            Ok(Ok(response)) if !response.status().is_server_error() => Seen::There,
            Ok(_) => Seen::Gone,
            Err(_) => Seen::Silent,
        }
    }
}
