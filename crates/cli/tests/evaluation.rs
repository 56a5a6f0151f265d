//! Evaluations as a person and a script meet them: whole, killed, in parts, with bad input, and compared.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");

/// A run that is slower than this hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// A run file in a folder of its own.
struct Run(tempfile::TempDir);

impl Run {
    /// The embedded model in full and adaptive on benchmarks that are written below.
    fn new(benchmarks: &str) -> Self {
        let run = Self(tempfile::tempdir().unwrap());
        let text = format!(
            "[run]\nname = \"a\"\nout = \"runs\"\nseed = 1\n\
             [generation]\nmax_new_tokens = 24\ntemperature = 0.0\nmax_rows = 4\n\
             [scoring]\nedition = \"reference\"\n\
             [bootstrap]\nresamples = 50\nseed = 1\nlevel = 0.95\n\
             [[model]]\nname = \"micro\"\nsource = \"micro\"\n\
             [[method]]\nname = \"full\"\nmode = \"full\"\n\
             [[method]]\nname = \"adaptive\"\nmode = \"adaptive\"\n{benchmarks}"
        );
        fs_err::write(run.0.path().join("eval.toml"), text).unwrap();
        run
    }

    fn drawn(questions: u64) -> Self {
        Self::new(&format!(
            "[[benchmark]]\nname = \"scene\"\nmetric = \"own-exact\"\n\
             synthetic = {{ families = [\"scene\"], questions = {questions}, seeds = [5] }}\n"
        ))
    }

    fn change(&self, from: &str, to: &str) {
        let file = self.0.path().join("eval.toml");
        let text = fs_err::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}: {text}");
        fs_err::write(file, text.replace(from, to)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_visionthink"));
        command.args(["eval", "--config", "eval.toml", "--device", "cpu"]).args(arguments).current_dir(self.0.path());
        command
    }

