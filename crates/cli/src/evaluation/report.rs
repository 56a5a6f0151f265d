//! The files that a run is read in: Markdown, a page, JSON, and samples as lmms-eval logs them.

use std::fmt::Write;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;
use visionthink_eval::Edition;
use visionthink_eval::run::{
    MethodSection, Record, RunFile, RunRecords, Summary, export, headline, markdown, replace, scoring,
};
use visionthink_plot::Style;
use visionthink_prune::Choice;

use super::manifest::machine;
use super::page::{charts, render};

/// As wide as the chart of a file.
const LEGEND_WIDTH: f64 = 640.0;

/// Writes `report.md`, `report.html`, `results.json` and `lmms-eval/` of a run folder, and returns its numbers.
pub(crate) fn write_reports(folder: &Path) -> anyhow::Result<(RunRecords, Summary)> {
    let run = RunRecords::read(folder)?;
    let summary = Summary::of(&run)?;
    let page = format!(
        "# {}\n\n{}{}\n{}",
        run.run.run.name,
        headline(&run.run, &summary),
        settings(&run.run, folder),
        markdown(&run.run, &summary)
    );
    replace(&folder.join("report.md"), page.as_bytes())?;
    replace(&folder.join("results.json"), format!("{}\n", serde_json::to_string_pretty(&summary)?).as_bytes())?;
    replace(&folder.join("report.html"), render(&run, &summary, folder)?.as_bytes())?;
    export_samples(&run, &folder.join("lmms-eval"))?;
    Ok((run, summary))
}

/// Writes the report as a page of the documentation with its charts beside it.
pub(crate) fn write_page(file: &Path, command: &str, run: &RunRecords, summary: &Summary) -> anyhow::Result<()> {
    let parent = file.parent().unwrap_or(Path::new(""));
    let stem = file.file_stem().context("the page has no name")?.to_string_lossy().into_owned();
    let folder = parent.join(&stem);
    fs_err::create_dir_all(&folder)?;
    let mut pictures = String::new();
    let charts = charts(&run.run, summary);
    if let Some((_, chart)) = charts.first().filter(|(_, chart)| chart.is_legend_apart) {
        let legend = chart.legend(Style::File, LEGEND_WIDTH);
        replace(&folder.join("legend.svg"), legend.as_bytes())?;
        let _ = write!(pictures, "![Legend of the charts]({stem}/legend.svg)\n\n");
    }
    for (name, chart) in charts {
        replace(&folder.join(format!("{name}.svg")), chart.svg(Style::File).as_bytes())?;
        let _ = write!(pictures, "![{}]({stem}/{name}.svg)\n\n", chart.title);
    }
    let page = format!(
        "# Results: {}\n\n{}Written by `{command}`.\n\n{}\n{pictures}{}",
        run.run.run.name,
        headline(&run.run, summary),
        settings(&run.run, &run.run.folder()),
        markdown(&run.run, summary)
    );
    replace(file, page.as_bytes())?;
    Ok(())
}

/// What was asked of whom, and what answered, in a few lines.
pub(super) fn settings(run: &RunFile, folder: &Path) -> String {
    let models: Vec<String> = run.models.iter().map(|model| format!("`{}` ({})", model.name, model.source)).collect();
    let methods: Vec<String> = run.methods.iter().map(described).collect();
    let benchmarks: Vec<String> = run
        .benchmarks
        .iter()
        .map(|section| match (&section.synthetic, &section.dataset) {
            (Some(drawn), _) => format!(
                "`{}` ({} drawn questions, seeds {:?}, by `{}`)",
                section.name,
                drawn.questions * (drawn.families.len() * drawn.seeds.len()) as u64,
                drawn.seeds,
                section.metric
            ),
            (None, name) => format!("`{}` ({}, by `{}`)", section.name, name.as_deref().unwrap_or(""), section.metric),
        })
        .collect();
    let (generation, bootstrap) = (&run.generation, &run.bootstrap);
    format!(
        "- models: {}\n- methods: {}; the first is vanilla\n- benchmarks: {}\n- at most {} tokens a reply, temperature {}, {} answers together, \
         seed {}\n- scored by the rules of {}\n- intervals: {} %, bootstrap of {} resamples, seed {}\n{}",
        models.join(", "),
        methods.join(", "),
        benchmarks.join(", "),
        generation.max_new_tokens,
        generation.temperature,
        generation.max_rows,
        run.run.seed,
        match run.scoring.edition {
            Edition::Reference => "today's lmms-eval",
            Edition::V032 => "lmms-eval v0.3.2",
        },
        100.0 * bootstrap.level,
        bootstrap.resamples,
        bootstrap.seed,
        machine(folder),
    )
}

/// A method in the words of the run file.
fn described(method: &MethodSection) -> String {
    let mut text = format!("`{}` (mode {}", method.name, method.mode);
    if let Some(share) = method.pixels {
        let _ = write!(text, ", {:.0} % of the pixels", 100.0 * share);
    }
    if let Some(Choice { method, share }) = method.pruning {
        let how = share.map_or_else(
            || "with the settings of its paper".to_owned(),
            |share| format!("at {:.0} % of the visual tokens as a mean over layers", 100.0 * share),
        );
        let _ = write!(text, ", `{method}` {how}");
    }
    if let Some(settings) = &method.pruning_settings {
        // Settings of numbers and names always have a form in JSON.
        let written = serde_json::to_string(settings).unwrap_or_default();
        let _ = write!(text, ", pruning by `{written}`");
    }
    text.push(')');
    text
}

fn export_samples(run: &RunRecords, folder: &Path) -> anyhow::Result<()> {
    fs_err::create_dir_all(folder)?;
    let options = run.run.options();
    for combination in run.records.chunk_by(|one, other| {
        let (one, other) = (&one.source, &other.source);
        (&one.model, &one.method, &one.benchmark) == (&other.model, &other.method, &other.benchmark)
    }) {
        let Some(source) = combination.first().map(|record| &record.source) else { continue };
        let Some(by) = scoring(&run.run, &source.benchmark, &options, &run.verdicts) else { continue };
        let path: PathBuf = folder.join(export::file_name(&source.model, &source.method, &source.benchmark));
        let mut file = BufWriter::new(fs_err::File::create(&path)?);
        export::write(&mut file, &combination.iter().collect::<Vec<&Record>>(), by)?;
    }
    Ok(())
}
