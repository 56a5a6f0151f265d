//! The demo's report: one HTML file with its pictures inside and nothing fetched.

use std::fmt::Write;

use visionthink_image::{ImageError, RgbImage, low_view};
use visionthink_protocol::Mode;

use super::result::{Demo, Row};
use crate::html::{PAGE_CSS, escape, figure, head};

/// One asked question as the page shows it.
pub(crate) struct Sample {
    pub(crate) family: &'static str,
    pub(crate) needs_full: bool,
    pub(crate) mode: Mode,
    pub(crate) image: RgbImage,
    pub(crate) question: String,
    pub(crate) expected: String,
    pub(crate) answer: String,
    pub(crate) correct: bool,
    pub(crate) resized: bool,
    /// Text of each turn.
    pub(crate) turns: Vec<String>,
    pub(crate) visual_tokens: usize,
}

/// The whole page.
///
/// # Errors
///
/// When a picture cannot be encoded.
pub(crate) fn render(demo: &Demo, samples: &[Sample]) -> Result<String, ImageError> {
    let mut html = head("visionthink demo", &[PAGE_CSS]);
    html.push_str("<h1>A quarter of the pixels first</h1>\n<p class=\"lead\">");
    let _ = write!(
        html,
        "Held-out questions about drawn pictures. In mode <b>low</b> the model sees the picture at half its width and height, in \
         mode <b>full</b> all of it. In mode <b>adaptive</b> it sees the small one first and may ask for the rest.</p>"
    );
    tiles(&mut html, demo);
    table(&mut html, &demo.rows);
    html.push_str("<h2>What it saw and said</h2>");
    filters(&mut html, demo);
    html.push_str("<div class=\"cards\">");
    for sample in samples {
        card(&mut html, sample)?;
    }
    html.push_str("</div>\n<footer>");
    let manifest = &demo.manifest;
    let _ = write!(
        html,
        "visionthink {} · model {} · device {} · seed {} · {} questions a family and mode</footer>\n<script>{}</script></body></html>\n",
        manifest.version,
        escape(&manifest.model),
        manifest.device,
        manifest.seed,
        manifest.questions,
        include_str!("page.js")
    );
    Ok(html)
}

fn tiles(html: &mut String, demo: &Demo) {
    html.push_str("<div class=\"tiles\">");
    for total in &demo.totals {
        let sums = &total.sums;
        let _ = write!(
            html,
            "<section class=\"tile\"><h3>{}</h3><dl><dt>right</dt><dd>{}</dd><dt>asked for more</dt><dd>{}</dd>\
             <dt>visual tokens a question</dt><dd>{:.1}</dd><dt>questions per second</dt><dd>{:.1}</dd></dl></section>",
            total.mode,
            percent(sums.correct, sums.questions),
            percent(sums.resize_calls, sums.questions),
            sums.visual_tokens as f64 / sums.questions.max(1) as f64,
            sums.questions as f64 / sums.seconds.max(1e-9),
        );
    }
    html.push_str("</div>");
}

fn table(html: &mut String, rows: &[Row]) {
    html.push_str(
        "<h2>By family</h2><div class=\"scroll\"><table><thead><tr><th>family</th><th class=\"text\">needs the full image</th>\
         <th class=\"text\">mode</th><th>questions</th><th>right</th><th>asked for more</th><th>visual tokens</th>\
         <th>completion tokens</th><th>seconds</th></tr></thead><tbody>",
    );
    let mut before = None;
    for row in rows {
        let group = (row.family, row.needs_full);
        let class = if before.replace(group) == Some(group) { "" } else { " class=\"first\"" };
        let sums = &row.sums;
        let _ = write!(
            html,
            "<tr{class}><td>{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{:.2}</td></tr>",
            row.family,
            if row.needs_full { "yes" } else { "no" },
            row.mode,
            sums.questions,
            percent(sums.correct, sums.questions),
            percent(sums.resize_calls, sums.questions),
            sums.visual_tokens,
            sums.completion_tokens,
            sums.seconds,
        );
    }
    html.push_str("</tbody></table></div>");
}

fn filters(html: &mut String, demo: &Demo) {
    let mut select = |name: &str, any: &str, values: &[&str]| {
        let _ = write!(html, "<select name=\"{name}\" aria-label=\"{name}\"><option value=\"\">{any}</option>");
        for value in values {
            let _ = write!(html, "<option>{value}</option>");
        }
        html.push_str("</select>");
    };
    let mut families: Vec<&str> = demo.rows.iter().map(|row| row.family).collect();
    families.dedup();
    let modes: Vec<String> = demo.totals.iter().map(|total| total.mode.to_string()).collect();
    select("family", "every family", &families);
    select("mode", "every mode", &modes.iter().map(String::as_str).collect::<Vec<_>>());
    select("verdict", "right and wrong", &["right", "wrong"]);
    select("need", "every need", &["needs the full image", "a quarter is enough"]);
    // The closing tags are written by position: the list of selects is wrapped here.
    let start = html.rfind("<h2>What it saw and said</h2>").map_or(0, |at| at + "<h2>What it saw and said</h2>".len());
    html.insert_str(start, "<div class=\"filters\">");
    html.push_str("</div>");
}

fn card(html: &mut String, sample: &Sample) -> Result<(), ImageError> {
    let need = if sample.needs_full { "needs the full image" } else { "a quarter is enough" };
    let verdict = if sample.correct { "right" } else { "wrong" };
    let _ = write!(
        html,
        "<article class=\"card\" data-family=\"{}\" data-mode=\"{}\" data-verdict=\"{verdict}\" data-need=\"{need}\">\
         <div class=\"question\">{}</div><div class=\"views\">",
        sample.family,
        sample.mode,
        escape(&sample.question)
    );
    if sample.mode != Mode::Full {
        picture(html, &low_view(&sample.image)?, "low")?;
    }
    if sample.mode == Mode::Full || sample.resized {
        picture(html, &sample.image, "full")?;
    }
    html.push_str("</div>");
    for turn in &sample.turns {
        let _ = write!(html, "<code>{}</code>", escape(turn));
    }
    let class = if sample.correct { "good" } else { "bad" };
    let _ = write!(html, "<div>answered <span class=\"{class}\">{}</span>", escape(&sample.answer));
    if !sample.correct {
        let _ = write!(html, ", expected <b>{}</b>", escape(&sample.expected));
    }
    if sample.resized {
        html.push_str(" · <span class=\"ask\">asked for more</span>");
    }
    let _ = writeln!(
        html,
        "</div><div class=\"tag\">{} · {} · {need} · {} visual tokens</div></article>",
        sample.family, sample.mode, sample.visual_tokens
    );
    Ok(())
}

fn picture(html: &mut String, image: &RgbImage, name: &str) -> Result<(), ImageError> {
    let caption = format!("{name}, {} × {}", image.width, image.height);
    html.push_str(&figure(&image.encode_png()?, &format!("{name} view"), &caption));
    Ok(())
}

fn percent(part: usize, whole: usize) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}
