//! Counts of what the server does, in Prometheus' text format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use visionthink_protocol::{Decision, View};

use crate::api::Completion;
use crate::embedded::EngineCounts;
use crate::upstream::PoolCounts;

/// Upper bounds of the buckets of request times, in seconds.
const BOUNDS_SECS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Classes of status that are counted: 2xx, 4xx, 5xx, and requests whose client left.
const CLASSES: [&str; 4] = ["2xx", "4xx", "5xx", "left"];

/// Counters of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: [AtomicU64; 4],
    buckets: [AtomicU64; BOUNDS_SECS.len()],
    time_count: AtomicU64,
    time_micros: AtomicU64,
    decisions: [AtomicU64; 4],
    views: [AtomicU64; 2],
    turns: AtomicU64,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    completion_tokens: AtomicU64,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this status; a stream that fails inside counts as what its status would have been.
    Status(u16),
    /// The client left before the end.
    ClientLeft,
}

/// What is not counted here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauges {
    /// Completions that are read, waiting or answered.
    pub in_flight: usize,
    /// Lookups of images that the cache answered, and that it did not.
    pub image_cache: (u64, u64),
    /// What does the work.
    pub work: Work,
}

/// The counts of what does the work.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Upstream servers.
    Upstream(PoolCounts),
    /// A model in this process.
    Embedded(EngineCounts),
}

impl Default for Work {
    fn default() -> Self {
        Self::Upstream(PoolCounts::default())
    }
}

impl Metrics {
    /// A request for a completion has ended.
    pub fn ended(&self, how: Ended, took: Duration) {
        let class = match how {
            Ended::Status(..400) => 0,
            Ended::Status(400..500) => 1,
            Ended::Status(_) => 2,
            Ended::ClientLeft => 3,
        };
        count(&self.requests[class], 1);
        let secs = took.as_secs_f64();
        for (bucket, _) in self.buckets.iter().zip(BOUNDS_SECS).filter(|(_, bound)| secs <= *bound) {
            count(bucket, 1);
        }
        count(&self.time_count, 1);
        count(&self.time_micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// A request was answered.
    pub fn answered(&self, completion: &Completion) {
        for sample in &completion.samples {
            count(&self.decisions[decision(sample.report.decision)], 1);
            count(&self.turns, sample.report.turns as u64);
            for view in &sample.report.views {
                count(&self.views[usize::from(*view == View::Full)], 1);
            }
        }
        let usage = completion.usage();
        count(&self.prompt_tokens, usage.prompt_tokens);
        count(&self.cached_tokens, usage.prompt_tokens_details.cached_tokens);
        count(&self.completion_tokens, usage.completion_tokens);
    }

    /// All of it as text, version 0.0.4 of the format.
    pub fn text(&self, gauges: Gauges) -> String {
        let mut page = Page::default();
        page.family("requests_total", "counter", "Requests for completions by how they ended.");
        for (class, counter) in CLASSES.iter().zip(&self.requests) {
            page.line("requests_total", &format!("{{status=\"{class}\"}}"), read(counter));
        }
        page.family("request_seconds", "histogram", "Time of requests for completions.");
        for (bound, bucket) in BOUNDS_SECS.iter().zip(&self.buckets) {
            page.line("request_seconds_bucket", &format!("{{le=\"{bound}\"}}"), read(bucket));
        }
        page.line("request_seconds_bucket", "{le=\"+Inf\"}", read(&self.time_count));
        page.line("request_seconds_sum", "", read(&self.time_micros) as f64 / 1e6);
        page.line("request_seconds_count", "", read(&self.time_count));
        page.family("decisions_total", "counter", "What first turns turned out to be.");
        for (name, counter) in ["direct", "resize", "malformed", "none"].iter().zip(&self.decisions) {
            page.line("decisions_total", &format!("{{decision=\"{name}\"}}"), read(counter));
        }
        page.family("views_total", "counter", "Images shown to the model.");
        for (name, counter) in ["low", "full"].iter().zip(&self.views) {
            page.line("views_total", &format!("{{view=\"{name}\"}}"), read(counter));
        }
        for (name, help, value) in [
            ("turns_total", "Replies of the model.", read(&self.turns)),
            ("prompt_tokens_total", "Tokens of prompts.", read(&self.prompt_tokens)),
            ("cached_tokens_total", "Prompt tokens that were not computed again.", read(&self.cached_tokens)),
            ("completion_tokens_total", "Tokens sampled.", read(&self.completion_tokens)),
            ("image_cache_hits_total", "Images that were known.", gauges.image_cache.0),
            ("image_cache_misses_total", "Images that were new.", gauges.image_cache.1),
        ] {
            page.single(name, "counter", help, value);
        }
        page.single(
            "requests_in_flight",
            "gauge",
            "Completions that are read, waiting or answered.",
            gauges.in_flight as u64,
        );
        match gauges.work {
            Work::Upstream(pool) => page.pool(pool),
            Work::Embedded(counts) => page.engine(counts),
        }
        page.0
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP visionthink_{name} {help}\n# TYPE visionthink_{name} {kind}");
    }

    /// A family of one line.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.line(name, "", value);
    }

    fn pool(&mut self, pool: PoolCounts) {
        for (name, help, value) in [
            ("upstream_requests_total", "Requests sent to upstream servers.", pool.sent),
            ("upstream_failures_total", "Requests that failed by an upstream server's fault.", pool.failures),
            ("upstream_retries_total", "Requests sent again elsewhere.", pool.retries),
        ] {
            self.single(name, "counter", help, value);
        }
        for (name, help, value) in [
            ("upstream_in_flight", "Requests at upstream servers.", pool.in_flight),
            ("upstream_waiting", "Requests that wait for an upstream server.", pool.waiting),
            ("upstream_available", "Upstream servers that may be asked.", pool.available),
        ] {
            self.single(name, "gauge", help, value as u64);
        }
    }

    fn engine(&mut self, EngineCounts { counters, load }: EngineCounts) {
        for (name, help, value) in [
            ("engine_prefilled_tokens_total", "Prompt tokens run through the model.", counters.prefilled_tokens),
            ("engine_reused_tokens_total", "Prompt tokens whose keys and values were there.", counters.reused_tokens),
            ("engine_sampled_tokens_total", "Tokens sampled.", counters.sampled_tokens),
            ("engine_decode_steps_total", "Passes that gave each running turn a token.", counters.decode_steps),
            ("engine_images_encoded_total", "Images run through the vision tower.", counters.images_encoded),
            ("engine_images_reused_total", "Images whose tokens were known.", counters.images_reused),
        ] {
            self.single(name, "counter", help, value);
        }
        for (name, help, value) in [
            ("engine_running", "Turns that are being decoded.", load.running),
            ("engine_waiting", "Turns that wait for a free row.", load.waiting),
            ("engine_sequences", "Conversations between two turns.", load.parked),
            ("engine_held_tokens", "Tokens with keys and values, of open conversations.", load.tokens),
            ("engine_prefix_tokens", "Tokens kept for prompts that begin alike.", load.prefix_tokens),
        ] {
            self.single(name, "gauge", help, value as u64);
        }
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "visionthink_{name}{labels} {value}");
    }
}

