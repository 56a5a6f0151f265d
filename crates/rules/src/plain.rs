//! Mathematics as it is typed: `2*x^2`, `1/2`, `sqrt(3)/2`.

use crate::expression::{Constant, Expression, Function};
use crate::number::Number;

/// Longer texts are refused.
const MAX_CHARS: usize = 2000;
/// Parentheses, signs and towers of powers may be nested this deep.
const MAX_DEPTH: usize = 48;

/// Reads arithmetic on numerals: `+ - * / ^ **` and parentheses. Nothing may be left out or left over.
///
/// A numeral of several digits may not begin with 0 (Python's rule, whose parser the reference uses here).
pub(crate) fn parse_arithmetic(text: &str) -> Option<Expression> {
    parse(text, Juxtaposition::Refused)
}

/// Reads mathematics with names, where factors may stand beside each other: `2x(x+1)`, `2pi`.
///
/// `pi` and `oo` are constants, `sqrt(…)`, `ln(…)` and the like functions; another name is the product of its letters,
/// before parentheses too. The product binds like `*`: `1/2x` is half of x.
pub(crate) fn parse_algebra(text: &str) -> Option<Expression> {
    parse(text, Juxtaposition::Product)
}

/// Names that are functions where parentheses follow.
const FUNCTIONS: [&str; 10] = ["sqrt", "exp", "ln", "log", "sin", "cos", "tan", "abs", "max", "min"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Juxtaposition {
    Refused,
    Product,
}

fn parse(text: &str, juxtaposition: Juxtaposition) -> Option<Expression> {
    if text.chars().nth(MAX_CHARS).is_some() {
        return None;
    }
    let mut parser = Parser { tokens: tokens(text)?, position: 0, depth: 0, juxtaposition };
    let expression = parser.sum()?;
    (parser.position == parser.tokens.len()).then_some(expression)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(Number),
    Name(String),
    Sign(char),
    Power,
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let (token, end) = match c {
            _ if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '0'..='9' | '.' => number(&chars, at)?,
            '*' if chars.get(at + 1) == Some(&'*') => (Token::Power, at + 2),
            '^' => (Token::Power, at + 1),
            '+' | '-' | '*' | '/' | '(' | ')' | '!' | ',' => (Token::Sign(c), at + 1),
            _ if c.is_alphabetic() => {
                let name: String = chars.iter().skip(at).take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                let end = at + name.chars().count();
                (Token::Name(name), end)
            }
            _ => return None,
        };
        tokens.push(token);
        at = end;
    }
    Some(tokens)
}

