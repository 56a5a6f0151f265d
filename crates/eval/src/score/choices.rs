//! Benchmarks of multiple choices, and of open questions among them.

use super::{Aggregate, Options, SampleScore, Scored};
use crate::error::Result;
use crate::metrics::{mmbench, mmmu};
use crate::row::{Row, Texts};

pub(super) fn mmmu(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    accuracy(rows, |row| {
        let prediction = options.prediction(row)?;
        let (right, parsed) = match row.required("question_type")? {
            mmmu::QuestionType::MultipleChoice => chosen(row, &prediction)?,
            mmmu::QuestionType::Open => (mmmu::is_right_open(&prediction, &truths(row)?), None),
        };
        Ok((subject(row)?, SampleScore::right_or_wrong(row, right, parsed)?))
    })
}

/// The subject is a part of the id.
fn subject<'a>(row: &Row<'a>) -> Result<&'a str> {
    let id = row.text("id")?;
    mmmu::subject(id).ok_or_else(|| row.unknown("id", id, "`SPLIT_SUBJECT_NUMBER`"))
}

pub(super) fn mmmu_pro_standard(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    accuracy(rows, |row| {
        let (right, parsed) = chosen(row, &options.prediction(row)?)?;
        Ok((row.text("subject")?, SampleScore::right_or_wrong(row, right, parsed)?))
    })
}

/// The prediction has to be the letter and nothing else.
pub(super) fn mmmu_pro_vision(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    accuracy(rows, |row| {
        let prediction = options.prediction(row)?;
        let right = truths(row)?.contains(&prediction);
        Ok((row.text("subject")?, SampleScore::right_or_wrong(row, right, Some(prediction))?))
    })
}

fn accuracy<'a>(rows: &[Row<'a>], answered: impl Fn(&Row<'a>) -> Result<(&'a str, SampleScore)>) -> Result<Scored> {
    let (mut samples, mut subjects) = (Vec::new(), mmmu::Subjects::default());
    for row in rows {
        let (subject, sample) = answered(row)?;
        subjects.add(subject, sample.score == Some(1.0));
        samples.push(sample);
    }
    Ok(Scored { samples, aggregate: Aggregate::Mmmu(mmmu::aggregate(&subjects)) })
}

/// Whether the letter that a prediction chooses is right, and the letter. Where the harness would draw one at random,
/// the answer is wrong: a score should not depend on a draw.
fn chosen(row: &Row<'_>, prediction: &str) -> Result<(bool, Option<String>)> {
    let letter = mmmu::parse_choice(prediction, &row.python_list("options")?).map(String::from);
    let truths = truths(row)?;
    Ok((letter.as_ref().is_some_and(|letter| truths.contains(letter)), letter))
}

fn truths(row: &Row<'_>) -> Result<Vec<String>> {
    row.required::<Texts>("answer").map(Vec::from)
}

pub(super) fn mmbench(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let (mut samples, mut answered) = (Vec::new(), Vec::new());
    for row in rows {
        let choices = mmbench_choices(row)?;
        let letter = mmbench::choose(&options.prediction(row)?, &choices).map(String::from);
        let right = letter.as_deref() == Some(row.text("answer")?);
        samples.push(SampleScore::right_or_wrong(row, right, letter)?);
        let (category, l2_category) = (row.required("category")?, row.optional("L2-category")?);
        answered.push(mmbench::Answered { index: row.required("index")?, right, category, l2_category });
    }
    Ok(Scored { samples, aggregate: Aggregate::MmBench(mmbench::aggregate(&answered)) })
}

fn mmbench_choices<'a>(row: &Row<'a>) -> Result<mmbench::Choices<'a>> {
    Ok([row.optional_text("A")?, row.optional_text("B")?, row.optional_text("C")?, row.optional_text("D")?])
}
