//! The embedded model: files in the binary, unpacked once into the user's cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../assets/micro/", $name)).as_slice())),*]
    };
}

const FILES: [(&str, &[u8]); 7] = files![
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "visionthink.json",
];

/// The folder with the embedded model's files, written on first use.
///
/// # Errors
///
/// When no folder can be written.
pub(crate) fn unpacked() -> anyhow::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    FILES.hash(&mut hasher);
    let name = format!("micro-{:016x}", hasher.finish());
    let folder = cache().join(&name);
    if is_whole(&folder) || unpack(&folder).is_ok() {
        return Ok(folder);
    }
    // A home that cannot be written to is no reason to fail.
    let folder = std::env::temp_dir().join("visionthink").join(name);
    if !is_whole(&folder) {
        unpack(&folder)?;
    }
    Ok(folder)
}

/// Whether every file is there in full length; caches are cleaned by people and programs.
fn is_whole(folder: &Path) -> bool {
    FILES.iter().all(|(name, bytes)| {
        fs_err::metadata(folder.join(name)).is_ok_and(|found| found.is_file() && found.len() == bytes.len() as u64)
    })
}

/// Writes beside the goal and renames, so that a folder that is there is whole, whoever else unpacks at the same time.
fn unpack(folder: &Path) -> anyhow::Result<()> {
    let parts = folder.with_extension(format!("part-{}", std::process::id()));
    fs_err::create_dir_all(&parts)?;
    for (name, bytes) in FILES {
        fs_err::write(parts.join(name), bytes)?;
    }
    if folder.is_dir() && !is_whole(folder) {
        fs_err::remove_dir_all(folder)?;
    }
    if let Err(error) = fs_err::rename(&parts, folder) {
        fs_err::remove_dir_all(&parts)?;
        // Another process was first.
        if !is_whole(folder) {
            return Err(error.into());
        }
    }
    Ok(())
}

fn cache() -> PathBuf {
    let of = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    of("XDG_CACHE_HOME")
        .or_else(|| of("LOCALAPPDATA"))
        .or_else(|| of("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("visionthink")
}
