//! The rows that are kept, as files to train on.

use std::collections::BTreeMap;
use std::path::Path;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use visionthink_data::ParquetWriter;
use visionthink_data::selection::Selection;

use crate::curate::config::CurateConfig;
use crate::curate::pool;
use crate::error::TrainError;

/// Which file a row goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Eval,
}

impl Part {
    pub(super) const ALL: [Self; 2] = [Self::Train, Self::Eval];

    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Train => "train.parquet",
            Self::Eval => "eval.parquet",
        }
    }
}

/// The file of each of `rows` rows: ⌊share · rows⌋ go to `eval.parquet`, by a chance that depends on the seed alone.
pub(super) fn parts(rows: usize, eval_share: f64, seed: u64) -> Vec<Part> {
    let held_out = (rows as f64 * eval_share) as usize;
    let mut parts = vec![Part::Train; rows];
    parts.iter_mut().take(held_out).for_each(|part| *part = Part::Eval);
    parts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    parts
}

/// Reads the source once more and writes the rows that are selected, each with what was found out about it. Files of an earlier selection
/// are replaced.
pub(super) fn write(config: &CurateConfig, selected: &BTreeMap<u64, (Selection, Part)>) -> Result<(), TrainError> {
    let folder = config.folder();
    for part in Part::ALL {
        remove(&folder.join(part.file()))?;
    }
    for part in Part::ALL {
        if selected.values().all(|(_, of)| *of != part) {
            continue;
        }
        let mut writer = ParquetWriter::create(folder.join(part.file()))?;
        for row in pool::rows(&config.data)? {
            let (place, row) = row?;
            if let (Some((selection, of)), Ok(mut row)) = (selected.get(&place), row)
                && *of == part
            {
                row.selection = Some(*selection);
                writer.write(&row)?;
            }
        }
        writer.finish()?;
    }
    Ok(())
}

fn remove(file: &Path) -> Result<(), TrainError> {
    match fs_err::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_held_out_by_chance_and_a_seed_always_holds_out_the_same() {
        let held_out = |parts: &[Part]| parts.iter().filter(|part| **part == Part::Eval).count();
        let one = parts(100, 0.15, 1);
        assert_eq!((one.len(), held_out(&one)), (100, 15));
        assert_eq!(parts(100, 0.15, 1), one);
        assert_ne!(parts(100, 0.15, 2), one);
        assert_eq!(held_out(&parts(100, 0.0, 1)), 0);
    }
}
