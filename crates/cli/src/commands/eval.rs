//! `visionthink eval`: benchmarks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use visionthink_engine::{EmbeddedEngine, EngineOptions, ModelFolder};
use visionthink_eval::metrics::reasoning::default_pairs;
use visionthink_eval::run::{MethodSection, ModelSection, Questions, RunFile, RunFolder, Summary, merge};
use visionthink_eval::{EvalError, Options, ShardOf, score as score_rows};
use visionthink_prune::Pruning;

use crate::args::{EvalRunArguments, EvalScoreArguments, ModelArguments};
use crate::elsewhere::{Elsewhere, Place};
use crate::evaluation::{
    Combination, Session, Watch, Who, answer, here, judge, merge_manifests, write_manifest, write_page, write_prunings,
    write_reports,
};
use crate::failure::Failure;
use crate::interrupt::stop_on_ctrl_c;
use crate::model::{Opened, profile};
use crate::output;
use crate::progress;

/// Asks every model by every method on every benchmark, judges where that is needed, and reports.
pub(crate) fn run(arguments: &EvalRunArguments) -> anyhow::Result<()> {
    let (run, command) = read(arguments)?;
    let folder = folder(&run, arguments.shard);
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(stop.clone(), "stopping; answers that are not whole are asked again")?;
    // Held to the end: judging and reporting write there too.
    let _held = if let Some(shards) = arguments.merge {
        let shards: Vec<PathBuf> =
            (0..shards).map(|index| self::folder(&run, Some(ShardOf { index, of: shards }))).collect();
        let merged = merge(&run, &shards, &folder).map_err(refused)?;
        merge_manifests(&run, &shards, &folder)?;
        merged
    } else {
        let (session, held) = ask_all(&run, arguments, &folder, &stop)?;
        tell(session);
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::failed("stopped before the end; everything that was answered is saved")
                .hint(format!("go on with `{command}`"))
                .into());
        }
        held
    };
    let judged = judge(&run, &folder, &stop);
    let (records, summary) = write_reports(&folder)?;
    if let Some(page) = &arguments.page {
        write_page(page, &command, &records, &summary)?;
    }
    if arguments.json {
        output::json(&summary)?;
    } else {
        output::line(&visionthink_eval::run::markdown(&run, &summary))?;
        output::line(&format!("report: {}", folder.join("report.html").display()))?;
    }
    judged?;
    whole(&run, &summary, &command)
}

/// The run file with what the command line puts over it, and the command that goes on with it.
fn read(arguments: &EvalRunArguments) -> anyhow::Result<(RunFile, String)> {
    let file = arguments.config.as_deref().unwrap_or(Path::new(""));
    let mut run = RunFile::from_file(file).map_err(refused)?;
    let mut command = format!("visionthink eval --config {}", file.display());
    if let Some(limit) = arguments.limit {
        run.benchmarks.iter_mut().for_each(|benchmark| benchmark.limit = Some(limit));
        let _ = write!(command, " --limit {limit}");
    }
    if let Some(ShardOf { index, of }) = arguments.shard {
        let _ = write!(command, " --shard {index}/{of}");
    }
    if let Some(page) = &arguments.page {
        let _ = write!(command, " --page {}", page.display());
    }
    Ok((run, command))
}

fn folder(run: &RunFile, shard: Option<ShardOf>) -> PathBuf {
    match shard {
        None => run.folder(),
        Some(ShardOf { index, of }) => run.run.out.join(format!("{}-shard-{index}-of-{of}", run.run.name)),
    }
}

/// What the caller has to mend is wrong usage; the rest has failed.
pub(crate) fn refused(error: EvalError) -> anyhow::Error {
    match error {
        EvalError::RunFile { .. } | EvalError::Changed { .. } => Failure::usage(error.to_string()).into(),
        EvalError::Io(ref source) if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::usage(error.to_string()).into()
        }
        other => other.into(),
    }
}

fn ask_all(
    run: &RunFile,
    arguments: &EvalRunArguments,
    path: &Path,
    stop: &AtomicBool,
) -> anyhow::Result<(Session, RunFolder)> {
    // Data sets are opened first: a folder of the wrong kind is known before weights are read.
    let mut benchmarks = Vec::with_capacity(run.benchmarks.len());
    let mut planned = BTreeMap::new();
    for section in &run.benchmarks {
        let questions = Questions::open(&here(section)?, arguments.shard)?;
        planned.insert(section.name.clone(), questions.count()?);
        benchmarks.push((section, questions));
    }
    let mut folder = RunFolder::open(run, path).map_err(refused)?;
    folder.plan(&planned)?;
    let (_, device) = arguments.device.open()?;
    write_manifest(run, path, &device, None)?;
    let all = planned.values().sum::<u64>() * (run.models.len() * run.methods.len()) as u64;
    let done = folder.log.records().filter(|record| folder.log.is_done(&record.source)).count() as u64;
    let mut session = Session::default();
    if done >= all {
        progress::tell(&format!("all {all} questions are answered already"));
        write_manifest(run, path, &device, Some(session))?;
        return Ok((session, folder));
    }
    let mut watch = Watch::new(all, done);
    for model in &run.models {
        let source = ModelArguments {
            model: model.source.parse()?,
            adapter: model.adapter.clone(),
            device: arguments.device.clone(),
        };
        let mut computes = Computes::open(model, &source, run.generation.max_rows)?;
        let prunings = prunings(run, &model.name, computes.folder().config.text.num_hidden_layers)?;
        write_prunings(run, path, &model.name, &prunings)?;
        for (benchmark, questions) in &benchmarks {
            for (method, pruning) in run.methods.iter().zip(&prunings) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                watch.enter(format!("{}, {}, {}", model.name, method.name, benchmark.name));
                let combination = Combination { run, model, method, benchmark, questions };
                let (checkpoint, who) = computes.with(engine_options(run, pruning.clone()));
                answer(combination, &checkpoint, who, &mut folder, &mut session, &mut watch, stop)?;
            }
        }
    }
    watch.finish();
    write_manifest(run, path, &device, Some(session))?;
    Ok((session, folder))
}