    fn begin(&self) -> Child {
        self.command(&[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fail(&self, arguments: &[&str], code: i32, said: &[&str]) {
        let output = self.output(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        for part in said {
            assert!(stderr.contains(part), "{arguments:?}: `{part}` is not in {stderr}");
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join("runs").join(name)
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs_err::read_to_string(self.folder(name).join("samples.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The numbers of the report; the clock is left out, which never shows the same twice.
    fn results(&self, name: &str) -> Value {
        let text = fs_err::read_to_string(self.folder(name).join("results.json")).unwrap();
        timeless(serde_json::from_str(&text).unwrap())
    }

    /// Waits for so many records.
    fn wait_for(&self, child: &mut Child, records: usize) {
        let began = Instant::now();
        while self.lines("a").len() < records {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was stopped");
            assert!(began.elapsed() < PATIENCE, "it hangs");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn timeless(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(key, _)| !key.ends_with("seconds"))
                .map(|(key, value)| (key, timeless(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(timeless).collect()),
        other => other,
    }
}

#[test]
fn an_evaluation_writes_its_report_in_every_form() {
    let run = Run::drawn(6);
    run.change("[[benchmark]]", "[[method]]\nname = \"down-50\"\nmode = \"full\"\npixels = 0.5\n[[benchmark]]");
    let said: Value = serde_json::from_str(&run.succeed(&["--json"])).unwrap();
    let tokens = |method: &str| {
        let cells = said["cells"].as_array().unwrap();
        let cell = cells.iter().find(|cell| cell["method"] == method && cell["scope"]["needs_full"].is_null()).unwrap();
        (cell["coverage"]["scored"].as_u64().unwrap(), cell["visual_tokens"]["value"].as_f64().unwrap())
    };
    assert_eq!((tokens("full"), tokens("down-50")), ((6, 16.0), (6, 9.0)));
    assert!(tokens("adaptive").1 < 20.0);
    let folder = run.folder("a");
    let page = fs_err::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("prefers-color-scheme: dark"), "a page of its own, light and dark");
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing is fetched");
    assert!(fs_err::read_to_string(folder.join("report.md")).unwrap().contains("### Accuracy"));
    let logged = fs_err::read_to_string(folder.join("lmms-eval/micro@full@samples_scene.jsonl")).unwrap();
    let first: Value = serde_json::from_str(logged.lines().next().unwrap()).unwrap();
    assert_eq!((&first["doc_id"], first["filtered_resps"].as_array().unwrap().len()), (&json!(0), 1));
    let manifest: Value = serde_json::from_str(&fs_err::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["sessions"][0]["done"]["questions"], 18);
    // What is through is not asked again.
    run.succeed(&[]);
    assert_eq!(run.lines("a").len(), 18);
}

#[test]
fn a_ledger_says_what_an_answer_cost() {
    let run = Run::drawn(4);
    run.succeed(&[]);
    for line in run.lines("a") {
        let ledger = &line["outcome"]["answer"]["ledger"];
        let number = |key: &str| ledger[key].as_u64().unwrap();
        let expected =
            match (line["source"]["method"].as_str().unwrap(), line["outcome"]["answer"]["decision"].as_str().unwrap())
            {
                ("full", _) => 16,
                (_, "resize") => 20,
                _ => 4,
            };
        assert_eq!(number("visual_tokens"), expected, "{line}");
        assert_eq!(number("patches_encoded"), 4 * expected);
        assert!(number("visual_kv_entries") > 0 && number("visual_kv_entries") % expected == 0);
        assert!(ledger["flops"].as_f64().unwrap() > 1e6, "{ledger}");
        assert!(number("prefilled_tokens") >= expected && number("generated_tokens") > 0);
    }
}

#[test]
fn a_killed_evaluation_goes_on_and_reports_what_an_uninterrupted_one_does() {
    let (whole, killed) = (Run::drawn(20), Run::drawn(20));
    whole.succeed(&[]);
    // In the first method, between two, and in the second one.
    for records in [3, 17, 29] {
        let mut child = killed.begin();
        killed.wait_for(&mut child, records);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(killed.lines("a").len() < 40, "it was killed too late to show anything");
    }
    killed.succeed(&[]);
    assert_eq!(killed.results("a"), whole.results("a"));
    assert_eq!(killed.lines("a").len(), 40, "a question was asked twice");
}

#[test]
fn a_run_that_is_interrupted_ends_cleanly_and_says_how_to_go_on() {
    let run = Run::drawn(60);
    let mut child = run.begin();
    run.wait_for(&mut child, 2);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("go on with `visionthink eval --config eval.toml`"), "{stderr}");
    let done = run.lines("a").len();
    assert!(done < 120, "{done}");
    assert!(run.lines("a").iter().all(|line| line["outcome"]["kind"] == "answered"));
}

#[test]
fn a_run_goes_on_with_its_own_settings_alone_and_has_one_writer() {
    let run = Run::drawn(2);
    run.succeed(&[]);
    run.change("temperature = 0.0", "temperature = 0.5");
    run.fail(&[], 2, &["`generation.temperature` was `0.0` and is `0.5`", "give `run.name` another value"]);
    run.change("temperature = 0.5", "temperature = 0.0");
    let lock = fs_err::OpenOptions::new().write(true).open(run.folder("a").join("lock")).unwrap();
    lock.file().lock().unwrap();
    run.fail(&[], 1, &["writes to this run folder"]);
}

#[test]
fn parts_of_a_run_become_the_run() {
    let (whole, parts) = (Run::drawn(9), Run::drawn(9));
    whole.succeed(&[]);
    parts.succeed(&["--shard", "0/2"]);
    parts.fail(&["--merge", "2"], 1, &["a-shard-1-of-2", "no `config.toml`"]);
    parts.succeed(&["--shard", "1/2"]);
    parts.succeed(&["--merge", "2"]);
    assert_eq!(parts.results("a"), whole.results("a"));
    let manifest = fs_err::read_to_string(parts.folder("a").join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let asked: Vec<u64> = manifest["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| session["done"]["questions"].as_u64().unwrap())
        .collect();
    assert_eq!(asked, [10, 8]);
    parts.fail(&["--shard", "2/2"], 2, &["`2/2` is no part"]);
}

/// Questions of one's own about pictures of the fixtures; the second has none that can be read.
fn own(run: &Run, pictures: &[&str]) {
    let mut text = String::new();
    for (number, picture) in pictures.iter().enumerate() {
        let row = json!({ "id": format!("q{number}"), "image": picture, "question": "What shape is red?", "answer": "circle" });
        writeln!(text, "{row}").unwrap();
    }
    fs_err::write(run.0.path().join("own.jsonl"), text).unwrap();
}

#[test]
fn a_broken_picture_is_marked_and_the_score_says_over_how_many_it_is() {
    let run = Run::new(
        "[[benchmark]]\nname = \"mine\"\nmetric = \"own-contains\"\ndataset = \"own\"\ndata = \"own.jsonl\"\n",
    );
    let good = format!("{FIXTURES}/models/images/shapes_224x224.png");
    fs_err::write(run.0.path().join("broken.png"), b"no picture").unwrap();
    own(&run, &[&good, "broken.png", &good]);
    let said = run.succeed(&[]);
    assert!(said.contains("- mine, full: 2 of 3 scored, 1 defective"), "{said}");
    let defective = run.lines("a").into_iter().filter(|line| line["outcome"]["kind"] == "defective").count();
    assert_eq!(defective, 2, "once a method");
}

#[test]
fn what_is_wrong_with_input_is_told_before_weights_are_read() {
    let run =
        Run::new("[[benchmark]]\nname = \"charts\"\nmetric = \"chartqa\"\ndataset = \"chartqa\"\ndata = \"nowhere\"\n");
    run.fail(&[], 1, &["nowhere"]);
    fs_err::create_dir(run.0.path().join("nowhere")).unwrap();
    run.fail(&[], 1, &["nowhere", "no Parquet files here for `chartqa`"]);
    run.change("metric = \"chartqa\"", "metric = \"docvqa\"");
    run.fail(&[], 2, &["`docvqa` does not score `chartqa`"]);
}

#[test]
fn without_its_judge_a_benchmark_has_no_score_and_a_later_run_asks_the_judge_alone() {
    let run = Run::new(
        "[[benchmark]]\nname = \"charts\"\nmetric = \"chartqa-judge\"\ndataset = \"chartqa\"\ndata = \"drawn\"\n",
    );
    let drawn = Command::new(env!("CARGO_BIN_EXE_visionthink"))
        .args(["synth", "--out", "drawn", "--split", "test", "--n", "3", "--family", "chart"])
        .current_dir(run.0.path())
        .output()
        .unwrap();
    assert!(drawn.status.success(), "{drawn:?}");
    let said = run.succeed(&[]);
    assert!(
        said.contains("- charts, full: 0 of 3 scored, 3 unjudged") && said.contains("| full | no score |"),
        "{said}"
    );
    let judge = "[judge.endpoint]\nkind = \"openai\"\nurl = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\n\
                 max_unreachable = 1\nfailure_wait_secs = 0.0\n[[benchmark]]";
    run.change("[[benchmark]]", judge);
    run.fail(
        &[],
        1,
        &["all 6 questions are answered already", "127.0.0.1:1", "answers without a verdict are unjudged"],
    );
    assert_eq!(run.lines("a").len(), 6);
}

fn report(folders: &[&Path]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_visionthink")).arg("report").args(folders).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn two_runs_are_compared_and_one_is_reported_again() {
    let run = Run::drawn(6);
    run.succeed(&[]);
    run.change("name = \"a\"", "name = \"b\"");
    run.change("mode = \"full\"", "mode = \"low\"");
    run.succeed(&[]);
    let (first, second) = (run.folder("a"), run.folder("b"));
    let said = report(&[&first, &second]);
    assert!(said.contains("| micro | full | scene |") && said.contains("| -12.0 |"), "{said}");
    assert!(said.contains("setting `method.full.mode`: `\"full\"` before, `\"low\"` after"), "{said}");
    fs_err::remove_file(first.join("report.html")).unwrap();
    assert!(report(&[&first]).contains("### Accuracy"));
    assert!(first.join("report.html").is_file());
}