/// A numeral with its power of ten, if digits follow the `e`.
fn number(chars: &[char], start: usize) -> Option<(Token, usize)> {
    let digits = |from: usize| crate::text::skip_while(chars, from, |c| c.is_ascii_digit());
    let mut end = digits(start);
    if chars.get(end) == Some(&'.') {
        end = digits(end + 1);
    } else if end > start + 1 && chars.get(start) == Some(&'0') && chars[start..end].iter().any(|&c| c != '0') {
        return None;
    }
    if matches!(chars.get(end), Some('e' | 'E')) {
        let sign = end + 1 + usize::from(matches!(chars.get(end + 1), Some('+' | '-')));
        if digits(sign) > sign {
            end = digits(sign);
        }
    }
    let text: String = chars[start..end].iter().collect();
    Some((Token::Number(Number::parse(&text)?), end))
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    depth: usize,
    juxtaposition: Juxtaposition,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.position += usize::from(found);
        found
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Expression>) -> Option<Expression> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn sum(&mut self) -> Option<Expression> {
        let mut terms = vec![self.term()?];
        loop {
            if self.take(&Token::Sign('+')) {
                terms.push(self.term()?);
            } else if self.take(&Token::Sign('-')) {
                terms.push(self.term()?.negated());
            } else if terms.len() > 1 {
                return Some(Expression::Sum(terms));
            } else {
                return terms.pop();
            }
        }
    }

    fn term(&mut self) -> Option<Expression> {
        let mut product = self.signed()?;
        loop {
            if self.take(&Token::Sign('*')) {
                product = Expression::product(product, self.signed()?);
            } else if self.take(&Token::Sign('/')) {
                product = Expression::quotient(product, self.signed()?);
            } else if self.juxtaposition == Juxtaposition::Product && self.at_factor() {
                product = Expression::product(product, self.power()?);
            } else {
                return Some(product);
            }
        }
    }

    fn at_factor(&self) -> bool {
        matches!(self.peek(), Some(Token::Number(_) | Token::Name(_) | Token::Sign('(')))
    }

    fn signed(&mut self) -> Option<Expression> {
        if self.take(&Token::Sign('-')) {
            return self.nested(Self::signed).map(Expression::negated);
        }
        if self.take(&Token::Sign('+')) {
            return self.nested(Self::signed);
        }
        self.power()
    }

    fn power(&mut self) -> Option<Expression> {
        let mut base = self.atom()?;
        while self.take(&Token::Sign('!')) {
            base = Expression::Call(Function::Factorial, vec![base]);
        }
        if self.take(&Token::Power) {
            let exponent = self.nested(Self::signed)?;
            return Some(Expression::power(base, exponent));
        }
        Some(base)
    }

    fn atom(&mut self) -> Option<Expression> {
        let token = self.peek()?.clone();
        self.position += 1;
        match token {
            Token::Number(number) => Some(Expression::Number(number)),
            Token::Sign('(') => {
                let inner = self.nested(Self::sum)?;
                self.take(&Token::Sign(')')).then_some(inner)
            }
            Token::Name(name) if self.juxtaposition == Juxtaposition::Product => self.named(&name),
            _ => None,
        }
    }

    fn named(&mut self, name: &str) -> Option<Expression> {
        match name {
            "pi" => return Some(Expression::Constant(Constant::Pi)),
            "oo" => return Some(Expression::Constant(Constant::Infinity)),
            _ => {}
        }
        if FUNCTIONS.contains(&name) && self.take(&Token::Sign('(')) {
            return self.call(name);
        }
        if name.contains('_') || name.chars().count() == 1 {
            return Some(Expression::symbol(name));
        }
        letters(name)
    }

    fn call(&mut self, name: &str) -> Option<Expression> {
        let mut arguments = vec![self.nested(Self::sum)?];
        while self.take(&Token::Sign(',')) {
            arguments.push(self.nested(Self::sum)?);
        }
        if !self.take(&Token::Sign(')')) {
            return None;
        }
        let function = match (name, arguments.len()) {
            ("sqrt", 1) => return Some(Expression::root(arguments.pop()?, Expression::integer(2))),
            ("exp", 1) => return Some(Expression::power(Expression::Constant(Constant::E), arguments.pop()?)),
            ("ln" | "log", 1) => {
                arguments.push(Expression::Constant(Constant::E));
                Function::Log
            }
            ("log", 2) => Function::Log,
            ("sin", 1) => Function::Sin,
            ("cos", 1) => Function::Cos,
            ("tan", 1) => Function::Tan,
            ("abs", 1) => Function::Abs,
            ("max", _) => Function::Maximum,
            ("min", _) => Function::Minimum,
            _ => return None,
        };
        Some(Expression::Call(function, arguments))
    }
}

/// A name as the product of its letters and of the numerals among them.
fn letters(name: &str) -> Option<Expression> {
    let mut factors = Vec::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (factor, length) = match digits {
            0 => (Expression::symbol(c), c.len_utf8()),
            _ => (Expression::Number(Number::parse(&rest[..digits])?), digits),
        };
        factors.push(factor);
        rest = &rest[length..];
    }
    Some(Expression::Product(factors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equivalence::{Decimals, equivalent};
    use crate::evaluate::{Point, exact};
    use num_traits::ToPrimitive;

    fn value(text: &str) -> Option<f64> {
        exact(&parse_arithmetic(text)?, &Point::new())?.to_f64()
    }

    #[test]
    fn arithmetic_follows_the_usual_precedence() {
        for (text, expected) in [
            ("1/2/2", 0.25),
            ("-2^2", -4.0),
            ("2^3^2", 512.0),
            ("2**-1", 0.5),
            ("(1+2)*3", 9.0),
            ("1e3/10", 100.0),
            ("5.", 5.0),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn arithmetic_refuses_what_python_refuses() {
        for text in ["1 1/2", "2(3)", "01/02", "1+", "x", "(1", "1)", "", "2÷3"] {
            assert_eq!(parse_arithmetic(text), None, "{text}");
        }
    }

    #[test]
    fn factors_may_stand_beside_each_other_in_algebra() {
        let same = |left: &str, right: &str| {
            equivalent(&parse_algebra(left).unwrap(), &parse_algebra(right).unwrap(), Decimals::Exact)
        };
        assert!(same("2x(x+1)", "2*x^2+2*x"));
        assert!(same("1/2x", "x/2"));
        assert!(same("2pi", "pi*2"));
        assert!(same("ab", "b*a"));
        assert!(same("sqrt(8)", "2sqrt(2)"));
        assert!(same("x2", "2x"));
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(parse_algebra(&"(".repeat(1900)), None);
        assert_eq!(parse_algebra(&format!("{}1", "-".repeat(1900))), None);
        assert_eq!(parse_algebra(&format!("1{}", "^1".repeat(900))), None);
    }
}
