//! Shards of a run, put together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::RunFile;
use super::folder::{RunFolder, RunRecords, differing_keys};
use crate::error::{EvalError, Result};

/// Puts the shards of a run into its folder. What is there already stays; merging again, when a shard has gone on, adds what is new.
///
/// # Errors
/// [`EvalError::NoRun`] for a shard that is not there, [`EvalError::Shards`] for one that began with other settings, and those of
/// [`RunFolder::open`].
pub fn merge(run: &RunFile, shards: &[PathBuf], folder: &Path) -> Result<RunFolder> {
    let mut read = Vec::with_capacity(shards.len());
    for path in shards {
        let shard = RunRecords::read(path)?;
        if let Some((key, ..)) = differing_keys(&shard.run, run).first() {
            return Err(EvalError::Shards { folder: path.clone(), problem: format!("`{key}` has another value") });
        }
        read.push(shard);
    }
    let mut written = RunFolder::open(run, folder)?;
    let mut planned = BTreeMap::new();
    let mut verdicts = super::Verdicts::read(folder)?;
    for shard in read {
        for (benchmark, count) in shard.planned {
            *planned.entry(benchmark).or_insert(0) += count;
        }
        verdicts.extend(shard.verdicts);
        for record in shard.records {
            if !written.log.is_done(&record.source) {
                written.log.write(record)?;
            }
        }
    }
    verdicts.write(folder)?;
    written.plan(&planned)?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{answered, run_file};

    #[test]
    fn shards_become_the_run_and_merging_again_adds_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let shards: Vec<PathBuf> = (0..2).map(|shard| folder.path().join(format!("shard-{shard}"))).collect();
        let write = |shard: usize, index: u64| {
            let mut open = RunFolder::open(&run_file(), &shards[shard]).unwrap();
            open.plan(&BTreeMap::from([("b".to_owned(), 3)])).unwrap();
            open.log.write(answered("full", index, "yes")).unwrap();
        };
        write(0, 0);
        write(1, 1);
        let target = folder.path().join("whole");
        merge(&run_file(), &shards, &target).unwrap();
        write(0, 2);
        merge(&run_file(), &shards, &target).unwrap();
        let whole = RunRecords::read(&target).unwrap();
        let places: Vec<u64> = whole.records.iter().map(|record| record.source.index).collect();
        assert_eq!((places, whole.planned["b"]), (vec![0, 1, 2], 6));
    }

    #[test]
    fn a_shard_that_is_missing_or_of_another_run_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (shard, target) = (folder.path().join("shard-0"), folder.path().join("whole"));
        let missing = merge(&run_file(), std::slice::from_ref(&shard), &target).unwrap_err().to_string();
        assert!(missing.contains("shard-0"), "{missing}");
        let mut other = run_file();
        other.run.seed = 7;
        drop(RunFolder::open(&other, &shard).unwrap());
        let error = merge(&run_file(), &[shard], &target).unwrap_err().to_string();
        assert!(error.contains("not a shard of this run: `run.seed` has another value"), "{error}");
        assert!(!target.exists(), "nothing is written before all shards are known");
    }
}
