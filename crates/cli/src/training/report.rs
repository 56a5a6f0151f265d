//! `report.html` of a run: its curves, and what it said to some questions.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use visionthink_image::{DecodeOptions, lanczos_half, open};
use visionthink_plot::PAGE_CSS as PLOT_CSS;
use visionthink_protocol::{Decision, View};
use visionthink_reward::Accuracy;
use visionthink_train::grpo::{SampledRollout, read_samples};

use super::charts::Metrics;
use crate::html::{PAGE_CSS, escape, figure, head};

/// Pictures with a longer side are halved: the page holds them all.
const LONGEST_SIDE_PX: u32 = 560;

/// Writes the report of the run in `folder` again and returns its file.
pub(super) fn write(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let metrics = Metrics::read(folder)?;
    let mut html = head(&format!("{name}: training"), &[PAGE_CSS, PLOT_CSS, include_str!("report.css")]);
    let step = metrics.newest("step").unwrap_or(0.0);
    let _ = write!(html, "<h1>{}</h1>\n<p class=\"lead\">Training after {step} steps.</p>", escape(name));
    tiles(&mut html, &metrics);
    html.push_str("<h2>Curves</h2><div class=\"charts\">");
    for chart in metrics.charts() {
        let _ = write!(html, "<div class=\"chart\">{chart}</div>");
    }
    html.push_str("</div>\n");
    if let Some(file) = newest_samples(&folder.join("rollouts"))? {
        let samples = read_samples(&file)?;
        let step = samples.first().map_or(0, |sample| sample.step);
        let _ = write!(html, "<h2>What it said in step {step}</h2><div class=\"groups\">");
        for group in samples.chunk_by(|a, b| a.group == b.group) {
            question(&mut html, group, file.parent().unwrap_or(folder))?;
        }
        html.push_str("</div>\n");
    }
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(html, "<footer>visionthink {version} · {}</footer></body></html>", escape(name));
    let (temporary, file) = (folder.join(".report.html.tmp"), folder.join("report.html"));
    fs_err::write(&temporary, html)?;
    fs_err::rename(&temporary, &file)?;
    Ok(file)
}

/// A key with its name, and whether it is a share.
type Figure = (&'static str, &'static str, bool);

/// The newest numbers.
fn tiles(html: &mut String, metrics: &Metrics) {
    const TILES: [(&str, &[Figure]); 4] = [
        (
            "newest step",
            &[
                ("train/reward", "reward", false),
                ("train/accuracy", "right", true),
                ("train/calls/hard", "calls where needed", true),
                ("train/calls/easy", "calls where not", true),
            ],
        ),
        (
            "held out",
            &[
                ("eval/adaptive/accuracy", "right", true),
                ("eval/full/accuracy", "right in full", true),
                ("eval/adaptive/calls/hard", "calls where needed", true),
                ("eval/adaptive/calls/easy", "calls where not", true),
                ("eval/adaptive/visual_tokens", "visual tokens, of full", true),
            ],
        ),
        (
            "imitation",
            &[
                ("train/loss", "loss", false),
                ("eval/full/easy", "full, easy", true),
                ("eval/full/hard", "full, hard", true),
            ],
        ),
        (
            "update",
            &[
                ("policy/kl", "KL", false),
                ("policy/entropy", "entropy", false),
                ("seconds/rollout", "rollout seconds", false),
                ("seconds/update", "update seconds", false),
                ("train/skipped", "skipped steps", false),
            ],
        ),
    ];
    html.push_str("<div class=\"tiles\">");
    for (name, numbers) in TILES {
        let known: Vec<(&str, f64, bool)> = numbers
            .iter()
            .filter_map(|(key, name, share)| metrics.newest(key).map(|value| (*name, value, *share)))
            .collect();
        // One number alone is what another kind of run logs too.
        if known.len() < 2 {
            continue;
        }
        let _ = write!(html, "<section class=\"tile\"><h3>{name}</h3><dl>");
        for (name, value, share) in known {
            let value = if share {
                format!("{:.1} %", 100.0 * value)
            } else if value.fract() == 0.0 {
                format!("{value}")
            } else {
                format!("{value:.4}")
            };
            let _ = write!(html, "<dt>{name}</dt><dd>{value}</dd>");
        }
        html.push_str("</dl></section>");
    }
    html.push_str("</div>\n");
}

