//! Benchmarks whose answers are yes or no.

use super::{Aggregate, Options, SampleScore, Scored};
use crate::error::Result;
use crate::metrics::{YesNo, hallusion, mme, pope};
use crate::row::{Name, Row};

pub(super) fn mme(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let (mut samples, mut questions) = (Vec::new(), Vec::new());
    for row in rows {
        let reply = mme::parse(&options.prediction(row)?);
        let right = mme::is_right(reply, truth(row, mme::truth)?);
        samples.push(SampleScore::right_or_wrong(row, right, Some(reply.name().to_owned()))?);
        let question_id = row.required::<Name>("question_id")?.into();
        questions.push(mme::Question { question_id, category: row.required("category")?, right });
    }
    Ok(Scored { samples, aggregate: Aggregate::Mme(mme::aggregate(&questions)?) })
}

pub(super) fn pope(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let (mut samples, mut answers) = (Vec::new(), Vec::new());
    for row in rows {
        let parsed = pope::parse(&options.visible(row)?, options.answer_tag);
        let truth = truth(row, pope::truth)?;
        samples.push(SampleScore::right_or_wrong(row, pope::is_right(&parsed, truth), Some(parsed.clone()))?);
        answers.push((parsed, truth));
    }
    Ok(Scored { samples, aggregate: Aggregate::Pope(pope::aggregate(&answers)) })
}

pub(super) fn hallusion_bench(rows: &[Row<'_>], options: &Options) -> Result<Scored> {
    let (mut samples, mut answers) = (Vec::new(), Vec::new());
    for row in rows {
        let says = if hallusion::says_yes(&options.prediction(row)?) { "1" } else { "0" };
        let right = says == String::from(row.required::<Name>("gt_answer")?);
        samples.push(SampleScore::right_or_wrong(row, right, Some(says.to_owned()))?);
        answers.push((hallusion_question(row)?, right));
    }
    Ok(Scored { samples, aggregate: Aggregate::HallusionBenchYesNo(hallusion::aggregate_yes_no(&answers)) })
}

pub(super) fn hallusion_question(row: &Row<'_>) -> Result<hallusion::Question> {
    Ok(hallusion::Question {
        category: row.required("category")?,
        subcategory: row.required("subcategory")?,
        set_id: row.required::<Name>("set_id")?.into(),
        figure_id: row.required::<Name>("figure_id")?.into(),
        question_id: row.required::<Name>("question_id")?.into(),
    })
}

fn truth(row: &Row<'_>, read: fn(&str) -> Option<YesNo>) -> Result<YesNo> {
    let answer = row.text("answer")?;
    read(answer).ok_or_else(|| row.unknown("answer", answer, "`yes` or `no`"))
}
