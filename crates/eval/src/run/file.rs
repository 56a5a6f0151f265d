//! The run file of an evaluation: models × methods × benchmarks.

mod check;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use visionthink_data::world::Family;
use visionthink_judge::JudgeEndpoint;
use visionthink_protocol::{Mode, ProfileName};
use visionthink_prune::{Choice, PruneError, Pruning};

use crate::error::{EvalError, Result};
use crate::metrics::Edition;
use crate::score::Options;
use crate::statistics::Bootstrap;

/// What is asked of which models, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Where it is written.
    pub run: RunSection,
    /// How answers are generated.
    pub generation: GenerationSection,
    /// Whose rules answers are scored by. May be changed when a run goes on.
    pub scoring: ScoringSection,
    /// How intervals are drawn. May be changed likewise.
    pub bootstrap: Bootstrap,
    /// Who decides where a benchmark needs a judge; without it such answers stay unjudged. May be changed likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeSection>,
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

/// How answers are generated, whatever the benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationSection {
    /// Longest reply, in tokens; VisionThink's own runs allow 8192.
    pub max_new_tokens: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// Answers that are made together.
    pub max_rows: usize,
}

/// Whose rules answers are scored by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringSection {
    /// `reference`, today's lmms-eval, or `v0.3.2`, the paper's time; OCRBench and RealWorldQA differ.
    pub edition: Edition,
}

/// A judge over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeSection {
    /// Which server and model, and with how much patience.
    pub endpoint: JudgeEndpoint,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Its name in reports.
    pub name: String,
    /// `micro`, a folder, or `hf:ORGANISATION/NAME`.
    pub source: String,
    /// An adapter of it, in the layout of PEFT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Its prompts; without it those that the checkpoint names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// A server that runs it in place of this process; of `source` the files beside the weights are read then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineSection>,
}

/// An OpenAI-compatible server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSection {
    /// The address in front of `/chat/completions`, `http://127.0.0.1:8000/v1` say.
    pub url: String,
    /// What it calls the model; without it the only one it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The environment variable that holds its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_env: Option<String>,
}

/// How pictures are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodSection {
    /// Its name in reports.
    pub name: String,
    /// Which image the model sees, and whether it may ask for another.
    pub mode: Mode,
    /// Down-sampling: in mode `full`, the share of the pixels that pictures keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<f64>,
    /// Pruning, in whatever mode, by name: `fastv` with the paper's settings, `fastv:0.5` for half of the visual tokens as a mean over
    /// layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning: Option<Choice>,
    /// Pruning with every setting written down; in place of `pruning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning_settings: Option<Pruning>,
}

/// What is asked: either `dataset` with `data`, or `synthetic`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkSection {
    /// Its name in reports.
    pub name: String,
    /// A data set that [`benchmarks::find`](crate::benchmarks::find) knows; `own` for questions of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// A folder with the files of the Hub, a file, or `hf:ORGANISATION/NAME`, which whoever runs the evaluation fetches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The split; without it the one that the paper measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The way to ask, by its name in lmms-eval; without it the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Pictures that are drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<SyntheticSection>,
    /// A [`Benchmark`](crate::Benchmark) by name: the rule to score by.
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
    /// Questions a family and seed.
    pub questions: u64,
    /// Seeds of the pictures and questions.
    pub seeds: Vec<u64>,
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

    /// What is done to answers before they are scored. They were cut to their answer tags by the protocol.
    pub fn options(&self) -> Options {
        Options { edition: self.scoring.edition, ..Options::default() }
    }

    /// The run folder.
    pub fn folder(&self) -> PathBuf {
        self.run.out.join(&self.run.name)
    }
}

impl MethodSection {
    /// Whether visual tokens are dropped.
    pub fn prunes(&self) -> bool {
        self.pruning.is_some() || self.pruning_settings.is_some()
    }

