//! What cannot stand in a run file, all of it at once.

use std::collections::BTreeSet;

use visionthink_protocol::Mode;
use visionthink_prune::Pruning;

use super::{BenchmarkSection, GenerationSection, MethodSection, RunFile};
use crate::benchmark::Benchmark;
use crate::benchmarks;
use crate::question::Task;
use crate::run::POOLED;
use crate::statistics::Bootstrap;

impl RunFile {
    /// Every value that cannot stand, one a problem.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !is_file_name(&self.run.name) {
            found.push(format!("`run.name` is `{}`, expected {FILE_NAME}: it names a folder", self.run.name));
        }
        let Bootstrap { resamples, level, .. } = self.bootstrap;
        if resamples == 0 {
            found.push("`bootstrap.resamples` is 0, expected at least 1; 1000 is usual".to_owned());
        }
        if !(level > 0.0 && level < 1.0) {
            found.push(format!("`bootstrap.level` is {level}, expected a share between 0 and 1, as 0.95"));
        }
        let GenerationSection { max_new_tokens, temperature, max_rows } = self.generation;
        for (key, value) in [("max_new_tokens", max_new_tokens), ("max_rows", max_rows)] {
            if value == 0 {
                found.push(format!("`generation.{key}` is 0, expected at least 1"));
            }
        }
        if !(temperature.is_finite() && temperature >= 0.0) {
            found.push(format!("`generation.temperature` is {temperature}, expected 0 or more; 0 is greedy"));
        }
        if let Some(judge) = &self.judge {
            found.extend(judge.endpoint.problems("judge.endpoint"));
        }
        self.methods.iter().for_each(|method| method.problems(&mut found));
        for model in self.models.iter().filter(|model| model.engine.is_some()) {
            let name = &model.name;
            for method in self.methods.iter().filter(|method| method.prunes()) {
                let method = &method.name;
                found.push(format!(
                    "method `{method}` drops visual tokens, which the server of model `{name}` cannot be told"
                ));
            }
            if model.adapter.is_some() {
                found.push(format!(
                    "model `{name}` has `adapter` and `engine`; a server has its adapters loaded itself"
                ));
            }
        }
        names("model", self.models.iter().map(|section| section.name.as_str()), &mut found);
        names("method", self.methods.iter().map(|section| section.name.as_str()), &mut found);
        names("benchmark", self.benchmarks.iter().map(|section| section.name.as_str()), &mut found);
        self.benchmarks.iter().for_each(|benchmark| benchmark.problems(&mut found));
        found
    }
}

impl MethodSection {
    fn problems(&self, found: &mut Vec<String>) {
        let name = &self.name;
        if self.pruning.is_some() && self.pruning_settings.is_some() {
            found.push(format!(
                "method `{name}`: `pruning` and `pruning_settings` are both given; the second has everything in it"
            ));
        }
        if let Some(Err(error)) = self.pruning_settings.as_ref().map(Pruning::check) {
            found.push(format!("method `{name}`: `pruning_settings`: {error}"));
        }
        let Some(pixels) = self.pixels else { return };
        if !(pixels > 0.0 && pixels <= 1.0) {
            found.push(format!("method `{name}`: `pixels` is {pixels}, expected a share above 0, at most 1"));
        }
        if self.mode != Mode::Full {
            found.push(format!(
                "method `{name}`: `pixels` goes with mode `full`, found `{}`, which chooses its own size",
                self.mode
            ));
        }
    }
}

impl BenchmarkSection {
    fn problems(&self, found: &mut Vec<String>) {
        let name = &self.name;
        if name == POOLED {
            found.push(format!(
                "a benchmark is named `{POOLED}`, which reports call all of them together; expected another name"
            ));
        }
        match (&self.dataset, &self.data, &self.synthetic) {
            (Some(_), Some(_), None) | (None, None, Some(_)) => {}
            (Some(_), None, None) => {
                found.push(format!("benchmark `{name}` has `dataset` but no `data`; expected a folder or a file"));
            }
            _ => found.push(format!("benchmark `{name}` needs either `dataset` with `data`, or `synthetic`")),
        }
        let metric =
            self.metric.parse::<Benchmark>().map_err(|error| found.push(format!("benchmark `{name}`: {error}"))).ok();
        let spec = self.dataset.as_deref().map(benchmarks::find).transpose();
        match (spec.map_err(|error| found.push(format!("benchmark `{name}`: {error}"))).ok().flatten(), metric) {
            (Some(spec), Some(metric)) if !spec.metrics.contains(&metric) => {
                let expected: Vec<_> = spec.metrics.iter().map(|metric| format!("`{metric}`")).collect();
                found.push(format!(
                    "benchmark `{name}`: `{metric}` does not score `{}`; expected {}",
                    spec.name,
                    expected.join(" or ")
                ));
            }
            _ => {}
        }
        if let Some(Err(error)) = self.task.as_deref().map(str::parse::<Task>) {
            found.push(format!("benchmark `{name}`: {error}"));
        }
        if self.limit == Some(0) {
            found
                .push(format!("benchmark `{name}`: `limit` is 0, expected at least 1; leave it out to ask everything"));
        }
        if self
            .synthetic
            .as_ref()
            .is_some_and(|drawn| drawn.families.is_empty() || drawn.questions == 0 || drawn.seeds.is_empty())
        {
            found.push(format!(
                "benchmark `{name}`: `synthetic` draws nothing; expected a family, a seed and at least 1 question"
            ));
        }
    }
}

const FILE_NAME: &str = "letters, digits, `-`, `_` and `.`";

fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

/// Names become parts of file names and tell records apart.
fn names<'a>(kind: &str, names: impl Iterator<Item = &'a str>, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_file_name(name) {
            found.push(format!("a {kind} is named `{name}`, expected {FILE_NAME}"));
        }
        if !seen.insert(name) {
            found.push(format!("two sections `[[{kind}]]` are named `{name}`; records could not be told apart"));
        }
    }
    if seen.is_empty() {
        found.push(format!("there is no `[[{kind}]]`; expected at least one"));
    }
}
