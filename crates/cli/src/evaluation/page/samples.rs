//! Questions that methods answer differently, with the pictures that each saw.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use visionthink_eval::run::{
    Answer, BenchmarkSection, MethodSection, Outcome, POOLED, Pictures, Questions, Record, RunRecords, Summary,
    sample_scores, scoring,
};
use visionthink_image::{DecodeOptions, RgbImage, decode, lanczos_half, low_view, scaled_view};
use visionthink_protocol::{Decision, Mode};

use super::label;
use crate::evaluation::here;
use crate::html::{escape, figure};

/// Questions of each benchmark that are shown.
const SHOWN: usize = 8;

/// Pictures with a longer side are halved: the page holds them all.
const LONGEST_SIDE_PX: u32 = 560;

pub(super) fn render(html: &mut String, run: &RunRecords, summary: &Summary) -> anyhow::Result<()> {
    html.push_str("<h2>Where methods differ</h2><p class=\"lead\">The first questions of each benchmark that methods score differently, and what each method saw.</p>");
    for section in &run.run.benchmarks {
        let places = places(summary, &section.name);
        if places.is_empty() {
            continue;
        }
        let _ = write!(html, "<h3>{}</h3><div class=\"groups\">", escape(&section.name));
        let pictures = pictures(section, &places);
        for place in &places {
            question(html, run, section, *place, pictures.get(place).map_or(&[], Vec::as_slice))?;
        }
        html.push_str("</div>\n");
    }
    Ok(())
}

/// The first places of a benchmark where some pair of methods differs.
fn places(summary: &Summary, benchmark: &str) -> BTreeSet<u64> {
    let pairs = summary.versus.iter().filter(|one| one.scope.needs_full.is_none() && one.scope.benchmark != POOLED);
    let all: BTreeSet<u64> = pairs
        .flat_map(|one| &one.difference.differing)
        .filter(|(name, _)| name == benchmark)
        .map(|(_, place)| *place)
        .collect();
    all.into_iter().take(SHOWN).collect()
}

/// The pictures of some questions. A report can be written where the data set is no longer: then there are none.
fn pictures(section: &BenchmarkSection, places: &BTreeSet<u64>) -> BTreeMap<u64, Vec<RgbImage>> {
    let Ok(section) = here(section) else { return BTreeMap::new() };
    let Ok(questions) = Questions::open(&section, None) else { return BTreeMap::new() };
    let Ok(rows) = questions.read(|place| places.contains(&place)) else { return BTreeMap::new() };
    rows.filter_map(Result::ok)
        .take(places.len())
        .map(|question| {
            let images = match question.pictures {
                Pictures::Drawn(image) => vec![image],
                Pictures::Encoded(files) => {
                    files.iter().filter_map(|bytes| decode(bytes, &DecodeOptions::default()).ok()).collect()
                }
            };
            (question.index, images)
        })
        .collect()
}

fn question(
    html: &mut String,
    run: &RunRecords,
    section: &BenchmarkSection,
    place: u64,
    pictures: &[RgbImage],
) -> anyhow::Result<()> {
    let is_it = |record: &&Record| record.source.benchmark == section.name && record.source.index == place;
    let records: Vec<&Record> = run.records.iter().filter(is_it).collect();
    let Some(first) = records.first() else { return Ok(()) };
    let options = run.run.options();
    let Some(by) = scoring(&run.run, &section.name, &options, &run.verdicts) else { return Ok(()) };
    let expected = match &first.row["answer"] {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => first.row["answers"].to_string(),
        other => other.to_string(),
    };
    let mut views: BTreeMap<String, (Vec<u8>, Vec<String>)> = BTreeMap::new();
    let mut answers = String::new();
    for model in &run.run.models {
        for method in &run.run.methods {
            let of = |record: &&&Record| record.source.model == model.name && record.source.method == method.name;
            let Some(record) = records.iter().find(of) else { continue };
            let Outcome::Answered { answer } = &record.outcome else { continue };
            let name = label(&run.run, &model.name, method);
            for image in pictures {
                for (view, image) in seen(method, answer, image)? {
                    let caption = format!("{view}, {} × {}", image.width, image.height);
                    let shown = if let Some((_, methods)) = views.get_mut(&caption) {
                        methods
                    } else {
                        &mut views.entry(caption).or_insert((small(image)?.encode_png()?, Vec::new())).1
                    };
                    shown.push(name.clone());
                }
            }
            let score = sample_scores(&[record], by)?.get(&place).copied().flatten();
            let class = score.map_or("tag", |score| if score >= 0.5 { "good" } else { "bad" });
            let call = if answer.decision == Decision::Resize { " · asked for more" } else { "" };
            let _ = write!(
                answers,
                "<b>{}</b><span class=\"{class}\">{}</span><span class=\"cost\">{} visual tokens{call}</span>",
                escape(&name),
                escape(&answer.text),
                answer.ledger.visual_tokens
            );
        }
    }
    let _ = write!(
        html,
        "<article class=\"group\"><div class=\"asked\"><div class=\"question\">{}</div><div>expected <b>{}</b></div><div class=\"views\">",
        escape(&first.question),
        escape(&expected)
    );
    for (caption, (png, methods)) in &views {
        html.push_str(&figure(png, caption, &format!("{caption}: {}", methods.join(", "))));
    }
    let _ = write!(html, "</div></div><div class=\"answers\">{answers}</div></article>");
    Ok(())
}

/// The views of a picture that a method was shown.
fn seen(method: &MethodSection, answer: &Answer, image: &RgbImage) -> anyhow::Result<Vec<(&'static str, RgbImage)>> {
    let mut seen = Vec::new();
    if method.mode != Mode::Full {
        seen.push(("low", low_view(image)?));
    }
    if method.mode == Mode::Full || answer.decision == Decision::Resize {
        match method.pixels {
            Some(share) => seen.push(("scaled", scaled_view(image, share)?.into_owned())),
            None => seen.push(("full", image.clone())),
        }
    }
    Ok(seen)
}

fn small(mut image: RgbImage) -> anyhow::Result<RgbImage> {
    while image.width.max(image.height) > LONGEST_SIDE_PX {
        image = lanczos_half(&image)?;
    }
    Ok(image)
}