    /// How visual tokens are dropped in a decoder of `layers` layers.
    ///
    /// # Errors
    /// Settings that no decoder of that depth can have.
    pub fn pruning_for(&self, layers: usize) -> std::result::Result<Option<Pruning>, PruneError> {
        let pruning = match (&self.pruning_settings, self.pruning) {
            (Some(settings), _) => settings.clone(),
            (None, Some(choice)) => choice.settings(layers)?,
            (None, None) => return Ok(None),
        };
        pruning.check_for(layers)?;
        Ok(Some(pruning))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[run]\nname = 'a'\nout = 'runs'\nseed = 1\n\
        [generation]\nmax_new_tokens = 32\ntemperature = 0.0\nmax_rows = 8\n\
        [scoring]\nedition = 'v0.3.2'\n[bootstrap]\nresamples = 100\nseed = 2\nlevel = 0.95\n\
        [[model]]\nname = 'micro'\nsource = 'micro'\n[[method]]\nname = 'full'\nmode = 'full'\n\
        [[benchmark]]\nname = 'charts'\ndataset = 'chartqa'\ndata = 'data/chartqa'\nmetric = 'chartqa'\n\
        [[benchmark]]\nname = 'drawn'\nmetric = 'own-exact'\nsynthetic = { families = ['scene'], questions = 5, seeds = [3] }\n";

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
    fn pruning_is_a_name_with_a_share_or_settings_and_goes_with_every_mode() {
        let method = |more: &str| {
            let text = GOOD.replace("mode = 'full'", &format!("mode = 'adaptive'\n{more}"));
            RunFile::from_toml(&text, Path::new("eval.toml")).map(|run| run.methods[0].clone())
        };
        assert_eq!(method("").unwrap().pruning_for(4), Ok(None));
        let half = method("pruning = 'uniform:0.5'").unwrap();
        let written = method("pruning_settings = { method = 'uniform', keep = 0.5 }").unwrap();
        assert_eq!(half.pruning_for(4), written.pruning_for(4));
        assert!(half.pruning_for(4).unwrap().is_some());
        assert!(method("pruning = 'fastv'").unwrap().pruning_for(1).is_err());
        for (more, words) in [
            ("pruning = 'fast'", "`fast` is no pruning method"),
            (
                "pruning_settings = { method = 'uniform', keep = 1.5 }",
                "method `full`: `pruning_settings`: `uniform`: `keep` is 1.5",
            ),
            ("pruning = 'fastv'\npruning_settings = { method = 'uniform', keep = 0.5 }", "are both given"),
        ] {
            let message = method(more).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn a_share_of_pixels_is_a_share_and_of_the_full_image() {
        let down = GOOD.replace("mode = 'full'", "mode = 'full'\npixels = 0.5");
        assert_eq!(RunFile::from_toml(&down, Path::new("eval.toml")).unwrap().methods[0].pixels, Some(0.5));
        assert!(error(&down.replace("0.5", "1.5")).contains("`pixels` is 1.5, expected a share above 0"));
        let message = error(&down.replace("mode = 'full'", "mode = 'adaptive'"));
        assert!(message.contains("`pixels` goes with mode `full`, found `adaptive`"), "{message}");
    }

    #[test]
    fn a_judge_is_an_endpoint_and_its_faults_are_told_with_the_others() {
        let judged = format!("{GOOD}[judge.endpoint]\nkind = 'openai'\nurl = 'http://localhost:1/v1'\nmodel = 'm'\n");
        let run = RunFile::from_toml(&judged, Path::new("eval.toml")).unwrap();
        assert_eq!(run.judge.unwrap().endpoint.model, "m");
        let message =
            error(&judged.replace("http://localhost:1/v1", "localhost").replace("max_rows = 8", "max_rows = 0"));
        assert!(
            message.contains("`judge.endpoint.url`") && message.contains("`generation.max_rows` is 0"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let message = error(&GOOD.replace("seed = 1", "seeds = 1"));
        assert!(message.contains("line 4: unknown key `seeds`"), "{message}");
    }

    #[test]
    fn a_data_set_needs_its_files_and_a_benchmark_one_source() {
        let fetched = GOOD.replace("'data/chartqa'", "'hf:lmms-lab/ChartQA'");
        RunFile::from_toml(&fetched, Path::new("eval.toml")).unwrap();
        assert!(error(&GOOD.replace("data = 'data/chartqa'\n", "")).contains("has `dataset` but no `data`"));
        assert!(error(&GOOD.replace("dataset = 'chartqa'\n", "")).contains("needs either `dataset` with `data`"));
    }
}
