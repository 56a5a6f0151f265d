//! The data sets of the benchmarks, one file each: the columns that the Hub's files have, what is asked, what it is scored
//! by, and how the paper ran it.
//!
//! Adding a benchmark: a file with its [`Spec`], and its line in [`ALL`]. The columns are those that a task or a rule reads.
//!
//! Source: lmms-eval, the task files and `utils` of each benchmark, reference and v0.3.2; column types and numbers of rows
//! from the cards of the data sets.

mod chartqa;
mod docvqa;
mod hallusion_bench;
mod infovqa;
mod mathverse;
mod mathvista;
mod mmbench;
mod mme;
mod mmmu;
mod mmmu_pro;
mod mmvet;
mod ocrbench;
mod own;
mod pope;
mod realworldqa;
mod spec;
mod textvqa;

pub use spec::{Generation, Hub, Paper, PaperScores, Pictures, Spec};

use crate::error::{EvalError, Result};

/// Every data set, in the order of the paper's tables, then those that it does not report, then your own.
pub static ALL: [&Spec; 17] = [
    &chartqa::CHARTQA,
    &ocrbench::OCRBENCH,
    &docvqa::DOCVQA,
    &mme::MME,
    &mmvet::MMVET,
    &realworldqa::REALWORLDQA,
    &pope::POPE,
    &mathvista::MATHVISTA,
    &mathverse::MATHVERSE,
    &mmmu::MMMU,
    &mmmu_pro::STANDARD,
    &mmmu_pro::VISION,
    &mmbench::MMBENCH,
    &infovqa::INFOVQA,
    &textvqa::TEXTVQA,
    &hallusion_bench::HALLUSION_BENCH,
    &own::OWN,
];

/// The names that [`find`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|spec| spec.name)
}

/// The data set of a name.
///
/// Errors: [`EvalError::UnknownDataset`].
pub fn find(name: &str) -> Result<&'static Spec> {
    let known = ALL.into_iter().find(|spec| spec.name == name);
    known.ok_or_else(|| EvalError::UnknownDataset { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use visionthink_data::ColumnKind;

    use super::*;

    #[test]
    fn every_data_set_is_found_by_its_own_name() {
        assert_eq!(names().collect::<BTreeSet<_>>().len(), ALL.len());
        for spec in ALL {
            assert_eq!(find(spec.name).unwrap().title, spec.title);
        }
        let error = find("vqav2").unwrap_err().to_string();
        assert!(error.starts_with("unknown data set `vqav2`; expected one of `chartqa`, `ocrbench`, "), "{error}");
    }

    #[test]
    fn every_name_of_a_column_is_one_of_the_columns() {
        for spec in ALL {
            let kind = |name: &str| spec.columns.iter().find(|column| column.name == name).map(|column| column.kind);
            for name in spec.id.iter().chain(spec.answer) {
                assert!(kind(name).is_some_and(|kind| kind != ColumnKind::Image), "{}: {name}", spec.name);
            }
            let picture = match spec.pictures {
                Pictures::Always(column) | Pictures::Sometimes(column) => column,
                Pictures::Marked => "image_1",
            };
            assert_eq!(kind(picture), Some(ColumnKind::Image), "{}", spec.name);
            assert!(!spec.answer.is_empty() && !spec.tasks.is_empty(), "{}", spec.name);
            assert!(spec.metrics.contains(&spec.paper.metric), "{}", spec.name);
        }
    }
}
