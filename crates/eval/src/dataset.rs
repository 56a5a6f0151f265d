//! A benchmark's data set on disk, read sample by sample.

mod folder;
mod pictures;
mod sample;

use std::path::{Path, PathBuf};

use visionthink_data::{DataError, RowError, RowProblem, Table, open_table};

pub use pictures::{ImageCheck, ImageProblem};
pub use sample::{Defect, Sample};

use crate::benchmarks::Spec;
use crate::error::{EvalError, Result};
use crate::question::Task;

/// What to read of a data set, and how; the default is all of the split that the paper measures, asked as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetOptions {
    /// The split; `None` is the one of [`Hub::split`](crate::benchmarks::Hub::split), for questions of your own the only
    /// one there is.
    pub split: Option<String>,
    /// How to ask; `None` is the first of [`Spec::tasks`].
    pub task: Option<Task>,
    /// Which of the rows.
    pub part: Part,
    /// How closely pictures are looked at.
    pub check: ImageCheck,
}

/// A part of a data set: its first rows, or every n-th of them.
///
/// Rows are told apart by their place in the split, so the shards of one `limit` are disjoint and together complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Only so many rows from the start.
    pub limit: Option<u64>,
    /// Of these, only the ones of a shard.
    pub shard: Option<ShardOf>,
}

/// Shard `index`, counted from 0, of `of`: the rows whose place leaves the remainder `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardOf {
    /// Which shard.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

impl Part {
    pub(crate) fn check(self) -> Result<()> {
        match self.shard {
            Some(ShardOf { index, of }) if index >= of => Err(EvalError::Shard { index, of }),
            _ => Ok(()),
        }
    }

    pub(crate) fn has(self, row: u64) -> bool {
        self.shard.is_none_or(|ShardOf { index, of }| row.checked_rem(of) == Some(index))
    }

    pub(crate) fn is_behind(self, row: u64) -> bool {
        self.limit.is_some_and(|limit| row >= limit)
    }

    /// How many of so many rows it has.
    pub(crate) fn count(self, rows: u64) -> u64 {
        let rows = self.limit.map_or(rows, |limit| rows.min(limit));
        self.shard.map_or(rows, |ShardOf { index, of }| rows.saturating_sub(index).div_ceil(of))
    }
}

/// A data set whose files are there and have its columns.
#[derive(Debug)]
pub struct Dataset {
    spec: &'static Spec,
    task: Task,
    /// What is read: a file or the folder that holds the split.
    files: PathBuf,
    split: Option<String>,
    part: Part,
    check: ImageCheck,
    count: Option<u64>,
}

impl Dataset {
    /// Opens the files of a data set. `path` is a folder as it is downloaded from the Hub, with the Parquet files in itself,
    /// in `data` or in the folder of the configuration, shards of one split told by their names
    /// (`test-00000-of-00003.parquet`); or one Parquet file. Also a folder that `datasets.save_to_disk` wrote, and for
    /// questions of your own a JSONL file.
    ///
    /// The footers of all files are read and their columns compared, so that a wrong folder is known at once.
    ///
    /// # Errors
    /// [`EvalError::TaskOfAnother`], [`EvalError::Shard`], [`EvalError::NoFiles`], [`EvalError::NoSplit`],
    /// [`EvalError::Columns`], or [`EvalError::Data`], which names the file.
    pub fn open(spec: &'static Spec, path: impl AsRef<Path>, options: &DatasetOptions) -> Result<Self> {
        let task = task(spec, options.task)?;
        options.part.check()?;
        let (files, split) = folder::find(spec, path.as_ref(), options.split.as_deref())?;
        let part = options.part;
        let mut dataset = Self { spec, task, files, split, part, check: options.check, count: None };
        dataset.count = dataset.table()?.count().map(|rows| part.count(rows));
        Ok(dataset)
    }

    /// What the data set is.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    /// How it is asked.
    pub fn task(&self) -> Task {
        self.task
    }

    /// How many samples there will be, as the footers of the Parquet files tell; `None` for other files, which do not tell.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// The samples from the start, in the order of the rows. Some rows at a time are in memory, and of their pictures those
    /// of one sample.
    ///
    /// # Errors
    /// As [`open`](Self::open), where the files have changed since.
    pub fn samples(&self) -> Result<Samples> {
        let (spec, task, part, check) = (self.spec, self.task, self.part, self.check);
        Ok(Samples { table: Some(self.table()?), spec, task, part, check, tally: Tally::default() })
    }

