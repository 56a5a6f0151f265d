//! The run file of an evaluation: models × methods × benchmarks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use visionthink_data::world::Family;
use visionthink_protocol::Mode;

use crate::benchmark::Benchmark;
use crate::benchmarks;
use crate::error::{EvalError, Result};
use crate::statistics::Bootstrap;

/// What is asked of which models, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Where it is written.
    pub run: RunSection,
    /// How intervals are drawn.
    pub bootstrap: Bootstrap,
    /// Who answers.
    #[serde(rename = "model")]
    pub models: Vec<ModelSection>,
    /// How pictures are shown; the first is what others are held against.
    #[serde(rename = "method")]
    pub methods: Vec<MethodSection>,
    /// What is asked.
    #[serde(rename = "benchmark")]
    pub benchmarks: Vec<BenchmarkSection>,
}

/// Where a run is written and from which seed it samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSection {
    /// Name of the run folder.
    pub name: String,
    /// The folder that holds run folders.
    pub out: PathBuf,
    /// Seed of the answers.
    pub seed: u64,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Its name in reports.
    pub name: String,
    /// `micro`, a folder, or `hf:ORGANISATION/NAME`.
    pub source: String,
}

/// How pictures are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodSection {
    /// Its name in reports.
    pub name: String,
    /// Which image the model sees, and whether it may ask for another.
    pub mode: Mode,
}

/// What is asked: either `dataset` with `data`, or `synthetic`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkSection {
    /// Its name in reports.
    pub name: String,
    /// A data set that [`benchmarks::find`] knows; `own` for questions of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// A folder, a file, or `hf:ORGANISATION/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Pictures that are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticSection>,
    /// A [`Benchmark`] by name: the rule to score by.
    pub metric: String,
    /// Only so many rows from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Held-out pictures of the synthetic world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticSection {
    /// Which families.
    pub families: Vec<Family>,
    /// Questions a family.
    pub questions: u64,
    /// Seed of the pictures and questions.
    pub seed: u64,
}

impl RunFile {
    /// Reads and checks a run file.
    ///
    /// # Errors
    /// [`EvalError::RunFile`] with the place that is no run file, or with all values that cannot stand; [`EvalError::Io`].
    pub fn from_file(file: &Path) -> Result<Self> {
        Self::from_toml(&fs_err::read_to_string(file)?, file)
    }

    /// The same for text; `file` is named in errors.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_toml(text: &str, file: &Path) -> Result<Self> {
        let refused = |problems| EvalError::RunFile { file: file.to_owned(), problems };
        let run: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            let message =
                error.message().replace("unknown field", "unknown key").replace("missing field", "missing key");
            refused(vec![format!("{place}{message}")])
        })?;
        let problems = run.problems();
        if problems.is_empty() { Ok(run) } else { Err(refused(problems)) }
    }

    /// The run folder.
    pub fn folder(&self) -> PathBuf {
        self.run.out.join(&self.run.name)
    }

    fn problems(&self) -> Vec<String> {
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
        names("model", self.models.iter().map(|section| section.name.as_str()), &mut found);
        names("method", self.methods.iter().map(|section| section.name.as_str()), &mut found);
        names("benchmark", self.benchmarks.iter().map(|section| section.name.as_str()), &mut found);
        self.benchmarks.iter().for_each(|benchmark| benchmark.problems(&mut found));
        found
    }
}

impl BenchmarkSection {
    fn problems(&self, found: &mut Vec<String>) {
        let name = &self.name;
        match (&self.dataset, &self.data, &self.synthetic) {
            (Some(_), Some(_), None) | (None, None, Some(_)) => {}
            (Some(_), None, None) => {
                found.push(format!("benchmark `{name}` has `dataset` but no `data`; expected a folder, a file or `hf:ORGANISATION/NAME`"));
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
        if self.limit == Some(0) {
            found
                .push(format!("benchmark `{name}`: `limit` is 0, expected at least 1; leave it out to ask everything"));
        }
        if self.synthetic.as_ref().is_some_and(|drawn| drawn.families.is_empty() || drawn.questions == 0) {
            found.push(format!(
                "benchmark `{name}`: `synthetic` draws nothing; expected a family and at least 1 question"
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[run]\nname = 'a'\nout = 'runs'\nseed = 1\n[bootstrap]\nresamples = 100\nseed = 2\nlevel = 0.95\n\
        [[model]]\nname = 'micro'\nsource = 'micro'\n[[method]]\nname = 'full'\nmode = 'full'\n\
        [[benchmark]]\nname = 'charts'\ndataset = 'chartqa'\ndata = 'data/chartqa'\nmetric = 'chartqa'\n\
        [[benchmark]]\nname = 'drawn'\nmetric = 'own-exact'\nsynthetic = { families = ['scene'], questions = 5, seed = 3 }\n";

    fn error(text: &str) -> String {
        RunFile::from_toml(text, Path::new("eval.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_run_file_is_read_and_written_back_the_same() {
        let run = RunFile::from_toml(GOOD, Path::new("eval.toml")).unwrap();
        assert_eq!(run.methods[0].mode, Mode::Full);
        let again = RunFile::from_toml(&toml::to_string(&run).unwrap(), Path::new("config.toml")).unwrap();
        assert_eq!(again, run);
    }

    #[test]
    fn all_values_that_cannot_stand_are_told_at_once() {
        let bad = GOOD.replace("resamples = 100", "resamples = 0").replace("metric = 'chartqa'", "metric = 'docvqa'");
        let message =
            error(&bad.replace("name = 'drawn'", "name = 'charts'").replace("questions = 5", "questions = 0"));
        for part in [
            "eval.toml",
            "`bootstrap.resamples` is 0",
            "named `charts`",
            "`docvqa` does not score `chartqa`",
            "draws nothing",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = error(&GOOD.replace("seed = 1", "seeds = 1"));
        assert!(message.contains("line 4: unknown key `seeds`"), "{message}");
    }

    #[test]
    fn a_data_set_needs_its_files_and_a_benchmark_one_source() {
        assert!(error(&GOOD.replace("data = 'data/chartqa'\n", "")).contains("has `dataset` but no `data`"));
        assert!(error(&GOOD.replace("dataset = 'chartqa'\n", "")).contains("needs either `dataset` with `data`"));
    }
}
