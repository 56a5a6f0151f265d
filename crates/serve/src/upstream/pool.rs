//! The servers, how they stand, and whose turn it is.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::redirect::Policy;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use super::breaker::Breaker;
use super::call::{Call, Sending};
use super::health::Health;
use super::place::Place;
use super::{PoolSettings, UpstreamKey, UpstreamSettings};
use crate::api::ApiError;
use crate::error::ServeError;
use crate::seconds::seconds;

/// How long a connection is kept that nothing is sent on.
const MAX_IDLE: Duration = Duration::from_secs(4);
/// What a server that gives no time is left alone for.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// Upstream servers of one model.
#[derive(Debug)]
pub struct Pool {
    pub(super) client: Client,
    pub(super) members: Vec<Member>,
    pub(super) model: String,
    pub(super) idle: Duration,
    pub(super) settings: PoolSettings,
    standings: Mutex<Vec<Standing>>,
    pub(super) freed: Notify,
    waiting: AtomicUsize,
    pub(super) counts: Counts,
}

/// A server: what does not change.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) settings: UpstreamSettings,
    pub(super) key: Option<UpstreamKey>,
}

/// A server: what does.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) in_flight: usize,
    pub(super) breaker: Breaker,
    /// Until then it wants to be left alone.
    pub(super) busy_until: Option<Instant>,
    pub(super) health: Health,
    /// When it was last chosen, so that equals take turns.
    chosen: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    chosen: AtomicU64,
    pub(super) failures: AtomicU64,
    retries: AtomicU64,
}

/// What a pool has done and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolCounts {
    /// Requests sent, those sent again included.
    pub sent: u64,
    /// Requests that failed by a server's fault.
    pub failures: u64,
    /// Requests that were sent again elsewhere.
    pub retries: u64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests that wait for a server.
    pub waiting: usize,
    /// Servers that may be asked.
    pub available: usize,
}

enum Choice {
    Member(usize),
    Full,
    Busy(Duration),
    Nobody(Duration),
}

