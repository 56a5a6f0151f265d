//! Verdicts on disk: a file that only grows, one JSON object a line.
//!
//! Whoever is killed while writing leaves a line without an end, which is ignored and shut off by whoever writes next.
//! Lines are written whole and under a lock, so that several processes may use one folder.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use visionthink_reward::Accuracy;
use visionthink_reward::judge::Verdict;

use crate::error::Result;
use crate::judgement::{Judgement, Usage};
use crate::prompt::Key;

/// The file in the folder.
const FILE: &str = "verdicts.jsonl";

/// One line.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    key: String,
    verdict: Verdict,
    reply: Option<String>,
}

/// The verdicts of a folder.
#[derive(Debug)]
pub(crate) struct Cache {
    file: fs_err::File,
    known: HashMap<String, (Verdict, Option<String>)>,
}

impl Cache {
    /// Opens a folder, made where it is missing, and reads what is there. Lines that are none are counted and ignored:
    /// what they said is asked again.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        let path = folder.join(FILE);
        let file = fs_err::OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        let (mut known, mut broken) = (HashMap::new(), 0_u64);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) if line.ends_with(b"\n") => _ = known.insert(entry.key, (entry.verdict, entry.reply)),
                _ => broken += u64::from(!line.iter().all(u8::is_ascii_whitespace)),
            }
            line.clear();
        }
        if broken > 0 {
            tracing::warn!(file = %path.display(), broken, "lines that are no verdicts are ignored");
        }
        Ok(Self { file, known })
    }

    /// The verdict under a key, for nothing.
    pub(crate) fn get(&self, key: Key) -> Option<Judgement> {
        let (verdict, reply) = self.known.get(&key.to_hex())?;
        Some(Judgement {
            accuracy: (*verdict).into(),
            reply: reply.clone(),
            fault: None,
            calls: 0,
            usage: Usage::default(),
            cached: true,
        })
    }

    /// Keeps a verdict; a question without one is not kept.
    pub(crate) fn put(&mut self, key: Key, judgement: &Judgement) -> Result<()> {
        let verdict = match judgement.accuracy {
            Accuracy::Correct => Verdict::Correct,
            Accuracy::Wrong => Verdict::Wrong,
            Accuracy::Unjudged => return Ok(()),
        };
        let entry = Entry { key: key.to_hex(), verdict, reply: judgement.reply.clone() };
        self.append(&entry)?;
        self.known.insert(entry.key, (verdict, entry.reply));
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(std::io::Error::from)?;
        line.push(b'\n');
        self.file.lock()?;
        let written = self.append_locked(&line);
        self.file.unlock()?;
        written
    }

    /// One write, at the end wherever that is by now; a line that somebody did not finish is ended first.
    fn append_locked(&mut self, line: &[u8]) -> Result<()> {
        let mut last = [b'\n'];
        if self.file.seek(SeekFrom::End(0))? > 0 {
            self.file.seek(SeekFrom::End(-1))?;
            self.file.read_exact(&mut last)?;
        }
        let line = if last == [b'\n'] { line.to_vec() } else { [b"\n", line].concat() };
        self.file.write_all(&line)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use visionthink_reward::judge::Question;

    use super::*;
    use crate::endpoint::{EndpointKind, JudgeEndpoint};
    use crate::judgement::Fault;

    fn key(prediction: &str) -> Key {
        let endpoint = JudgeEndpoint::new(EndpointKind::OpenAi, "http://127.0.0.1:1", "m");
        let question = Question { question: "How many?", ground_truth: "2", prediction };
        Key::new(&endpoint.identity(), &endpoint.variant.prompt(&question))
    }

    fn judged(accuracy: Accuracy) -> Judgement {
        let usage = Usage { prompt_tokens: 9, completion_tokens: 2 };
        Judgement { accuracy, reply: Some("Score: ?".to_owned()), fault: None, calls: 1, usage, cached: false }
    }

    #[test]
    fn verdicts_outlive_the_process_and_cost_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(&folder.path().join("new")).unwrap();
        assert_eq!(cache.get(key("2")), None);
        cache.put(key("2"), &judged(Accuracy::Correct)).unwrap();
        cache.put(key("3"), &judged(Accuracy::Wrong)).unwrap();
        drop(cache);
        let cache = Cache::open(&folder.path().join("new")).unwrap();
        assert_eq!(cache.get(key("2")), Some(judged(Accuracy::Correct).again()));
        assert_eq!(cache.get(key("3")).unwrap().accuracy, Accuracy::Wrong);
        assert_eq!(cache.get(key("4")), None);
    }

    #[test]
    fn what_is_not_judged_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(folder.path()).unwrap();
        let unjudged = Judgement { fault: Some(Fault::NoVerdict), ..judged(Accuracy::Unjudged) };
        cache.put(key("2"), &unjudged).unwrap();
        assert_eq!(cache.get(key("2")), None);
        assert_eq!(fs_err::read(folder.path().join(FILE)).unwrap(), b"");
    }

    #[test]
    fn a_line_cut_by_a_kill_is_ignored_and_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut cache = Cache::open(folder.path()).unwrap();
        cache.put(key("2"), &judged(Accuracy::Correct)).unwrap();
        let whole = fs_err::read(&path).unwrap();
        for cut in 1..whole.len() {
            fs_err::write(&path, &whole[..cut]).unwrap();
            let mut cache = Cache::open(folder.path()).unwrap();
            assert_eq!(cache.get(key("2")), None, "cut after {cut} bytes");
            cache.put(key("3"), &judged(Accuracy::Wrong)).unwrap();
            let cache = Cache::open(folder.path()).unwrap();
            assert_eq!(cache.get(key("3")).unwrap().accuracy, Accuracy::Wrong, "cut after {cut} bytes");
        }
    }

    #[test]
    fn two_that_write_into_one_folder_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let predictions: Vec<String> = (0..60).map(|number| number.to_string()).collect();
        std::thread::scope(|scope| {
            for half in predictions.chunks(30) {
                let mut cache = Cache::open(folder.path()).unwrap();
                scope.spawn(move || {
                    for text in half {
                        cache.put(key(text), &judged(Accuracy::Correct)).unwrap();
                    }
                });
            }
        });
        let cache = Cache::open(folder.path()).unwrap();
        assert!(predictions.iter().all(|text| cache.get(key(text)).is_some()));
    }
}
