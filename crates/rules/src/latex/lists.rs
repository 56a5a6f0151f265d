//! What holds scalars together: lists, tuples, sets, intervals, relations.

use crate::expression::{Comparison, Constant, Expression, Interval, Relation};
use crate::number::Number;

use super::commands::comparison;
use super::lexer::Token;
use super::parser::Parser;

/// A number with thousands separators and nothing else.
pub(super) fn grouped_number(text: &str) -> Option<Number> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut groups = whole.strip_prefix('-').unwrap_or(whole).split(',');
    let digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().is_some_and(|group| (1..=3).contains(&group.len()) && digits(group));
    let mut rest = 0;
    let grouped = groups.inspect(|_| rest += 1).all(|group| group.len() == 3 && digits(group));
    let complete = text.ends_with(|c: char| c.is_ascii_digit());
    (first && grouped && rest > 0 && complete && digits(fraction)).then(|| Number::parse(&text.replace(',', "")))?
}

/// Reads all of the tokens.
pub(super) fn parse(tokens: Vec<Token>) -> Option<Expression> {
    let mut parser = Parser::new(tokens);
    let lists = parser.lists()?;
    parser.at_end().then(|| gathered(lists))
}

/// One element is itself, several are a set; lists between semicolons become tuples unless each has one element.
fn gathered(mut lists: Vec<Vec<Expression>>) -> Expression {
    if let [list] = lists.as_mut_slice() {
        return match list.len() {
            1 => list.remove(0),
            _ => Expression::Set(std::mem::take(list)),
        };
    }
    if lists.iter().all(|list| list.len() == 1) {
        return Expression::Set(lists.into_iter().flatten().collect());
    }
    Expression::Set(lists.into_iter().map(Expression::Tuple).collect())
}

impl Parser {
    /// Lists of elements between commas, themselves between semicolons.
    pub(super) fn lists(&mut self) -> Option<Vec<Vec<Expression>>> {
        let mut lists = vec![self.list()?];
        while self.take_sign(';') {
            lists.push(self.list()?);
        }
        Some(lists)
    }

    fn list(&mut self) -> Option<Vec<Expression>> {
        let mut elements = self.element()?;
        while self.take_sign(',') {
            elements.extend(self.element()?);
        }
        Some(elements)
    }

    /// One element, or the two of a `±`.
    fn element(&mut self) -> Option<Vec<Expression>> {
        if self.take_command("pm") {
            let value = self.scalar()?;
            return Some(vec![value.clone().negated(), value]);
        }
        let left = self.relation()?;
        if !left.is_scalar() || !self.take_command("pm") {
            return Some(vec![left]);
        }
        let right = self.scalar()?;
        Some(vec![Expression::Sum(vec![left.clone(), right.clone()]), Expression::difference(&left, &right)])
    }

    fn relation(&mut self) -> Option<Expression> {
        let first = self.collection()?;
        if self.take_command("approx") {
            // The exact side of an approximation is meant, the value of a name.
            let value = self.collection()?;
            return Some(if first.is_only_symbols() { value } else { first });
        }
        let mut rest = Vec::new();
        while let Some(comparison) = self.comparison() {
            rest.push((comparison, self.collection()?));
        }
        Some(if rest.is_empty() { first } else { Expression::Relation(Box::new(Relation { first, rest })) })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let comparison = match self.peek()? {
            Token::Sign('<') => Comparison::Less,
            Token::Sign('>') => Comparison::Greater,
            Token::Sign('=') => Comparison::Equal,
            Token::Command(name) => comparison(name)?,
            _ => return None,
        };
        self.position += 1;
        let strict = matches!(comparison, Comparison::Less | Comparison::Greater);
        if strict && self.take_sign('=') {
            return Some(if comparison == Comparison::Less {
                Comparison::LessOrEqual
            } else {
                Comparison::GreaterOrEqual
            });
        }
        Some(comparison)
    }

    /// A scalar, a tuple, or a union of sets.
    fn collection(&mut self) -> Option<Expression> {
        let first = self.sum()?;
        let mut parts = vec![first];
        while self.take_command("cup") {
            parts.push(self.sum()?);
        }
        if parts.len() == 1 {
            return parts.pop();
        }
        parts.iter().all(Expression::is_collection).then_some(Expression::Union(parts))
    }

    fn scalar(&mut self) -> Option<Expression> {
        self.sum().filter(Expression::is_scalar)
    }

    /// What begins with `(` or `[`: a group, an interval or a tuple.
    pub(super) fn bracketed(&mut self, left_open: bool) -> Option<Expression> {
        let lists = self.nested(Self::lists)?;
        let right_open = if self.take_sign(')') {
            true
        } else if self.take_sign(']') || self.take_command("rbrack") {
            false
        } else {
            return None;
        };
        let mut elements: Vec<Expression> = lists.into_iter().flatten().collect();
        match elements.len() {
            1 => elements.pop(),
            2 if elements.iter().all(Expression::is_scalar) => {
                let (end, start) = (elements.pop()?, elements.pop()?);
                Some(interval_or_pair(Interval { start, end, left_open, right_open }))
            }
            _ if left_open == right_open => Some(Expression::Tuple(elements)),
            _ => None,
        }
    }

    /// What begins with `\{`.
    pub(super) fn braced_set(&mut self) -> Option<Expression> {
        let close = |parser: &mut Self| parser.take_command("}") || parser.take_command("rbrace");
        if close(self) {
            return Some(Expression::Set(Vec::new()));
        }
        let lists = self.nested(Self::lists)?;
        close(self).then(|| Expression::Set(lists.into_iter().flatten().collect()))
    }

    /// What begins with `{`: a group, or a set without its backslashes.
    pub(super) fn group(&mut self) -> Option<Expression> {
        let lists = self.nested(Self::lists)?;
        self.take_sign('}').then(|| gathered(lists))
    }
}

/// An interval that would be empty is a pair.
fn interval_or_pair(interval: Interval) -> Expression {
    let value = |end: &Expression| crate::evaluate::real(end, &crate::evaluate::Point::new());
    let (start, end) = (value(&interval.start), value(&interval.end));
    let open = interval.left_open && interval.right_open;
    let closed = !interval.left_open && !interval.right_open;
    if open && end <= start || closed && end < start {
        return Expression::Tuple(vec![interval.start, interval.end]);
    }
    Expression::Interval(Box::new(interval))
}

/// All real numbers.
pub(super) fn reals() -> Expression {
    let infinity = Expression::Constant(Constant::Infinity);
    let start = infinity.clone().negated();
    Expression::Interval(Box::new(Interval { start, end: infinity, left_open: true, right_open: true }))
}
