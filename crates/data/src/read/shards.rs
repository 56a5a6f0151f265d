//! Which files make up a data set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::DataError;
use crate::read::{Format, Shard};

/// The shards behind `path` in reading order.
pub(super) fn find(path: &Path, split: Option<&str>) -> Result<Vec<Shard>, DataError> {
    if has_wildcard(path) && !path.exists() {
        return DataSet::matching(path);
    }
    if !fs_err::metadata(path)?.is_dir() {
        let format = format_of(path).ok_or_else(|| DataError::UnknownFormat { path: path.to_owned() })?;
        let file = DataSet { root: path.to_owned(), source: file_stem(path) };
        return Ok(vec![file.shard(path.to_owned(), format)]);
    }
    let data_set = DataSet::in_folder(path)?;
    if path.join("dataset_dict.json").is_file() {
        return data_set.dictionary(split);
    }
    if path.join("state.json").is_file() {
        return data_set.saved(path);
    }
    data_set.folder(split)
}

/// What was opened.
struct DataSet {
    root: PathBuf,
    source: String,
}

impl DataSet {
    fn in_folder(folder: &Path) -> Result<Self, DataError> {
        // `.` has a name as well.
        let source = file_name(&fs_err::canonicalize(folder)?);
        Ok(Self { root: folder.to_owned(), source })
    }

    fn shard(&self, path: PathBuf, format: Format) -> Shard {
        let below = path.strip_prefix(&self.root).ok().filter(|below| below.file_name().is_some());
        let name = below.map_or_else(|| file_stem(&path), |below| below.with_extension("").display().to_string());
        Shard { path, format, name, source: self.source.clone() }
    }

    /// The Parquet files whose names match a pattern, in the order of their names.
    fn matching(pattern: &Path) -> Result<Vec<Shard>, DataError> {
        let folder = match pattern.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let wanted = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = Self::in_folder(folder)?;
        let mut files = folder.parquet_files()?;
        files.retain(|path| matches_pattern(&wanted, &file_name(path)));
        if files.is_empty() {
            return Err(DataError::UnknownFormat { path: pattern.to_owned() });
        }
        Ok(files.into_iter().map(|path| folder.shard(path, Format::Parquet)).collect())
    }

    /// A folder with one folder per split, as `DatasetDict.save_to_disk` writes it.
    fn dictionary(&self, split: Option<&str>) -> Result<Vec<Shard>, DataError> {
        #[derive(Deserialize)]
        struct Dictionary {
            splits: Vec<String>,
        }
        let Dictionary { splits } = description(&self.root.join("dataset_dict.json"))?;
        let split = self.choose(split, splits)?;
        self.saved(&self.root.join(split))
    }

    /// A folder with `state.json`, which lists the shards, as `Dataset.save_to_disk` writes it.
    fn saved(&self, folder: &Path) -> Result<Vec<Shard>, DataError> {
        #[derive(Deserialize)]
        struct State {
            #[serde(rename = "_data_files")]
            files: Vec<DataFile>,
        }
        #[derive(Deserialize)]
        struct DataFile {
            filename: PathBuf,
        }
        let State { files } = description(&folder.join("state.json"))?;
        files
            .into_iter()
            .map(|file| match folder.join(file.filename) {
                path if path.is_file() => Ok(self.shard(path, Format::Arrow)),
                path => Err(DataError::MissingShard { path }),
            })
            .collect()
    }

    /// A folder of Parquet files, in the order of their names.
    fn folder(&self, split: Option<&str>) -> Result<Vec<Shard>, DataError> {
        let files = self.parquet_files()?;
        if files.is_empty() {
            return Err(DataError::UnknownFormat { path: self.root.clone() });
        }
        // On the Hub a folder holds all splits, told apart by their names only: `train-00000-of-00002.parquet`.
        let mut by_split: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in files {
            by_split.entry(split_of(&path).unwrap_or_default()).or_default().push(path);
        }
        // Files whose names say nothing are one data set, unless a choice has to be made.
        if by_split.len() > 1 || split.is_some() {
            for path in by_split.remove("").unwrap_or_default() {
                by_split.insert(file_stem(&path), vec![path]);
            }
        }
        let split = self.choose(split, by_split.keys().cloned().collect())?;
        let files = by_split.remove(&split).unwrap_or_default();
        self.complete(&files)?;
        Ok(files.into_iter().map(|path| self.shard(path, Format::Parquet)).collect())
    }

