//! Questions of your own.

use super::texts::mean;
use super::{Options, SampleScore, Scored};
use crate::error::Result;
use crate::metrics::own::{OwnMetric, score};
use crate::row::{Row, Texts};

pub(super) fn own(rows: &[Row<'_>], options: &Options, metric: OwnMetric) -> Result<Scored> {
    mean(rows, |row| {
        let choices: Vec<String> = row.optional("options")?.unwrap_or_default();
        let truths = truths(row)?;
        let score = score(metric, &options.prediction(row)?, &truths, &choices)
            .ok_or_else(|| row.unknown("answer", truths.join("` or `"), "the letter or the text of an option"))?;
        SampleScore::new(row, Some(score), None)
    })
}

/// `answer` and `answers`, of which one may be missing.
fn truths(row: &Row<'_>) -> Result<Vec<String>> {
    let further = row.optional::<Texts>("answers")?.map(Vec::from).unwrap_or_default();
    let answer = if further.is_empty() { Some(row.required::<Texts>("answer")?) } else { row.optional("answer")? };
    Ok(answer.map(Vec::from).into_iter().flatten().chain(further).collect())
}