fn decision(decision: Decision) -> usize {
    match decision {
        Decision::Direct => 0,
        Decision::Resize => 1,
        Decision::Malformed => 2,
        Decision::None => 3,
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use visionthink_engine::{Counters, Load};

    use super::*;

    #[test]
    fn what_does_the_work_is_counted_and_nothing_else() {
        let load = Load { running: 3, waiting: 2, parked: 1, tokens: 70, prefix_tokens: 40 };
        let counters = Counters { prefilled_tokens: 9, reused_tokens: 8, ..Counters::default() };
        let work = Work::Embedded(EngineCounts { counters, load });
        let text = Metrics::default().text(Gauges { work, ..Gauges::default() });
        for line in [
            "visionthink_engine_running 3",
            "visionthink_engine_waiting 2",
            "visionthink_engine_held_tokens 70",
            "visionthink_engine_prefix_tokens 40",
            "visionthink_engine_prefilled_tokens_total 9",
            "visionthink_engine_reused_tokens_total 8",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("upstream"), "{text}");
    }

    #[test]
    fn buckets_hold_all_that_was_faster() {
        let metrics = Metrics::default();
        for millis in [1, 30, 30, 100_000] {
            metrics.ended(Ended::Status(200), Duration::from_millis(millis));
        }
        metrics.ended(Ended::ClientLeft, Duration::ZERO);
        let text = metrics.text(Gauges::default());
        for line in [
            "visionthink_requests_total{status=\"2xx\"} 4",
            "visionthink_requests_total{status=\"left\"} 1",
            "visionthink_request_seconds_bucket{le=\"0.005\"} 2",
            "visionthink_request_seconds_bucket{le=\"0.05\"} 4",
            "visionthink_request_seconds_bucket{le=\"60\"} 4",
            "visionthink_request_seconds_bucket{le=\"+Inf\"} 5",
            "visionthink_request_seconds_sum 100.061",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), 17);
    }
}
