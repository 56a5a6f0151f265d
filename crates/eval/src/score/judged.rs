//! Benchmarks that need a judge, whose reply is a field of the row.

use super::yes_no::hallusion_question;
use super::{Aggregate, Options, SampleScore, Scored};
use crate::error::Result;
use crate::metrics::judge::{ReplyRule, says_right};
use crate::metrics::{hallusion, mathverse, mathvista, mmvet};
use crate::row::{Name, Row};

pub(super) fn mathvista(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let (mut samples, mut answers) = (Vec::new(), Vec::new());
    for row in rows {
        let problem = mathvista_problem(row)?;
        // What a judge extracted stands for the prediction.
        let extraction = match row.optional("extraction")? {
            Some(extraction) => Some(extraction),
            None => mathvista::extract(&options.prediction(row)?, &problem, false),
        };
        let normalised = extraction.as_deref().map(|extraction| mathvista::normalise(extraction, &problem));
        let truth = String::from(row.required::<Name>("answer")?);
        let right = normalised.as_ref().map(|normalised| mathvista::is_right(normalised.as_deref(), &truth));
        samples.push(SampleScore::new(row, right.map(f64::from), normalised.flatten())?);
        answers.push(right);
    }
    Ok(Scored { samples, aggregate: Aggregate::MathVista(mathvista::aggregate(&answers)) })
}

fn mathvista_problem(row: &Row<'_>) -> Result<mathvista::Problem> {
    Ok(mathvista::Problem {
        question_type: row.required("question_type")?,
        answer_type: row.required("answer_type")?,
        choices: row.optional("choices")?.unwrap_or_default(),
        precision: row.count("precision")?,
    })
}

pub(super) fn mathverse(rows: &[Row<'_>]) -> Result<Scored> {
    by_reply(rows, ReplyRule::Digit)
}

pub(super) fn chartqa(rows: &[Row<'_>]) -> Result<Scored> {
    by_reply(rows, ReplyRule::VisionThink)
}

fn by_reply(rows: &[Row<'_>], rule: ReplyRule) -> Result<Scored> {
    let (mut samples, mut answers) = (Vec::new(), Vec::new());
    for row in rows {
        let right = says_right(row.text("judge_reply")?, rule);
        samples.push(SampleScore::right_or_wrong(row, right, None)?);
        answers.push(right);
    }
    Ok(Scored { samples, aggregate: Aggregate::Judged(mathverse::aggregate(&answers)) })
}

/// A reply that the harness would never accept leaves the sample without a score and counts as 0.
pub(super) fn mmvet(rows: &[Row<'_>]) -> Result<Scored> {
    let (mut samples, mut questions) = (Vec::new(), Vec::new());
    for row in rows {
        let score = mmvet::parse_reply(row.text("judge_reply")?).score();
        samples.push(SampleScore::new(row, score, None)?);
        questions.push((score.unwrap_or(0.0), row.text("capability")?));
    }
    Ok(Scored { samples, aggregate: Aggregate::MmVet(mmvet::aggregate(&questions)) })
}

pub(super) fn hallusion_bench(rows: &[Row<'_>]) -> Result<Scored> {
    let (mut samples, mut answers) = (Vec::new(), Vec::new());
    for row in rows {
        let question = hallusion_question(row)?;
        let judge = String::from(row.required::<Name>("judge")?);
        let verdict = hallusion::Verdict::read(&judge)
            .ok_or_else(|| row.unknown("judge", judge, "`0` (wrong), `1` (right) or `2` (unclear)"))?;
        samples.push(SampleScore::right_or_wrong(row, hallusion::is_right(&question, verdict), None)?);
        answers.push((question, verdict));
    }
    Ok(Scored { samples, aggregate: Aggregate::HallusionBench(hallusion::aggregate(&answers)?) })
}
