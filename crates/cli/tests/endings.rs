//! Training runs that end before their time: killed, interrupted, without room on the disk. Each goes on to the weights of a run that
//! nothing happened to.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

#[path = "../../judge/tests/judge/server.rs"]
#[expect(dead_code, reason = "the tests of the judge use more of it")]
mod server;

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use server::{Answer, Request, Server};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A run that is slower than this hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// The two kinds of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sft,
    Grpo,
}

/// A run file in a folder of its own, and the run beside it.
struct Run {
    kind: Kind,
    folder: tempfile::TempDir,
}

impl Run {
    const STEPS: u64 = 8;

    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (name, changes): (&str, &[(&str, &str)]) = match kind {
            Kind::Sft => (
                "tiny-sft",
                &[
                    ("eval_every = 4", "eval_every = 100"),
                    ("every = 4\n", "every = 1\n"),
                    ("configs/micro-config.json", "ROOT/configs/micro-config.json"),
                    ("assets/micro-base", "ROOT/assets/micro-base"),
                ],
            ),
            Kind::Grpo => (
                "micro-grpo",
                &[
                    ("steps = 80", "steps = 8"),
                    ("groups = 32", "groups = 2"),
                    ("group_size = 8", "group_size = 4"),
                    ("max_new_tokens = 32", "max_new_tokens = 8"),
                    ("warmup_steps = 5", "warmup_steps = 1"),
                    ("hold_steps = 55", "hold_steps = 2"),
                    ("every = 20\nkeep", "every = 1\nkeep"),
                    ("eval_questions = 150", "eval_questions = 0"),
                    ("micro_batch = 64", "micro_batch = 8"),
                    ("assets/micro-base", "ROOT/assets/micro-base"),
                ],
            ),
        };
        let mut text = fs_err::read_to_string(format!("{ROOT}/configs/{name}.toml")).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{name}: `{from}` is not in the run file any more");
            text = text.replace(from, &to.replace("ROOT", ROOT));
        }
        fs_err::write(folder.path().join("run.toml"), text).unwrap();
        Self { kind, folder }
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("runs").join(if self.kind == Kind::Sft { "tiny" } else { "micro-grpo" })
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder().join("checkpoints")
    }

    /// The newest checkpoint's step.
    fn latest(&self) -> Option<u64> {
        let name = fs_err::read_to_string(self.checkpoints().join("latest")).ok()?;
        Some(name.trim().strip_prefix("step-")?.parse().unwrap())
    }

    /// The arguments that begin the run, or go on with it.
    fn arguments(&self) -> Vec<&'static str> {
        let command = if self.kind == Kind::Sft { "sft" } else { "grpo" };
        let mut arguments = vec![command, "--config", "run.toml", "--device", "cpu"];
        if self.latest().is_some() {
            arguments.push("--resume");
        }
        arguments
    }

    fn spawn(&self, mut command: Command) -> Child {
        command.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn start(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_visionthink"));
        command.args(self.arguments());
        self.spawn(command)
    }

    /// Goes on to the end.
    fn finish(&self) {
        let (status, said) = wait(self.start());
        assert_eq!(status.code(), Some(0), "{said}");
        assert_eq!(self.latest(), Some(Self::STEPS));
    }

    /// Starts, and kills at the moment that `now` names.
    fn kill_when(&self, now: impl Fn(&Self) -> bool) {
        let before = self.latest();
        let mut child = self.start();
        let began = Instant::now();
        while !now(self) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before the moment came: {}", wait(child).1);
            assert!(began.elapsed() < PATIENCE, "the moment did not come");
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(self.latest() >= before, "a checkpoint is lost");
    }

    fn is_saving(&self) -> bool {
        self.half_written().is_some()
    }

    fn half_written(&self) -> Option<PathBuf> {
        let entries = fs_err::read_dir(self.checkpoints()).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".step-")))
    }

    /// Steps in `metrics.jsonl`; a line that is being written is left out.
    fn logged_steps(&self) -> Vec<u64> {
        let text = fs_err::read_to_string(self.folder().join("metrics.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line.get("train/skipped").is_some()).filter_map(|line| line["step"].as_u64()).collect()
    }

    /// Weights and optimizer state of the newest checkpoint.
    fn learned(&self) -> [Vec<u8>; 2] {
        let folder = self.checkpoints().join(format!("step-{}", self.latest().unwrap()));
        ["model.safetensors", "optimizer.safetensors"].map(|file| fs_err::read(folder.join(file)).unwrap())
    }

    /// The run is over, and nothing tells it from one that nothing happened to.
    fn assert_equals(&self, whole: &[Vec<u8>; 2]) {
        assert!(self.learned() == *whole, "weights or optimizer differ from an uninterrupted run");
        assert_eq!(self.logged_steps(), (1..=Self::STEPS).collect::<Vec<u64>>());
        let mut left: Vec<String> = fs_err::read_dir(self.checkpoints())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["latest", "step-7", "step-8"]);
    }
}

