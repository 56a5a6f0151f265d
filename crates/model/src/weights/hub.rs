//! Checkpoints by name: a folder, or a repository of the Hugging Face hub in the hub client's cache.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo};

use super::checkpoint;
use crate::error::ModelError;

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";

/// State of a download, told to whoever shows progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download<'a> {
    /// The file that is being fetched.
    pub file: &'a str,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The folder of a checkpoint: `name` itself, or for `hf:ORG/NAME` the folder in the hub client's cache, fetched where
/// it is not there yet.
///
/// The cache is looked at first: a checkpoint that is complete there costs no request. `HF_HOME`, `HF_HUB_CACHE`,
/// `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they mean to the hub's own client.
///
/// # Errors
/// [`ModelError::UnknownCheckpoint`], [`ModelError::MissingFile`], [`ModelError::Offline`], [`ModelError::Hub`].
pub fn resolve(name: &str) -> Result<PathBuf, ModelError> {
    resolve_with_progress(name, &mut |_| ())
}

/// [`resolve`], telling `progress` about every piece that arrives.
pub fn resolve_with_progress(name: &str, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf, ModelError> {
    match name.strip_prefix("hf:") {
        Some(repo) if well_formed(repo) => Hub::from_env().folder(repo, progress),
        None if Path::new(name).join(CONFIG).is_file() => Ok(name.into()),
        None if Path::new(name).is_dir() => {
            Err(ModelError::MissingFile { folder: name.into(), expected: CONFIG.into() })
        }
        _ => Err(ModelError::UnknownCheckpoint { name: name.to_string() }),
    }
}

/// The folder of a data set `hf:ORG/NAME` in the hub client's cache, as the repository has it: its Parquet files, fetched where they are not
/// there yet. The hub is asked which files there are, unless `HF_HUB_OFFLINE` is set; the snapshot in the cache is taken as whole then.
///
/// # Errors
/// [`ModelError::UnknownDataset`], [`ModelError::MissingFile`] for a repository without Parquet, [`ModelError::Offline`],
/// [`ModelError::Hub`].
pub fn resolve_dataset(name: &str, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf, ModelError> {
    match name.strip_prefix("hf:").filter(|repo| well_formed(repo)) {
        Some(repo) => Hub::from_env().dataset(repo, progress),
        None => Err(ModelError::UnknownDataset { name: name.to_owned() }),
    }
}

/// `ORG/NAME` of letters, digits, `-`, `_` and `.`.
fn well_formed(repo: &str) -> bool {
    let parts: Vec<&str> = repo.split('/').collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    parts.len() == 2 && parts.iter().all(plain)
}

/// Where repositories come from.
struct Hub {
    cache: Cache,
    endpoint: Option<String>,
    token: Option<String>,
    offline: bool,
}

impl Hub {
    fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let cache = match variable("HF_HUB_CACHE") {
            Some(folder) => Cache::new(folder.into()),
            None => Cache::from_env(),
        };
        let yes = |value: String| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on");
        Self {
            endpoint: variable("HF_ENDPOINT"),
            token: variable("HF_TOKEN").or_else(|| cache.token()),
            offline: variable("HF_HUB_OFFLINE").is_some_and(yes),
            cache,
        }
    }

    /// The snapshot folder of a repository, complete.
    fn folder(&self, name: &str, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf, ModelError> {
        let missing = match self.cached(name) {
            Cached::Complete(folder) => return Ok(folder),
            Cached::Lacks(file) => file,
        };
        if self.offline {
            return Err(ModelError::Offline { repo: name.into(), file: missing });
        }
        self.fetch(name, progress)
    }

    fn cached(&self, name: &str) -> Cached {
        let repo = self.cache.repo(Repo::model(name.to_string()));
        let Some(folder) = repo.get(CONFIG).and_then(|config| config.parent().map(Path::to_path_buf)) else {
            return Cached::Lacks(CONFIG.into());
        };
        // Other programs leave snapshots with weights alone; nobody can run those.
        let rest = || (!folder.join(TOKENIZER).is_file()).then(|| TOKENIZER.to_owned());
        match checkpoint::missing_file(&folder).or_else(rest) {
            None => Cached::Complete(folder),
            Some(file) => Cached::Lacks(file),
        }
    }

    fn dataset(&self, name: &str, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf, ModelError> {
        let repo = Repo::dataset(name.to_owned());
        if self.offline {
            let missing = || ModelError::Offline { repo: name.into(), file: "refs/main".into() };
            return self.snapshot(&repo).ok_or_else(missing);
        }
        let files = self.download(repo, name, is_table, progress)?;
        // Up from the file by as many folders as its name has.
        let root = files.first().and_then(|(file, path)| path.ancestors().nth(file.split('/').count()));
        let missing =
            || ModelError::MissingFile { folder: format!("hf:{name}").into(), expected: "`*.parquet`".to_owned() };
        root.map(Path::to_path_buf).ok_or_else(missing)
    }

    /// The folder of the revision `main` in the cache.
    fn snapshot(&self, repo: &Repo) -> Option<PathBuf> {
        let folder = self.cache.path().join(repo.folder_name());
        let revision = fs_err::read_to_string(folder.join("refs").join("main")).ok()?;
        Some(folder.join("snapshots").join(revision.trim())).filter(|snapshot| snapshot.is_dir())
    }

    fn fetch(&self, name: &str, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf, ModelError> {
        let files = self.download(Repo::model(name.to_string()), name, wanted, progress)?;
        let config = files.iter().find(|(file, _)| file == CONFIG).and_then(|(_, path)| path.parent());
        let missing = || ModelError::MissingFile { folder: format!("hf:{name}").into(), expected: CONFIG.to_owned() };
        config.map(Path::to_path_buf).ok_or_else(missing)
    }

    /// The files of a repository that `wanted` asks for, by name and where they are in the cache.
    fn download(
        &self,
        repo: Repo,
        name: &str,
        wanted: fn(&str) -> bool,
        progress: &mut dyn FnMut(Download<'_>),
    ) -> Result<Vec<(String, PathBuf)>, ModelError> {
        let failed = |file: &str, source: hf_hub::api::sync::ApiError| ModelError::Hub {
            repo: name.into(),
            file: file.into(),
            source: Box::new(source),
        };
        let mut builder = ApiBuilder::from_cache(self.cache.clone()).with_token(self.token.clone()).with_retries(3);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let api = builder.build().map_err(|source| failed(CONFIG, source))?;
        let cache = self.cache.repo(repo.clone());
        let repo: ApiRepo = api.repo(repo);
        let info = repo.info().map_err(|source| failed("the list of files", source))?;

        let files = info.siblings.into_iter().map(|file| file.rfilename).filter(|file| wanted(file));
        let mut found = Vec::new();
        for file in files {
            tracing::debug!(repo = name, file, "fetch");
            let path = match cache.get(&file) {
                Some(path) => path,
                None => repo
                    .download_with_progress(&file, Report { file: &file, done: 0, total: 0, progress: &mut *progress })
                    .map_err(|source| failed(&format!("`{file}`"), source))?,
            };
            found.push((file, path));
        }
        Ok(found)
    }
}

enum Cached {
    Complete(PathBuf),
    /// The first file that is not there.
    Lacks(String),
}

/// Files that a checkpoint folder is read from: weights as safetensors, and the small files beside them. Some repositories hold the same
/// weights again under another name, which is left where it is.
fn wanted(file: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    let needed = match extension {
        Some("safetensors") => file.starts_with("model"),
        Some("json" | "txt" | "jinja") => true,
        _ => false,
    };
    needed && !file.contains('/')
}

/// Files that the rows of a data set are in.
fn is_table(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "parquet")
}

/// Passes the client's counts on.
struct Report<'a> {
    file: &'a str,
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(Download<'_>),
}

impl hf_hub::api::Progress for Report<'_> {
    fn init(&mut self, size: usize, _filename: &str) {
        self.done = 0;
        self.total = size as u64;
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.progress)(Download { file: self.file, done: self.done, total: self.total });
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const FILES: [(&str, &str); 5] = [
        ("config.json", "{}"),
        ("model.safetensors", "not read here"),
        ("tokenizer.json", "{}"),
        ("consolidated.safetensors", "the same weights again"),
        ("README.md", "not wanted"),
    ];

    const ROWS: [(&str, &str); 2] = [("README.md", "not wanted"), ("data/test-0.parquet", "rows")];

    /// A hub of two repositories on this machine: lists its files and serves them by range, as the real one does.
    fn serve() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || listener.incoming().for_each(|stream| answer(&stream.unwrap())));
        endpoint
    }

    fn answer(mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_string();
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let range =
            headers.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(String::from));
        let listed = |files: &[(&str, &str)]| {
            let list: Vec<_> = files.iter().map(|(name, _)| serde_json::json!({"rfilename": name})).collect();
            ("200 OK", String::new(), serde_json::json!({"siblings": list, "sha": "abc"}).to_string())
        };
        let served = |folder: &str, files: &'static [(&str, &str)]| {
            files.iter().find(|(name, _)| path == format!("/{folder}/resolve/main/{name}"))
        };
        let (status, extra, body) = if path == "/api/models/org/tiny/revision/main" {
            listed(&FILES)
        } else if path == "/api/datasets/org/rows/revision/main" {
            listed(&ROWS)
        } else if let Some((name, content)) = served("org/tiny", &FILES).or_else(|| served("datasets/org/rows", &ROWS))
        {
            let range = range.unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let start: usize = start.parse().unwrap();
            let end = end.parse().map_or(content.len(), |end: usize| end + 1);
            let length = content.len();
            let headers =
                format!("x-repo-commit: abc\r\netag: \"{name}\"\r\ncontent-range: bytes {start}-{end}/{length}\r\n");
            ("206 Partial Content", headers, content[start..end].to_string())
        } else {
            ("404 Not Found", String::new(), String::new())
        };
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\n{extra}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .unwrap();
    }

    fn hub(cache: &Path, endpoint: &str, offline: bool) -> Hub {
        Hub { cache: Cache::new(cache.into()), endpoint: Some(endpoint.into()), token: None, offline }
    }

    #[test]
    fn a_repository_is_fetched_once_and_then_found_without_a_request() {
        let cache = tempfile::tempdir().unwrap();
        let mut fetched = Vec::new();
        let folder = hub(cache.path(), &serve(), false)
            .folder("org/tiny", &mut |download| {
                if download.done == download.total {
                    fetched.push(download.file.to_string());
                }
            })
            .unwrap();
        fetched.dedup();
        assert_eq!(fetched, ["config.json", "model.safetensors", "tokenizer.json"]);
        assert_eq!(fs_err::read_to_string(folder.join("model.safetensors")).unwrap(), "not read here");
        assert!(!folder.join("README.md").exists());

        // A snapshot with weights alone is completed.
        fs_err::remove_file(folder.join("tokenizer.json")).unwrap();
        hub(cache.path(), &serve(), false).folder("org/tiny", &mut |_| ()).unwrap();
        assert!(folder.join("tokenizer.json").is_file());

        let offline = hub(cache.path(), "http://127.0.0.1:1", true);
        assert_eq!(offline.folder("org/tiny", &mut |_| panic!("nothing is fetched")).unwrap(), folder);
    }

    #[test]
    fn a_data_set_is_fetched_with_its_folders_and_then_found_offline() {
        let cache = tempfile::tempdir().unwrap();
        let fetched = hub(cache.path(), &serve(), false).dataset("org/rows", &mut |_| ()).unwrap();
        assert_eq!(fs_err::read_to_string(fetched.join("data/test-0.parquet")).unwrap(), "rows");
        assert!(!fetched.join("README.md").exists());
        let offline = hub(cache.path(), "http://127.0.0.1:1", true).dataset("org/rows", &mut |_| panic!("fetched"));
        assert_eq!(offline.unwrap(), fetched);

        let empty = tempfile::tempdir().unwrap();
        let error = hub(empty.path(), "http://127.0.0.1:1", true).dataset("org/rows", &mut |_| ()).unwrap_err();
        assert!(matches!(error, ModelError::Offline { .. }), "{error}");
        let error = hub(empty.path(), &serve(), false).dataset("org/tiny", &mut |_| ()).unwrap_err();
        assert!(matches!(error, ModelError::Hub { .. }), "{error}");
        assert!(matches!(resolve_dataset("hf:one", &mut |_| ()), Err(ModelError::UnknownDataset { .. })));
    }

    #[test]
    fn offline_names_the_file_that_the_cache_lacks() {
        let cache = tempfile::tempdir().unwrap();
        let error = hub(cache.path(), "http://127.0.0.1:1", true).folder("org/tiny", &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "hf:org/tiny: `config.json` is not in the cache and `HF_HUB_OFFLINE` is set");
    }

    #[test]
    fn an_unknown_repository_is_an_error_that_names_it() {
        let cache = tempfile::tempdir().unwrap();
        let error = hub(cache.path(), &serve(), false).folder("org/other", &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "hf:org/other: the list of files could not be fetched");
    }

    #[test]
    fn names_that_are_neither_a_folder_nor_a_repository_are_refused() {
        for name in ["hf:", "hf:one", "hf:a/b/c", "hf:../x", "hf:a/../b", "no-such-folder"] {
            let error = resolve(name).unwrap_err();
            assert!(matches!(error, ModelError::UnknownCheckpoint { .. }), "{name}: {error}");
        }
        let empty = tempfile::tempdir().unwrap();
        let error = resolve(empty.path().to_str().unwrap()).unwrap_err();
        assert!(matches!(error, ModelError::MissingFile { .. }), "{error}");
    }
}