    fn parquet_files(&self) -> Result<Vec<PathBuf>, DataError> {
        let mut files = Vec::new();
        for entry in fs_err::read_dir(&self.root)? {
            let path = entry?.path();
            // A dot marks files that a writer has not finished.
            if format_of(&path) == Some(Format::Parquet) && path.is_file() && !file_name(&path).starts_with('.') {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Checks that of `…-of-N` shards all N are there.
    fn complete(&self, files: &[PathBuf]) -> Result<(), DataError> {
        let names: Vec<String> = files.iter().map(|path| file_name(path)).collect();
        let Some(first) = names.first().and_then(|name| Numbered::parse(name)) else { return Ok(()) };
        for index in 0..first.of {
            let wanted = Numbered { index, ..first };
            if !names.iter().any(|name| Numbered::parse(name) == Some(wanted)) {
                let name = format!("{}-{index:05}-of-{:05}.parquet", first.split, first.of);
                return Err(DataError::MissingShard { path: self.root.join(name) });
            }
        }
        Ok(())
    }

    fn choose(&self, wanted: Option<&str>, splits: Vec<String>) -> Result<String, DataError> {
        match (wanted, splits.as_slice()) {
            (None, [only]) => Ok(only.clone()),
            (Some(wanted), _) if splits.iter().any(|split| split == wanted) => Ok(wanted.to_owned()),
            _ => Err(DataError::Split { path: self.root.clone(), splits }),
        }
    }
}

/// A file name of the form `SPLIT-00000-of-00002.parquet`, or with the fingerprint that the Hub once appended,
/// `SPLIT-00000-of-00002-725687bf7a18d64b.parquet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbered<'a> {
    split: &'a str,
    index: u32,
    of: u32,
}

impl<'a> Numbered<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (rest, of) = name.strip_suffix(".parquet")?.rsplit_once("-of-")?;
        let fingerprint = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let of = of.split_once('-').filter(|(_, end)| fingerprint(end)).map_or(of, |(of, _)| of);
        let (split, index) = rest.rsplit_once('-')?;
        let five_digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        (five_digits(index) && five_digits(of) && !split.is_empty()).then_some(Self {
            split,
            index: index.parse().ok()?,
            of: of.parse().ok()?,
        })
    }
}

/// The split that a Parquet file belongs to, where its name says so.
fn split_of(path: &Path) -> Option<String> {
    if let Some(numbered) = Numbered::parse(&file_name(path)) {
        return Some(numbered.split.to_owned());
    }
    let stem = file_stem(path);
    ["train", "validation", "val", "dev", "test"].contains(&stem.as_str()).then_some(stem)
}

fn description<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, DataError> {
    serde_json::from_slice(&fs_err::read(path)?)
        .map_err(|source| DataError::Description { path: path.to_owned(), source })
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "jsonl" => Some(Format::Jsonl),
        "parquet" => Some(Format::Parquet),
        "arrow" => Some(Format::Arrow),
        _ => None,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn has_wildcard(path: &Path) -> bool {
    file_name(path).contains(['*', '?'])
}

/// Whether `name` matches a pattern in which `*` stands for any text and `?` for one character.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` was met and how much of the name it has taken so far; taking one more is the only way back needed.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, matches) in [
            ("train-*.parquet", "train-00000-of-00002.parquet", true),
            ("train-*.parquet", "test-00000-of-00002.parquet", false),
            ("*-0000?-of-*", "train-00003-of-00010", true),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxa", false),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn numbered_names_are_told_from_others() {
        assert_eq!(
            Numbered::parse("my-train-00001-of-00012.parquet"),
            Some(Numbered { split: "my-train", index: 1, of: 12 })
        );
        assert_eq!(
            Numbered::parse("testmini-00000-of-00001-725687bf7a18d64b.parquet"),
            Some(Numbered { split: "testmini", index: 0, of: 1 })
        );
        for name in [
            "train.parquet",
            "train-1-of-2.parquet",
            "train-00000-of-00001-v2.parquet",
            "-00000-of-00001.parquet",
            "train-00000-of-00001.arrow",
        ] {
            assert_eq!(Numbered::parse(name), None, "{name}");
        }
    }

    fn touch(folder: &Path, names: &[&str]) {
        for name in names {
            fs_err::write(folder.join(name), "").unwrap();
        }
    }

    #[test]
    fn a_folder_of_two_splits_is_not_mixed() {
        let folder = tempfile::tempdir().unwrap();
        touch(
            folder.path(),
            &["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test-00000-of-00001.parquet"],
        );
        let Err(DataError::Split { splits, .. }) = find(folder.path(), None) else { panic!("splits were mixed") };
        assert_eq!(splits, ["test", "train"]);
        let names: Vec<String> =
            find(folder.path(), Some("train")).unwrap().into_iter().map(|shard| shard.name).collect();
        assert_eq!(names, ["train-00000-of-00002", "train-00001-of-00002"]);
        assert_eq!(find(&folder.path().join("te*.parquet"), None).unwrap().len(), 1);
    }

    #[test]
    fn files_named_after_splits_are_not_mixed_either() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["train.parquet", "test.parquet", "more.v2.parquet"]);
        let Err(DataError::Split { splits, .. }) = find(folder.path(), None) else { panic!("splits were mixed") };
        assert_eq!(splits, ["more.v2", "test", "train"]);
        assert_eq!(find(folder.path(), Some("more.v2")).unwrap()[0].path, folder.path().join("more.v2.parquet"));
        let wrong = find(folder.path(), Some("dev")).unwrap_err();
        assert!(
            wrong.to_string().ends_with("holds the splits `more.v2`, `test`, `train`; choose one of them"),
            "{wrong}"
        );
    }

    #[test]
    fn a_missing_shard_is_named() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"]);
        let Err(DataError::MissingShard { path }) = find(folder.path(), None) else { panic!("not noticed") };
        assert!(path.ends_with("train-00001-of-00003.parquet"));
    }

    #[test]
    fn shards_of_free_names_are_read_in_order_and_unfinished_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["b.parquet", "a.parquet", ".c.parquet", "notes.txt"]);
        let names: Vec<String> = find(folder.path(), None).unwrap().into_iter().map(|shard| shard.name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_folder_or_file_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        touch(folder.path(), &["notes.txt"]);
        assert!(matches!(find(folder.path(), None), Err(DataError::UnknownFormat { .. })));
        assert!(matches!(find(&folder.path().join("notes.txt"), None), Err(DataError::UnknownFormat { .. })));
        assert!(matches!(find(&folder.path().join("none.jsonl"), None), Err(DataError::Io(_))));
    }
}
