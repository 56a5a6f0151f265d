//! The benchmarks that can be scored, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::EvalError;
use crate::metrics::own::OwnMetric;

/// A benchmark together with the rule it is scored by. The fields that its rows need are named at each variant, beside
/// `prediction` and an optional `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Benchmark {
    /// ChartQA by its rule: `answer`; optional `type` for the two splits.
    ChartQa,
    /// ChartQA as the paper reports it: `judge_reply` instead of `prediction`.
    ChartQaJudge,
    /// DocVQA by ANLS: `answers`, or one `answer`.
    DocVqa,
    /// InfoVQA by ANLS: `answers`, or one `answer`.
    InfoVqa,
    /// TextVQA by VQA accuracy: `answers`, ten of them.
    TextVqa,
    /// OCRBench: `answer` (a text or a list), `dataset`, `question_type`.
    OcrBench,
    /// MME: `answer`, `question_id`, `category`.
    Mme,
    /// POPE: `answer`.
    Pope,
    /// RealWorldQA: `answer`; also `question` by the rules of v0.3.2.
    RealWorldQa,
    /// MMMU: `id` as `validation_SUBJECT_NUMBER`, `question_type`, `options`, `answer`.
    Mmmu,
    /// MMMU-Pro, questions as text: `subject`, `options`, `answer`.
    MmmuProStandard,
    /// MMMU-Pro, questions inside the picture: `subject`, `answer`.
    MmmuProVision,
    /// MMBench without a judge: `index`, `answer`, `A` to `D`, `category`, `L2-category`.
    MmBench,
    /// MathVista: `question_type`, `answer_type`, `choices`, `precision`, `answer`; optional `extraction` by a judge.
    MathVista,
    /// MathVerse: `judge_reply` instead of `prediction`.
    MathVerse,
    /// MM-Vet: `judge_reply` instead of `prediction`, `capability`.
    MmVet,
    /// HallusionBench: `judge` (0, 1 or 2) instead of `prediction`, `category`, `subcategory`, `set_id`, `figure_id`,
    /// `question_id`.
    HallusionBench,
    /// HallusionBench by looking for a `yes`: `gt_answer`, and the same names of the question.
    HallusionBenchYesNo,
    /// Questions of your own: `answer` (a text or a list) or `answers` or both; for multiple choice, `options` where the
    /// question has them apart.
    Own(OwnMetric),
}

const NAMES: [(Benchmark, &str); 23] = [
    (Benchmark::ChartQa, "chartqa"),
    (Benchmark::ChartQaJudge, "chartqa-judge"),
    (Benchmark::DocVqa, "docvqa"),
    (Benchmark::InfoVqa, "infovqa"),
    (Benchmark::TextVqa, "textvqa"),
    (Benchmark::OcrBench, "ocrbench"),
    (Benchmark::Mme, "mme"),
    (Benchmark::Pope, "pope"),
    (Benchmark::RealWorldQa, "realworldqa"),
    (Benchmark::Mmmu, "mmmu"),
    (Benchmark::MmmuProStandard, "mmmu-pro-standard"),
    (Benchmark::MmmuProVision, "mmmu-pro-vision"),
    (Benchmark::MmBench, "mmbench"),
    (Benchmark::MathVista, "mathvista"),
    (Benchmark::MathVerse, "mathverse"),
    (Benchmark::MmVet, "mmvet"),
    (Benchmark::HallusionBench, "hallusion-bench"),
    (Benchmark::HallusionBenchYesNo, "hallusion-bench-yes-no"),
    (Benchmark::Own(OwnMetric::Exact), "own-exact"),
    (Benchmark::Own(OwnMetric::Anls), "own-anls"),
    (Benchmark::Own(OwnMetric::Relaxed), "own-relaxed"),
    (Benchmark::Own(OwnMetric::Contains), "own-contains"),
    (Benchmark::Own(OwnMetric::MultipleChoice), "own-multiple-choice"),
];

/// The field of a row that holds what a model said.
const PREDICTION: &str = "prediction";

impl Benchmark {
    /// All of them, in the order of [`names`](Self::names).
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(benchmark, _)| *benchmark)
    }

    /// The names that [`FromStr`] reads.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(benchmark, _)| *benchmark == self).map_or("", |(_, name)| name)
    }

    /// Whether a judge decides, whose replies a run does not hold.
    pub fn is_judged(self) -> bool {
        self.reply_field() != PREDICTION
    }

    /// The field of a row that holds what its rule reads: what a model said, or what a judge said of it.
    pub fn reply_field(self) -> &'static str {
        match self {
            Self::ChartQaJudge | Self::MathVerse | Self::MmVet => "judge_reply",
            Self::HallusionBench => "judge",
            _ => PREDICTION,
        }
    }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Benchmark {
    type Err = EvalError;

    fn from_str(name: &str) -> Result<Self, EvalError> {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(benchmark, _)| *benchmark)
            .ok_or_else(|| EvalError::UnknownBenchmark { name: name.to_owned() })
    }
}

impl Serialize for Benchmark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_has_a_name_and_is_found_by_it() {
        for benchmark in Benchmark::all() {
            assert!(!benchmark.name().is_empty(), "{benchmark:?}");
            assert_eq!(benchmark.name().parse::<Benchmark>().unwrap(), benchmark);
        }
    }
}