    fn table(&self) -> Result<Table> {
        let (dataset, columns) = (self.spec.name, self.spec.columns);
        open_table(&self.files, self.split.as_deref(), columns).map_err(|error| match (error, &self.split) {
            (DataError::Columns { path, missing }, _) => EvalError::Columns { path, dataset, missing, columns },
            (DataError::Split { path, splits }, Some(split)) => {
                EvalError::NoSplit { path, dataset, split: split.clone(), found: splits }
            }
            (other, _) => other.into(),
        })
    }
}

fn task(spec: &'static Spec, wanted: Option<Task>) -> Result<Task> {
    let unknown = |task: Task| EvalError::TaskOfAnother { dataset: spec.name, task: task.name(), expected: spec.tasks };
    match wanted {
        Some(task) if spec.tasks.contains(&task) => Ok(task),
        Some(task) => Err(unknown(task)),
        None => spec.tasks.first().copied().ok_or_else(|| unknown(Task::Own)),
    }
}

/// The samples of a [`Dataset`].
///
/// An `Err` is a row or a damaged part that cannot be read, named with its file; iteration goes on behind it, and the rows
/// behind keep their places. What can be read but not asked or not scored is a [`Sample`] with [`Defect`]s.
#[derive(Debug)]
pub struct Samples {
    /// `None` behind the limit.
    table: Option<Table>,
    spec: &'static Spec,
    task: Task,
    part: Part,
    check: ImageCheck,
    tally: Tally,
}

/// How many samples were given so far, and what was wrong with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All samples, those with defects included.
    pub samples: u64,
    /// Samples with a picture that is missing or broken.
    pub broken_images: u64,
    /// Samples without an answer.
    pub unanswered: u64,
    /// Samples without a question.
    pub unaskable: u64,
    /// Rows that could not be read, also those of other shards; at least so many where a damaged file does not tell.
    pub lost: u64,
}

impl Tally {
    fn add(&mut self, sample: &Sample) {
        self.samples += 1;
        let any = |kind: fn(&Defect) -> bool| u64::from(sample.defects.iter().any(kind));
        self.broken_images += any(|defect| matches!(defect, Defect::Image { .. }));
        self.unanswered += any(|defect| matches!(defect, Defect::NoAnswer { .. }));
        self.unaskable += any(|defect| matches!(defect, Defect::Question(_)));
    }

    fn lose(&mut self, error: &RowError) {
        self.lost += match *error.problem {
            RowProblem::Damaged { lost: Some(rows), .. } => rows,
            _ => 1,
        };
    }
}

impl Samples {
    /// What was given so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

impl Iterator for Samples {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = match self.table.as_mut()?.next_row()? {
                Ok(row) => row,
                Err(error) => {
                    self.tally.lose(&error);
                    return Some(Err(error.into()));
                }
            };
            if self.part.is_behind(row.index()) {
                self.table = None;
                return None;
            }
            if self.part.has(row.index()) {
                let sample = Sample::read(&row, self.spec, self.task, self.check);
                self.tally.add(&sample);
                return Some(Ok(sample));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_a_limit_are_disjoint_and_together_complete() {
        for (rows, limit, of) in [(10, None, 3), (10, Some(7), 3), (2, None, 5), (0, None, 2), (10, Some(20), 1)] {
            let parts = (0..of).map(|index| Part { limit, shard: Some(ShardOf { index, of }) }).collect::<Vec<_>>();
            let wanted = rows.min(limit.unwrap_or(rows));
            for row in 0..rows {
                let holders = parts.iter().filter(|part| part.has(row) && !part.is_behind(row)).count();
                assert_eq!(holders, usize::from(row < wanted), "row {row} of {rows}, {limit:?}, {of} shards");
            }
            for part in parts {
                let held = (0..rows).filter(|row| part.has(*row) && !part.is_behind(*row)).count();
                assert_eq!(part.count(rows), held as u64, "{part:?} of {rows}");
            }
        }
    }

    #[test]
    fn a_shard_that_does_not_exist_is_refused() {
        for (index, of) in [(3, 3), (0, 0)] {
            let part = Part { limit: None, shard: Some(ShardOf { index, of }) };
            let error = part.check().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("shard {index} of {of} does not exist; expected an index below")),
                "{error}"
            );
        }
    }
}
