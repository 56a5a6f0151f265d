//! The vocabulary: which command means what.

use crate::expression::{Comparison, Function};

/// Commands that only space or size things.
pub(super) const SPACES: [&str; 25] = [
    ",",
    ";",
    ":",
    "!",
    " ",
    "quad",
    "qquad",
    "left",
    "right",
    "mleft",
    "mright",
    "big",
    "Big",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "displaystyle",
    "textstyle",
    "limits",
    "thinspace",
    "negthinspace",
    "medspace",
    "$",
    "thickspace",
];

/// Commands whose argument is a word.
pub(super) fn is_text(name: &str) -> bool {
    matches!(
        name,
        "text"
            | "textbf"
            | "textit"
            | "textrm"
            | "textnormal"
            | "mathrm"
            | "mathbf"
            | "mathit"
            | "mbox"
            | "operatorname"
    )
}

/// Commands that put a mark on their argument.
pub(super) fn is_accent(name: &str) -> bool {
    matches!(
        name,
        "overline"
            | "bar"
            | "vec"
            | "overrightarrow"
            | "hat"
            | "widehat"
            | "tilde"
            | "widetilde"
            | "dot"
            | "ddot"
            | "mathbb"
            | "mathcal"
            | "mathfrak"
            | "mathscr"
    )
}

/// One name for accents that look alike.
pub(super) fn accent(name: &str) -> &str {
    match name {
        "overline" => "bar",
        "overrightarrow" => "vec",
        "widetilde" => "tilde",
        "mathcal" | "mathfrak" | "mathscr" | "mathbb" => "math",
        other => other,
    }
}

/// The function that a command stands for.
pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "tan" => Function::Tan,
        "cot" => Function::Cot,
        "sec" => Function::Sec,
        "csc" => Function::Csc,
        "arcsin" => Function::ArcSin,
        "arccos" => Function::ArcCos,
        "arctan" => Function::ArcTan,
        "sinh" => Function::Sinh,
        "cosh" => Function::Cosh,
        "tanh" => Function::Tanh,
        "max" => Function::Maximum,
        "min" => Function::Minimum,
        _ => return None,
    })
}

/// The inverse that the exponent -1 makes of a function.
pub(super) fn inverse(function: &Function) -> Option<Function> {
    Some(match function {
        Function::Sin => Function::ArcSin,
        Function::Cos => Function::ArcCos,
        Function::Tan => Function::ArcTan,
        _ => return None,
    })
}

/// The comparison that a command stands for.
pub(super) fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "lt" => Comparison::Less,
        "gt" => Comparison::Greater,
        "le" | "leq" | "leqslant" => Comparison::LessOrEqual,
        "ge" | "geq" | "geqslant" => Comparison::GreaterOrEqual,
        "ne" | "neq" => Comparison::NotEqual,
        "in" | "equiv" => Comparison::Equal,
        _ => return None,
    })
}

const GREEK: [&str; 24] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
];

/// The name of the variable that a command stands for: a Greek letter, or a word of geometry.
pub(super) fn symbol(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let known = GREEK.contains(&lower.strip_prefix("var").unwrap_or(&lower))
        || matches!(name, "ell" | "angle" | "triangle" | "hbar" | "varnothing");
    known.then_some(lower)
}

/// The name of a Greek character.
pub(super) fn greek(c: char) -> Option<&'static str> {
    let lower = c.to_lowercase().next()?;
    // Two forms of sigma share one place in the alphabet.
    let lower = if lower == 'ς' { 'σ' } else { lower };
    let index = u32::from(lower).checked_sub(u32::from('α'))? as usize;
    GREEK.get(index - usize::from(index > 17)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greek_characters_have_the_names_of_their_commands() {
        assert_eq!(greek('α'), Some("alpha"));
        assert_eq!(greek('Σ'), Some("sigma"));
        assert_eq!(greek('ω'), Some("omega"));
        assert_eq!(greek('x'), None);
        assert_eq!(symbol("theta"), Some("theta".to_owned()));
        assert_eq!(symbol("foo"), None);
    }
}