/// A question with everything that was said to it.
fn question(html: &mut String, group: &[SampledRollout], folder: &Path) -> anyhow::Result<()> {
    let asked = &group[0];
    let need = if asked.needs_full { "needs the full image" } else { "a quarter is enough" };
    let _ = write!(
        html,
        "<article class=\"group\"><div class=\"asked\"><div class=\"question\">{}</div><div>expected <b>{}</b></div><div class=\"views\">",
        escape(&asked.question),
        escape(&asked.expected)
    );
    let mut images: Vec<_> = group.iter().flat_map(|sample| &sample.images).collect();
    images.sort_by_key(|image| (image.view == View::Full, &image.file));
    images.dedup();
    for image in images {
        picture(html, &folder.join(&image.file), if image.view == View::Low { "low" } else { "full" })?;
    }
    let _ = write!(html, "</div><div class=\"tag\">{} · {need}</div></div><div>", escape(&asked.family));
    let mut samples: Vec<&SampledRollout> = group.iter().collect();
    samples.sort_by(|a, b| b.reward.total.total_cmp(&a.reward.total).then_with(|| a.turns.cmp(&b.turns)));
    for same in samples.chunk_by(|a, b| a.turns == b.turns && a.reward == b.reward) {
        said(html, same[0], same.len(), group.len());
    }
    html.push_str("</div></article>\n");
    Ok(())
}

/// What one rollout, or several that are the same, said.
fn said(html: &mut String, sample: &SampledRollout, times: usize, of: usize) {
    html.push_str("<div class=\"said\"><div class=\"turns\">");
    for turn in &sample.turns {
        let _ = write!(html, "<code>{}</code>", escape(turn));
    }
    let reward = &sample.reward;
    let _ = write!(
        html,
        "</div><div class=\"worth\">reward <b>{:.2}</b><br>advantage {:+.2}",
        reward.total, sample.advantage
    );
    // Only rules that credit turns apart give the call an advantage of its own.
    if let Some(call) = sample.call_advantage.filter(|call| (call - sample.advantage).abs() > f64::EPSILON) {
        let _ = write!(html, "<br>of the call {call:+.2}");
    }
    let _ = write!(html, "</div><div class=\"tag\">{times} of {of} · ");
    let (class, verdict) = match sample.accuracy {
        Accuracy::Correct => ("good", "right"),
        Accuracy::Wrong => ("bad", "wrong"),
        Accuracy::Unjudged => ("ask", "not judged"),
    };
    let _ = write!(html, "<span class=\"{class}\">{verdict}</span>");
    match sample.decision {
        Decision::Resize => html.push_str(" · <span class=\"ask\">asked for more</span>"),
        Decision::Malformed => html.push_str(" · <span class=\"bad\">broken call</span>"),
        Decision::Direct | Decision::None => html.push_str(" · answered at once"),
    }
    let _ = write!(
        html,
        " · answer {:.2}, format {:.2}, penalty {:.2} · {} visual tokens",
        reward.accuracy, reward.format, reward.penalty, sample.image_tokens
    );
    for problem in sample.broken_format.iter().chain(&sample.error) {
        let _ = write!(html, " · <span class=\"bad\">{}</span>", escape(problem));
    }
    html.push_str("</div></div>");
}

fn picture(html: &mut String, file: &Path, name: &str) -> anyhow::Result<()> {
    let mut image = open(file, &DecodeOptions::default())?;
    let caption = format!("{name}, {} × {}", image.width, image.height);
    let whole = image.width;
    while image.width.max(image.height) > LONGEST_SIDE_PX {
        image = lanczos_half(&image)?;
    }
    let png = if image.width < whole { image.encode_png()? } else { fs_err::read(file)? };
    html.push_str(&figure(&png, &format!("{name} view"), &caption));
    Ok(())
}

/// The file of the highest step in a folder of sampled rollouts.
fn newest_samples(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut newest = None;
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let step = name.strip_prefix("step-").and_then(|rest| rest.strip_suffix(".jsonl")?.parse::<u64>().ok());
        if let Some(step) = step {
            newest = newest.max(Some((step, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}