/// Who computes for a model.
enum Computes {
    Here(Box<Opened>),
    There(Box<ModelFolder>, Elsewhere),
}

impl Computes {
    fn open(model: &ModelSection, source: &ModelArguments, at_once: usize) -> anyhow::Result<Self> {
        let Some(engine) = &model.engine else {
            return Ok(Self::Here(Box::new(source.open(EngineOptions::default())?)));
        };
        let folder = source.model.folder()?;
        let server = Elsewhere::connect(Place {
            url: &engine.url,
            model: engine.model.as_deref(),
            key_env: engine.key_env.as_deref(),
            profile: profile(&folder, model.profile)?,
            processor: folder.processor.as_deref().cloned(),
            at_once,
        })?;
        Ok(Self::There(Box::new(folder), server))
    }

    fn folder(&self) -> &ModelFolder {
        match self {
            Self::Here(opened) => &opened.folder,
            Self::There(folder, _) => folder,
        }
    }

    /// For one method: an engine in this process shares the weights of the one before it, and nothing that was computed.
    fn with(&mut self, options: EngineOptions) -> (ModelFolder, Who<'_>) {
        let folder = self.folder().clone();
        let who = match self {
            Self::Here(opened) => {
                let (weights, tokenizer) = (opened.engine.model().clone(), folder.tokenizer.clone());
                opened.engine = EmbeddedEngine::new(weights, Some(tokenizer), options);
                Who::Here(&mut opened.engine)
            }
            Self::There(_, server) => Who::There(server),
        };
        (folder, who)
    }
}

/// How each method drops visual tokens in a decoder of so many layers.
fn prunings(run: &RunFile, model: &str, layers: usize) -> anyhow::Result<Vec<Option<Pruning>>> {
    let of = |method: &MethodSection| {
        method.pruning_for(layers).map_err(|error| {
            Failure::usage(format!("method `{}` on model `{model}` of {layers} layers: {error}", method.name)).into()
        })
    };
    run.methods.iter().map(of).collect()
}

/// How a method is run. Each question pays for its own pictures: one method must not find what another one has encoded.
fn engine_options(run: &RunFile, pruning: Option<Pruning>) -> EngineOptions {
    let max_rows = run.generation.max_rows;
    EngineOptions { max_rows, max_cached_image_tokens: 0, pruning, ..EngineOptions::default() }
}

/// How fast it went, and how much of that the engine was working.
fn tell(session: Session) {
    let Session { questions, seconds, engine_seconds, unreadable, .. } = session;
    if questions > 0 {
        progress::tell(&format!(
            "{questions} questions in {seconds:.1} s, {:.1} a second, {:.0} % of the time inside the engine",
            questions as f64 / seconds.max(1e-9),
            100.0 * engine_seconds / seconds.max(1e-9)
        ));
    }
    if unreadable > 0 {
        progress::tell(&format!("{unreadable} rows could not be read and stay unasked; the log above names each"));
    }
}

/// A run with answers that another run of the command could still bring has not succeeded.
fn whole(run: &RunFile, summary: &Summary, command: &str) -> anyhow::Result<()> {
    let sum = |of: fn(&visionthink_eval::run::Coverage) -> usize| {
        let cells = summary.cells.iter().filter(|cell| cell.scope.is_benchmark());
        cells.map(|cell| of(&cell.coverage)).sum::<usize>()
    };
    let (failed, unjudged) = (sum(|coverage| coverage.failed), sum(|coverage| coverage.unjudged));
    if failed > 0 {
        return Err(Failure::failed(format!("{failed} questions failed; the others are done"))
            .hint(format!("`{command}` asks only these again; `samples.jsonl` says why each failed"))
            .into());
    }
    if unjudged > 0 {
        let mend = if run.judge.is_some() {
            format!("`{command}` asks for them again")
        } else {
            "give the run file a section `[judge.endpoint]`".to_owned()
        };
        progress::tell(&format!("{unjudged} answers are unjudged, and no score counts them; {mend}"));
    }
    Ok(())
}

/// Scores a file of predictions of any program by the rules of a benchmark.
pub(crate) fn score(arguments: &EvalScoreArguments) -> anyhow::Result<()> {
    let path = &arguments.input;
    let mut rows = Vec::new();
    for (number, line) in fs_err::read_to_string(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Value = serde_json::from_str(line)
            .map_err(|error| Failure::failed(format!("{}:{}: not JSON: {error}", path.display(), number + 1)))?;
        rows.push(row);
    }
    let options = Options {
        answer_tag: arguments.answer_tag,
        reasoning_tags: if arguments.strip_reasoning { default_pairs() } else { Vec::new() },
        edition: arguments.edition,
    };
    let report = score_rows(arguments.benchmark, &rows, &options)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    if arguments.json {
        return output::json(&report);
    }
    output::line(&format!("{}: {:.2} over {} predictions", arguments.benchmark, report.paper_score, report.rows))?;
    output::line(&serde_json::to_string_pretty(&report.aggregate)?)?;
    Ok(())
}