/// Exit status and stderr of a run.
fn wait(child: Child) -> (ExitStatus, String) {
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What a run learns that nothing happens to.
fn uninterrupted(kind: Kind) -> &'static [Vec<u8>; 2] {
    static SFT: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| whole(Kind::Sft));
    static GRPO: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| whole(Kind::Grpo));
    fn whole(kind: Kind) -> [Vec<u8>; 2] {
        let run = Run::new(kind);
        run.finish();
        run.learned()
    }
    if kind == Kind::Sft { &SFT } else { &GRPO }
}

/// Kills a run while it loads, before it has saved, again and again while it saves, and right behind a save.
fn kill_at_many_moments(kind: Kind) {
    let run = Run::new(kind);
    run.kill_when(|run| run.folder().join("metrics.jsonl").is_file());
    run.kill_when(|run| run.logged_steps().contains(&1));
    let mut halves = 0;
    for _ in 0..2 {
        let from = run.latest();
        run.kill_when(Run::is_saving);
        halves += usize::from(run.half_written().is_some());
        assert!(run.latest().unwrap_or(0) <= from.unwrap_or(0) + 1, "one step was not saved yet");
    }
    assert!(halves > 0, "no checkpoint was half written when the run was killed");
    let saved = run.latest();
    run.kill_when(|run| run.latest() > saved);
    run.kill_when(|run| run.logged_steps().len() as u64 > run.latest().unwrap_or(0));
    run.finish();
    run.assert_equals(uninterrupted(kind));
}

#[test]
fn imitation_that_is_killed_at_any_moment_goes_on_to_the_same_weights() {
    kill_at_many_moments(Kind::Sft);
}

#[test]
fn reinforcement_that_is_killed_at_any_moment_goes_on_to_the_same_weights() {
    kill_at_many_moments(Kind::Grpo);
}

#[test]
fn ctrl_c_finishes_the_step_saves_and_says_how_to_go_on() {
    for kind in [Kind::Sft, Kind::Grpo] {
        let run = Run::new(kind);
        let child = run.start();
        let began = Instant::now();
        while run.logged_steps().is_empty() {
            assert!(began.elapsed() < PATIENCE, "no step is done");
            std::thread::sleep(Duration::from_millis(1));
        }
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let (status, said) = wait(child);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("stopping behind this step"), "{said}");
        assert!(said.contains("everything is saved"), "{said}");
        let command = run.arguments()[0];
        assert!(said.contains(&format!("visionthink {command} --config run.toml --resume")), "{said}");
        let steps = run.logged_steps();
        assert_eq!(run.latest(), steps.last().copied(), "the step that ran is saved");
        assert!(steps.len() < Run::STEPS as usize, "{steps:?}");
        run.finish();
        run.assert_equals(uninterrupted(kind));
    }
}

/// Right where both texts are equal, as the rule of the run file has it.
fn fair(request: &Request) -> Answer {
    let (_, rest) = request.prompt().split_once("**Ground Truth Answer**: ").unwrap();
    let truth = rest.lines().next().unwrap();
    Answer::Says(format!("Score: {}", u8::from(truth.eq_ignore_ascii_case(request.prediction().trim()))))
}

