//! Predictions in, per-sample scores and an aggregate out.

mod choices;
mod judged;
mod own;
mod texts;
mod yes_no;

use serde::Serialize;
use serde_json::Value;

use crate::benchmark::Benchmark;
use crate::error::{EvalError, Result};
use crate::metrics::answer_tag::{TagOrder, answer};
use crate::metrics::reasoning::{TagPair, strip_reasoning};
use crate::metrics::{Edition, chartqa, hallusion, mathverse, mathvista, mmbench, mme, mmmu, mmvet, ocrbench, pope};
use crate::python::text::strip;
use crate::row::{Name, Row};

/// What is done to predictions before a rule sees them, and which rules these are.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Cuts a prediction to its answer tag.
    pub answer_tag: Option<TagOrder>,
    /// Takes thinking out, before the answer tag is looked for; see
    /// [`default_pairs`](crate::metrics::reasoning::default_pairs).
    pub reasoning_tags: Vec<TagPair>,
    /// The rules of OCRBench and RealWorldQA differ between editions.
    pub edition: Edition,
}

impl Options {
    /// The prediction of a row without white space around it and without thinking.
    fn visible(&self, row: &Row<'_>) -> Result<String> {
        Ok(strip_reasoning(strip(row.text("prediction")?), &self.reasoning_tags))
    }

    /// The prediction of a row as most rules see it: cut to its answer, too.
    fn prediction(&self, row: &Row<'_>) -> Result<String> {
        let visible = self.visible(row)?;
        Ok(self.answer_tag.map_or(visible.as_str(), |order| answer(&visible, order)).to_owned())
    }
}

/// The score of one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleScore {
    /// The row, counted from 1.
    pub row: usize,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    /// Its score, mostly 0 or 1; `None` where only a judge could tell. The aggregate says what such a row counts for.
    pub score: Option<f64>,
    /// What the rule read in the prediction, where it reads before it compares.
    pub parsed: Option<String>,
}

impl SampleScore {
    fn new(row: &Row<'_>, score: Option<f64>, parsed: Option<String>) -> Result<Self> {
        let id = row.optional::<Name>("id")?.map(String::from);
        Ok(Self { row: row.number(), id, score, parsed })
    }

    fn right_or_wrong(row: &Row<'_>, right: bool, parsed: Option<String>) -> Result<Self> {
        Self::new(row, Some(f64::from(right)), parsed)
    }
}

/// The scores of a benchmark over all rows, in the terms of that benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Aggregate {
    /// ChartQA by its rule.
    ChartQa(chartqa::Scores),
    /// Benchmarks whose score is the mean over samples: DocVQA, InfoVQA, TextVQA, RealWorldQA, your own.
    Mean {
        /// The mean, 0 to 1.
        mean: f64,
    },
    /// OCRBench.
    OcrBench(ocrbench::Scores),
    /// MME.
    Mme(mme::Scores),
    /// POPE.
    Pope(pope::Scores),
    /// MMMU and MMMU-Pro.
    Mmmu(mmmu::Scores),
    /// MMBench.
    MmBench(mmbench::Scores),
    /// MathVista.
    MathVista(mathvista::Scores),
    /// Benchmarks that a judge decides: MathVerse, ChartQA.
    Judged(mathverse::Scores),
    /// MM-Vet.
    MmVet(mmvet::Scores),
    /// HallusionBench, its accuracies in percent.
    HallusionBench(hallusion::Scores),
    /// HallusionBench without a judge, its accuracies from 0 to 1.
    HallusionBenchYesNo(hallusion::Scores),
}

impl Aggregate {
    fn mean(samples: &[SampleScore]) -> Self {
        let sum: f64 = samples.iter().filter_map(|sample| sample.score).sum();
        Self::Mean { mean: sum / samples.len().max(1) as f64 }
    }

    /// The one number of the paper's tables, in its unit: percent for most; OCRBench as a tenth of its points, MME as
    /// perception and cognition together, POPE as F1. HallusionBench, which the paper does not report, as its accuracy
    /// over questions.
    pub fn paper_score(&self) -> f64 {
        match self {
            Self::ChartQa(scores) => 100.0 * scores.relaxed_overall,
            Self::Mean { mean } => 100.0 * mean,
            Self::OcrBench(scores) => f64::from(scores.final_score) / 10.0,
            Self::Mme(scores) => scores.perception + scores.cognition,
            Self::Pope(scores) => 100.0 * scores.f1,
            Self::Mmmu(scores) => 100.0 * scores.overall,
            Self::MmBench(scores) => 100.0 * scores.overall,
            Self::MathVista(scores) => scores.accuracy,
            Self::Judged(scores) => 100.0 * scores.accuracy,
            Self::MmVet(scores) => scores.overall,
            Self::HallusionBench(scores) => scores.questions,
            Self::HallusionBenchYesNo(scores) => 100.0 * scores.questions,
        }
    }
}

/// A benchmark's scores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which benchmark, by which rule.
    pub benchmark: Benchmark,
    /// How many rows were scored.
    pub rows: usize,
    /// The number to hold against the paper's tables; see [`Aggregate::paper_score`].
    pub paper_score: f64,
    /// All scores over all rows.
    pub aggregate: Aggregate,
    /// One score a row, in their order.
    pub samples: Vec<SampleScore>,
}

/// What a family of benchmarks makes of its rows.
struct Scored {
    samples: Vec<SampleScore>,
    aggregate: Aggregate,
}

/// Scores rows of predictions for a benchmark; [`Benchmark`] says which fields its rows need.
///
/// Errors name the row, counted from 1, and the field: one that is missing, of the wrong kind, or of an unknown value.
pub fn score(benchmark: Benchmark, rows: &[Value], options: &Options) -> Result<Report> {
    let rows: Vec<Row<'_>> =
        rows.iter().zip(1..).map(|(value, number)| Row::new(number, value)).collect::<Result<_>>()?;
    if rows.is_empty() {
        return Err(EvalError::NoRows);
    }
    let Scored { samples, aggregate } = match benchmark {
        Benchmark::ChartQa => texts::chartqa(&rows, options),
        Benchmark::DocVqa | Benchmark::InfoVqa => texts::anls(&rows, options),
        Benchmark::TextVqa => texts::textvqa(&rows, options),
        Benchmark::OcrBench => texts::ocrbench(&rows, options),
        Benchmark::RealWorldQa => texts::realworldqa(&rows, options),
        Benchmark::Mme => yes_no::mme(&rows, options),
        Benchmark::Pope => yes_no::pope(&rows, options),
        Benchmark::HallusionBenchYesNo => yes_no::hallusion_bench(&rows, options),
        Benchmark::Mmmu => choices::mmmu(&rows, options),
        Benchmark::MmmuProStandard => choices::mmmu_pro_standard(&rows, options),
        Benchmark::MmmuProVision => choices::mmmu_pro_vision(&rows, options),
        Benchmark::MmBench => choices::mmbench(&rows, options),
        Benchmark::MathVista => judged::mathvista(&rows, options),
        Benchmark::MathVerse => judged::mathverse(&rows),
        Benchmark::ChartQaJudge => judged::chartqa(&rows),
        Benchmark::MmVet => judged::mmvet(&rows),
        Benchmark::HallusionBench => judged::hallusion_bench(&rows),
        Benchmark::Own(metric) => own::own(&rows, options, metric),
    }?;
    Ok(Report { benchmark, rows: rows.len(), paper_score: aggregate.paper_score(), aggregate, samples })
}
