//! The Markdown of a report as HTML, so that both say the same.

use std::fmt::Write;

use crate::html::escape;

/// Headings, paragraphs, lists and tables: what [`markdown`](visionthink_eval::run::markdown) writes, and nothing else of the language.
pub(super) fn render(html: &mut String, markdown: &str) {
    for block in markdown.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        if let Some(heading) = block.strip_prefix("### ") {
            let _ = writeln!(html, "<h3>{}</h3>", inline(heading));
        } else if let Some(heading) = block.strip_prefix("## ") {
            let _ = writeln!(html, "<h2>{}</h2>", inline(heading));
        } else if block.starts_with('|') {
            table(html, block);
        } else if block.starts_with("- ") {
            let items = block.lines().map(|line| format!("<li>{}</li>", inline(line.trim_start_matches("- "))));
            let _ = writeln!(html, "<ul>{}</ul>", items.collect::<String>());
        } else {
            let _ = writeln!(html, "<p>{}</p>", inline(block));
        }
    }
}

fn table(html: &mut String, block: &str) {
    html.push_str("<div class=\"scroll\"><table>");
    // The second line says how columns are aligned, which is the page's to say.
    for (number, line) in block.lines().enumerate().filter(|(number, _)| *number != 1) {
        let tag = if number == 0 { "th" } else { "td" };
        html.push_str("<tr>");
        for cell in line.trim().trim_matches('|').split('|') {
            let text = cell.trim();
            let is_number = text.starts_with(|letter: char| letter.is_ascii_digit() || "+-–".contains(letter));
            let class = if tag == "td" && !is_number { " class=\"text\"" } else { "" };
            let _ = write!(html, "<{tag}{class}>{}</{tag}>", inline(text));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>\n");
}

/// Text with code between backticks.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (number, part) in text.split('`').enumerate() {
        let _ = if number % 2 == 1 {
            write!(html, "<code>{}</code>", escape(part))
        } else {
            write!(html, "{}", escape(part))
        };
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_its_parts_and_names_stay_text() {
        let mut html = String::new();
        render(
            &mut html,
            "### Accuracy\n\nOf `<b>`.\n\n| method | a |\n| --- | --- |\n| full | 1.0 |\n\n- one\n- two\n",
        );
        let expected = "<h3>Accuracy</h3>\n<p>Of <code>&lt;b&gt;</code>.</p>\n<div class=\"scroll\"><table><tr><th>method</th><th>a</th></tr>\
            <tr><td class=\"text\">full</td><td>1.0</td></tr></table></div>\n<ul><li>one</li><li>two</li></ul>\n";
        assert_eq!(html, expected);
    }
}