#[test]
fn ctrl_c_while_the_judge_is_waited_for_ends_at_once_without_the_step_and_goes_on_to_the_same_weights() {
    // From some call on the judge asks to be left alone, for longer than anybody waits and for a moment.
    for busy in ["retry-after: 60", "retry-after: 2"] {
        let (calls, refused) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicUsize::new(0)));
        let (patient_until, seen) = (calls.clone(), refused.clone());
        let server = Server::start(move |nth, request| {
            if nth < patient_until.load(Ordering::SeqCst) {
                return fair(request);
            }
            seen.fetch_add(1, Ordering::SeqCst);
            Answer::later(busy)
        });
        let run = Run::new(Kind::Grpo);
        let file = run.folder.path().join("run.toml");
        let text = fs_err::read_to_string(&file).unwrap();
        let judge = format!(
            "[reward.judge.endpoint]\nkind = \"openai\"\nurl = \"{}\"\nmodel = \"m\"\n\n[advantage]",
            server.url()
        );
        assert!(text.contains("judge = \"exact\"\n"));
        let text = text.replace("judge = \"exact\"\n", "").replace("[advantage]", &judge);
        fs_err::write(&file, text).unwrap();

        let child = run.start();
        let began = Instant::now();
        let patience = |what: &str| {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        };
        while run.logged_steps().is_empty() {
            patience("no step is done");
        }
        calls.store(0, Ordering::SeqCst);
        while refused.load(Ordering::SeqCst) == 0 {
            patience("the judge is not asked");
        }
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let interrupted = Instant::now();
        let (status, said) = wait(child);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            interrupted.elapsed() < Duration::from_secs(50),
            "it waited for the judge: {:?}",
            interrupted.elapsed()
        );
        for expected in ["everything is saved", "visionthink grpo --config run.toml --resume"] {
            assert!(said.contains(expected), "{busy}: {said}");
        }
        assert!(!said.contains("called off"), "an end that was asked for is no error: {said}");
        let steps = run.logged_steps();
        assert_eq!(run.latest(), steps.last().copied(), "the step that waited is not counted");
        assert!(steps.len() < Run::STEPS as usize, "{steps:?}");

        calls.store(usize::MAX, Ordering::SeqCst);
        run.finish();
        run.assert_equals(uninterrupted(Kind::Grpo));
    }
}

#[test]
fn a_full_disk_ends_a_run_with_the_name_of_the_file_and_the_checkpoint_before_stands() {
    let run = Run::new(Kind::Grpo);
    run.kill_when(|run| run.latest().is_some());
    let (saved, learned) = (run.latest(), run.learned());
    // No file may grow beyond a megabyte, which takes every file of a run but the weights.
    let mut command = Command::new("sh");
    let limited = "trap '' XFSZ; ulimit -f 2048; exec \"$@\"";
    command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_visionthink")]).args(run.arguments());
    let (status, said) = wait(run.spawn(command));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.contains("model.safetensors") && said.contains("File too large"), "{said}");
    assert!(said.contains("hint: ") && said.contains("--resume"), "{said}");
    assert_eq!(run.latest(), saved);
    assert!(run.learned() == learned, "the checkpoint before has changed");
    assert!(!run.is_saving(), "half a checkpoint takes room that somebody needs");
    run.finish();
    run.assert_equals(uninterrupted(Kind::Grpo));
}

#[test]
fn a_run_leaves_a_page_with_its_curves_and_what_it_said() {
    let run = Run::new(Kind::Grpo);
    run.finish();
    let page = fs_err::read_to_string(run.folder().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("data:image/png;base64,"));
    for said in ["Reward", "Calls for the full image", "Entropy", "What it said in step 8", "advantage"] {
        assert!(page.contains(said), "`{said}` is not on the page");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "the page fetches nothing");
}

#[test]
fn a_file_where_checkpoints_should_be_is_told_before_anything_is_trained() {
    let run = Run::new(Kind::Sft);
    fs_err::create_dir_all(run.folder()).unwrap();
    fs_err::write(run.checkpoints(), "").unwrap();
    let (status, said) = wait(run.start());
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("checkpoints"), "{said}");
    assert!(run.logged_steps().is_empty(), "{said}");
}
