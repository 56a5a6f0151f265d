//! The curves of a run, from its `metrics.jsonl`.

use std::path::Path;

use serde_json::Value;
use visionthink_plot::{LineChart, Series, Style};

/// A chart, and which numbers it shows.
struct Chart {
    title: &'static str,
    unit: &'static str,
    /// Keys with their names.
    lines: &'static [(&'static str, &'static str)],
    /// Every key that begins with this is a line, named by the rest.
    prefix: Option<&'static str>,
    /// Between 0 and 1.
    share: bool,
}

const CHARTS: &[Chart] = &[
    Chart::numbers("Reward", "mean of a step", &[("train/reward", "reward")]),
    Chart::shares(
        "Right answers",
        &[
            ("train/accuracy", "sampled"),
            ("eval/adaptive/accuracy", "held out"),
            ("eval/full/accuracy", "held out, in full"),
        ],
    ),
    Chart::shares(
        "Calls for the full image",
        &[
            ("train/calls/hard", "question needs it"),
            ("train/calls/easy", "does not"),
            ("eval/adaptive/calls/hard", "held out, needs it"),
            ("eval/adaptive/calls/easy", "held out, does not"),
        ],
    ),
    Chart::shares(
        "Visual tokens, of those of full images",
        &[("train/visual_tokens", "sampled"), ("eval/adaptive/visual_tokens", "held out")],
    ),
    Chart::numbers(
        "KL divergence",
        "nats a token",
        &[("policy/kl", "from the reference policy"), ("policy/approximate_kl", "from the old policy")],
    ),
    Chart::numbers("Entropy", "nats a token", &[("policy/entropy", "entropy")]),
    Chart::numbers("Length of an answer", "sampled tokens", &[("train/completion_tokens", "tokens")]),
    Chart::numbers(
        "Groups of a step",
        "groups",
        &[
            ("groups/effective", "with a spread"),
            ("groups/all_right", "all right"),
            ("groups/none_right", "none right"),
        ],
    ),
    Chart::numbers("Loss", "", &[("train/loss", "loss")]),
    Chart { prefix: Some("train/answer_tokens/"), share: true, ..Chart::numbers("Answer tokens hit", "", &[]) },
    Chart::shares(
        "Right answers, held out",
        &[
            ("eval/full/easy", "full, easy"),
            ("eval/full/hard", "full, hard"),
            ("eval/low/easy", "low, easy"),
            ("eval/low/hard", "low, hard"),
        ],
    ),
    Chart::numbers(
        "Gradient norm",
        "before clipping",
        &[("policy/gradient_norm", "norm"), ("train/gradient_norm", "norm")],
    ),
    Chart::numbers("Learning rate", "", &[("train/lr", "rate")]),
    Chart { prefix: Some("seconds/"), ..Chart::numbers("Time of a step", "seconds", &[]) },
];

impl Chart {
    const fn numbers(title: &'static str, unit: &'static str, lines: &'static [(&'static str, &'static str)]) -> Self {
        Self { title, unit, lines, prefix: None, share: false }
    }

    const fn shares(title: &'static str, lines: &'static [(&'static str, &'static str)]) -> Self {
        Self { share: true, ..Self::numbers(title, "share", lines) }
    }

    /// The chart of these metrics; `None` where they hold none of its numbers.
    fn of(&self, metrics: &Metrics) -> Option<LineChart> {
        let named = self.lines.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned()));
        let keys = self.prefix.map_or_else(Vec::new, |prefix| metrics.keys_below(prefix));
        let below = keys.into_iter().map(|key| {
            let name = key.rsplit('/').next().unwrap_or_default().replace('_', " ");
            (key, name)
        });
        let series: Vec<Series> = named
            .chain(below)
            .map(|(key, name)| Series::new(name, metrics.points(&key)))
            .filter(|series| !series.points.is_empty())
            .collect();
        (!series.is_empty()).then(|| LineChart {
            y_label: self.unit.to_owned(),
            y_range: self.share.then_some((0.0, 1.0)),
            ..LineChart::new(self.title, "step", series)
        })
    }
}

/// The lines of `metrics.jsonl`.
pub(super) struct Metrics {
    lines: Vec<Value>,
}

impl Metrics {
    /// Reads the metrics of a run; a last line that is being written is left out.
    pub(super) fn read(run_folder: &Path) -> Result<Self, std::io::Error> {
        let text = fs_err::read_to_string(run_folder.join("metrics.jsonl"))?;
        Ok(Self { lines: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() })
    }

    /// The newest number of that name.
    pub(super) fn newest(&self, key: &str) -> Option<f64> {
        self.lines.iter().rev().find_map(|line| line.get(key)?.as_f64())
    }

    /// Every chart that has numbers, as SVG.
    pub(super) fn charts(&self) -> Vec<String> {
        CHARTS.iter().filter_map(|chart| Some(chart.of(self)?.svg(Style::Page))).collect()
    }

    fn points(&self, key: &str) -> Vec<(f64, f64)> {
        self.lines.iter().filter_map(|line| Some((line.get("step")?.as_f64()?, line.get(key)?.as_f64()?))).collect()
    }

    fn keys_below(&self, prefix: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for key in self.lines.iter().filter_map(Value::as_object).flat_map(|line| line.keys()) {
            if key.starts_with(prefix) && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        keys
    }
}