/// Leaves the queue however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// Reads the keys; connects to nobody yet.
    ///
    /// # Errors
    /// [`ServeError::NoKeyVariable`], [`ServeError::UnfitKey`], [`ServeError::Io`], [`ServeError::Authorities`],
    /// [`ServeError::Client`].
    pub fn new(model: &str, servers: &[UpstreamSettings], settings: &PoolSettings) -> Result<Arc<Self>, ServeError> {
        let authorities = settings.ca_file.as_deref().map(crate::tls::authorities).transpose()?.unwrap_or_default();
        let builder = crate::tls::client_builder(&authorities).map_err(|reason| ServeError::Client { reason })?;
        let most = servers.iter().map(|server| server.max_requests).max().unwrap_or(0);
        let client = builder
            // They would carry the images, and perhaps the key, where nobody sent them.
            .redirect(Policy::none())
            .connect_timeout(seconds(settings.connect_timeout_secs))
            .pool_max_idle_per_host(most)
            // uvicorn, which most of these servers run on, closes after five seconds; a request that meets the end is lost.
            .pool_idle_timeout(MAX_IDLE)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ServeError::Client { reason: error.to_string() })?;
        let member = |settings: &UpstreamSettings| {
            Ok::<_, ServeError>(Member { key: UpstreamKey::of(settings)?, settings: settings.clone() })
        };
        let breaker = Breaker::new(settings.failures, seconds(settings.cool_down_secs));
        let standing = |_: &UpstreamSettings| Standing {
            in_flight: 0,
            breaker: breaker.clone(),
            busy_until: None,
            health: Health::default(),
            chosen: 0,
        };
        Ok(Arc::new(Self {
            client,
            members: servers.iter().map(member).collect::<Result<_, _>>()?,
            model: model.to_owned(),
            idle: seconds(settings.idle_timeout_secs),
            standings: Mutex::new(servers.iter().map(standing).collect()),
            settings: settings.clone(),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
            counts: Counts::default(),
        }))
    }

    /// Sends a request to the server with the least to do, waiting for a free place if need be; `model` and what only
    /// some servers know is put in here.
    ///
    /// `before` is the server that had the turn before this one, and has what it computed for it: it is asked again if it
    /// has room. A conversation that has begun is not refused for the length of the queue.
    ///
    /// # Errors
    /// [`ApiError::Busy`], [`ApiError::NoUpstream`], [`ApiError::Refused`], [`ApiError::UpstreamFailed`],
    /// [`ApiError::TimedOut`].
    pub(crate) async fn ask(
        self: &Arc<Self>,
        body: &Map<String, Value>,
        before: Option<usize>,
    ) -> Result<Call, ApiError> {
        let deadline = Instant::now() + seconds(self.settings.wait_timeout_secs);
        let mut tried = vec![false; self.members.len()];
        loop {
            let mut place = self.place(&tried, before, deadline).await?;
            let index = place.index;
            match Call::begin(self, index, body).await {
                Sending::Begun(response) => return Ok(Call::new(place, response, self.idle)),
                Sending::NotSent { reason } => {
                    tracing::warn!(upstream = self.url(index), reason, "no connection");
                    place.failed();
                }
                Sending::Busy { after } => place.busy(after.unwrap_or(SHORT_WAIT)),
                Sending::Refused(error) => {
                    place.succeeded();
                    return Err(error);
                }
                Sending::Failed(error) => {
                    tracing::warn!(upstream = self.url(index), %error, "failed");
                    place.failed();
                    return Err(error);
                }
            }
            if let Some(tried) = tried.get_mut(index) {
                *tried = true;
            }
            if tried.contains(&false) {
                self.counts.retries.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What was done so far, and how the servers stand.
    pub fn counts(&self) -> PoolCounts {
        let now = Instant::now();
        let standings = self.lock();
        PoolCounts {
            sent: self.counts.chosen.load(Ordering::Relaxed),
            failures: self.counts.failures.load(Ordering::Relaxed),
            retries: self.counts.retries.load(Ordering::Relaxed),
            in_flight: standings.iter().map(|standing| standing.in_flight).sum(),
            waiting: self.waiting.load(Ordering::Relaxed),
            available: standings
                .iter()
                .filter(|standing| standing.health.is_there() && standing.breaker.permits(now))
                .count(),
        }
    }

    pub(super) fn url(&self, index: usize) -> &str {
        self.members.get(index).map_or("", |member| member.settings.url.trim_end_matches('/'))
    }

    async fn place(
        self: &Arc<Self>,
        tried: &[bool],
        before: Option<usize>,
        deadline: Instant,
    ) -> Result<Place, ApiError> {
        let mut waiting = None;
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on no wake-up is lost.
            freed.as_mut().enable();
            match self.choose(tried, before) {
                Choice::Member(index) => return Ok(Place::new(self.clone(), index)),
                Choice::Busy(after) => return Err(ApiError::Busy { after }),
                Choice::Nobody(after) => return Err(ApiError::NoUpstream { after }),
                Choice::Full => {}
            }
            if waiting.is_none() {
                let guard = Waiting(&self.waiting);
                if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.settings.max_waiting && before.is_none() {
                    return Err(ApiError::Busy { after: SHORT_WAIT });
                }
                waiting = Some(guard);
            }
            if tokio::time::timeout_at(deadline.into(), freed).await.is_err() {
                return Err(ApiError::Busy { after: SHORT_WAIT });
            }
        }
    }

    /// Takes a place at the server of the turn before, or at the one with the least to do, of those that may be asked and
    /// were not tried yet.
    fn choose(&self, tried: &[bool], before: Option<usize>) -> Choice {
        let now = Instant::now();
        let mut standings = self.lock();
        let is_busy = |standing: &Standing| standing.busy_until.is_some_and(|until| until > now);
        let possible = |(index, standing): &(usize, &mut Standing)| {
            standing.health.is_there()
                && standing.breaker.permits(now)
                && !is_busy(standing)
                && tried.get(*index) == Some(&false)
        };
        let mut full = false;
        let best = standings
            .iter_mut()
            .enumerate()
            .filter(possible)
            .filter(|(index, standing)| {
                let has_room = self.members.get(*index).is_some_and(|m| standing.in_flight < m.settings.max_requests);
                full |= !has_room;
                has_room
            })
            .min_by_key(|(index, standing)| (Some(*index) != before, standing.in_flight, standing.chosen));
        if let Some((index, standing)) = best {
            standing.in_flight += 1;
            standing.chosen = self.counts.chosen.fetch_add(1, Ordering::Relaxed) + 1;
            standing.breaker.begin();
            return Choice::Member(index);
        }
        if full {
            return Choice::Full;
        }
        let waits = standings.iter().filter_map(|standing| standing.busy_until?.checked_duration_since(now));
        if let Some(after) = waits.min() {
            return Choice::Busy(after);
        }
        let waits =
            standings.iter().filter(|standing| standing.health.is_there()).filter_map(|s| s.breaker.wait(now)).min();
        Choice::Nobody(waits.unwrap_or_else(|| seconds(self.settings.health_interval_secs)))
    }

    /// Whole at any moment, whatever became of the thread that held it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
