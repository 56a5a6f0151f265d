//! Benchmarks whose answers are compared as text.

use super::{Aggregate, Options, SampleScore, Scored};
use crate::error::Result;
use crate::metrics::{Edition, anls, chartqa, ocrbench, realworldqa, textvqa};
use crate::row::{Row, Texts};

pub(super) fn chartqa(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let (mut samples, mut questions) = (Vec::new(), Vec::new());
    for row in rows {
        let right = chartqa::relaxed_match(&options.prediction(row)?, row.text("answer")?);
        questions.push((row.optional("type")?, right));
        samples.push(SampleScore::right_or_wrong(row, right, None)?);
    }
    Ok(Scored { samples, aggregate: Aggregate::ChartQa(chartqa::aggregate(&questions)) })
}

pub(super) fn anls(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let score = |row: &Row<'_>| {
        let score = anls::anls(&options.prediction(row)?, &answers(row)?);
        SampleScore::new(row, Some(score), None)
    };
    mean(rows, score)
}

pub(super) fn textvqa(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let score = |row: &Row<'_>| {
        let prediction = options.prediction(row)?;
        let score = textvqa::accuracy(&prediction, &answers(row)?);
        SampleScore::new(row, Some(score), Some(textvqa::normalise(&prediction)))
    };
    mean(rows, score)
}

pub(super) fn ocrbench(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let (mut samples, mut questions) = (Vec::new(), Vec::new());
    for row in rows {
        let (prediction, dataset) = (options.prediction(row)?, row.text("dataset")?);
        let right = ocrbench::contains_answer(&prediction, &answers(row)?, dataset, options.edition);
        questions.push((row.required("question_type")?, right));
        samples.push(SampleScore::right_or_wrong(row, right, None)?);
    }
    Ok(Scored { samples, aggregate: Aggregate::OcrBench(ocrbench::aggregate(&questions)) })
}

pub(super) fn realworldqa(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let score = |row: &Row<'_>| {
        let truth = row.text("answer")?;
        match options.edition {
            Edition::Reference => {
                SampleScore::right_or_wrong(row, realworldqa::is_right(&options.prediction(row)?, truth), None)
            }
            Edition::V032 => {
                // Its filters come before the harness strips anything.
                let filtered = realworldqa::filter(row.text("question")?, row.text("prediction")?, options.answer_tag);
                SampleScore::right_or_wrong(row, realworldqa::is_same_text(&filtered, truth), Some(filtered))
            }
        }
    };
    mean(rows, score)
}

pub(super) fn mean(rows: &[Row<'_>], score: impl Fn(&Row<'_>) -> Result<SampleScore>) -> Result<Scored> {
    let samples = rows.iter().map(score).collect::<Result<Vec<_>>>()?;
    let aggregate = Aggregate::mean(&samples);
    Ok(Scored { samples, aggregate })
}

/// `answers`, or a single `answer` in its place.
fn answers(row: &Row<'_>) -> Result<Vec<String>> {
    match row.optional::<Texts>("answers")? {
        Some(answers) => Ok(answers.into()),
        None => row.required::<Texts>("answer").map(Vec::from),
    }
}
