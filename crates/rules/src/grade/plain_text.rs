//! LaTeX as the text one would type.

use crate::text::split_braced;

/// Deeper nesting is left as it is.
const MAX_DEPTH: usize = 48;

/// `\frac{a}{b}` as `a/b` (a numerator is not put in parentheses), `\sqrt{x}` as `sqrt(x)`, symbols as their characters
/// or the names that a calculator knows; unknown commands vanish, their arguments stay.
///
/// Source: the `_parse_latex` of mathruler, which lets pylatexenc do it.
pub(super) fn plain_text(latex: &str) -> String {
    let mut text = String::with_capacity(latex.len());
    convert(latex, &mut text, 0);
    text.trim().to_owned()
}

fn convert(latex: &str, text: &mut String, depth: usize) {
    let mut rest = latex;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => command(after, text, depth),
            '{' | '}' => after,
            '-' if after.starts_with('-') => {
                // TeX sets two hyphens as a dash.
                text.push('–');
                &after[1..]
            }
            '~' | '&' => {
                text.push(' ');
                after
            }
            _ => {
                text.push(c);
                after
            }
        };
    }
}

/// Converts what begins behind a backslash; returns what is left.
fn command<'a>(latex: &'a str, text: &mut String, depth: usize) -> &'a str {
    let letters = latex.len() - latex.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
    if letters == 0 {
        return control_sign(latex, text);
    }
    let (name, rest) = latex.split_at(letters);
    let rest = rest.trim_start();
    if depth >= MAX_DEPTH {
        return rest;
    }
    let argument = |rest: &'a str, text: &mut String| {
        let (content, rest) = argument(rest);
        convert(content, text, depth + 1);
        rest
    };
    match name {
        "frac" | "dfrac" | "tfrac" => {
            // A space keeps a whole number in front apart.
            text.push(' ');
            let rest = argument(rest, text);
            text.push('/');
            argument(rest, text)
        }
        "sqrt" => {
            let rest = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((_, rest)) => rest,
                None => rest,
            };
            text.push_str("sqrt(");
            let rest = argument(rest, text);
            text.push(')');
            rest
        }
        "mbox" => argument(rest, &mut String::new()),
        "begin" | "end" => {
            if !argument_name(rest).is_some_and(|name| name.ends_with("matrix")) {
                return rest;
            }
            text.push(if name == "begin" { '[' } else { ']' });
            argument(rest, &mut String::new())
        }
        _ => {
            let Some(mark) = mark(name) else {
                text.push_str(symbol(name));
                return rest;
            };
            let rest = argument(rest, text);
            text.push(mark);
            rest
        }
    }
}

/// The combining character of an accent.
fn mark(name: &str) -> Option<char> {
    Some(match name {
        "vec" => '\u{20d7}',
        "hat" => '\u{302}',
        "bar" => '\u{305}',
        "tilde" => '\u{303}',
        "dot" => '\u{307}',
        "ddot" => '\u{308}',
        _ => return None,
    })
}

fn control_sign<'a>(latex: &'a str, text: &mut String) -> &'a str {
    let Some(c) = latex.chars().next() else { return latex };
    match c {
        '\\' => text.push(';'),
        ',' | ';' | ':' | ' ' => text.push(' '),
        '!' | '(' | ')' | '[' | ']' => {}
        other => text.push(other),
    }
    &latex[c.len_utf8()..]
}

/// A group, a command, or one character.
fn argument(latex: &str) -> (&str, &str) {
    let latex = latex.trim_start();
    if let Some(group) = latex.strip_prefix('{') {
        return split_braced(group).unwrap_or((group, ""));
    }
    let first = latex.chars().next().map_or(0, char::len_utf8);
    let length = match latex.strip_prefix('\\') {
        Some(name) => 1 + (name.len() - name.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len()),
        None => first,
    };
    latex.split_at(length)
}

fn argument_name(latex: &str) -> Option<&str> {
    latex.strip_prefix('{').and_then(split_braced).map(|(name, _)| name)
}

/// What a command is written as; nothing for an unknown one.
fn symbol(name: &str) -> &'static str {
    match name {
        "pi" => "pi",
        "infty" => "inf",
        "cup" => "U",
        "cap" => "∩",
        "cdot" | "times" => "*",
        "div" => "÷",
        "pm" => "±",
        "le" | "leq" | "leqslant" => "≤",
        "ge" | "geq" | "geqslant" => "≥",
        "neq" => "≠",
        "approx" => "≈",
        "equiv" => "≡",
        "in" => "∈",
        "to" | "rightarrow" => "→",
        "emptyset" | "varnothing" => "∅",
        "circ" => "∘",
        "angle" => "∠",
        "perp" => "⊥",
        "parallel" => "∥",
        "mid" => "|",
        "setminus" => "∖",
        "langle" => "⟨",
        "rangle" => "⟩",
        "lfloor" => "⌊",
        "rfloor" => "⌋",
        "lceil" => "⌈",
        "rceil" => "⌉",
        "ldots" | "dots" => "…",
        "cdots" => "⋯",
        "prime" => "'",
        "sin" => "sin",
        "cos" => "cos",
        "tan" => "tan",
        "cot" => "cot",
        "sec" => "sec",
        "csc" => "csc",
        "arcsin" => "arcsin",
        "arccos" => "arccos",
        "arctan" => "arctan",
        "log" => "log",
        "ln" => "ln",
        "exp" => "exp",
        "lim" => "lim",
        "max" => "max",
        "min" => "min",
        _ => greek(name),
    }
}

fn greek(name: &str) -> &'static str {
    match name {
        "alpha" => "α",
        "beta" => "β",
        "gamma" => "γ",
        "Gamma" => "Γ",
        "delta" => "δ",
        "Delta" => "Δ",
        "epsilon" => "ϵ",
        "varepsilon" => "ε",
        "zeta" => "ζ",
        "eta" => "η",
        "theta" => "θ",
        "Theta" => "Θ",
        "kappa" => "κ",
        "lambda" => "λ",
        "Lambda" => "Λ",
        "mu" => "μ",
        "nu" => "ν",
        "xi" => "ξ",
        "rho" => "ρ",
        "sigma" => "σ",
        "Sigma" => "Σ",
        "tau" => "τ",
        "phi" => "ϕ",
        "varphi" => "φ",
        "Phi" => "Φ",
        "chi" => "χ",
        "psi" => "ψ",
        "Psi" => "Ψ",
        "omega" => "ω",
        "Omega" => "Ω",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latex_becomes_what_one_would_type() {
        for (latex, expected) in [
            (r"\frac{a}{b}", "a/b"),
            (r"\frac12", "1/2"),
            (r"1\frac{1}{2}", "1 1/2"),
            (r"\frac{\sqrt{3}}{2}", "sqrt(3)/2"),
            (r"\sqrt[3]{8}", "sqrt(8)"),
            (r"2\cdot3", "2*3"),
            (r"(-\infty, 1) \cup (2, \infty)", "(-inf, 1) U(2, inf)"),
            (r"x \le 3", "x ≤3"),
            (r"\foo{bar}", "bar"),
            (r"\{1\}", "{1}"),
            (r"\frac{1}{2", "1/2"),
            ("\\", ""),
        ] {
            assert_eq!(plain_text(latex), expected, "{latex}");
        }
    }
}
