//! Scalars: sums, products, powers, functions.

use crate::expression::{Constant, Expression, Function};
use crate::number::Number;

use super::commands::{accent, function, greek, symbol};
use super::lexer::Token;
use super::lists::reals;

/// Groups, exponents, arguments and signs may be nested this deep.
const MAX_DEPTH: usize = 48;

/// Reads tokens from left to right; each method returns `None` where what it reads is not there.
pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) position: usize,
    depth: usize,
    /// How many `|…|` are open: inside, `|` closes.
    bars: usize,
}

impl Parser {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self { tokens, position: 0, depth: 0, bars: 0 }
    }

    pub(super) fn at_end(&self) -> bool {
        self.position == self.tokens.len()
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    pub(super) fn take_sign(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.position += usize::from(found);
        found
    }

    pub(super) fn take_command(&mut self, name: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Command(command)) if command == name);
        self.position += usize::from(found);
        found
    }

    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// A sum of scalars; alone, it may be a tuple or a set.
    pub(super) fn sum(&mut self) -> Option<Expression> {
        let first = self.product()?;
        let mut terms = vec![first];
        loop {
            if self.take_sign('+') {
                terms.push(self.product()?);
            } else if self.take_sign('-') {
                terms.push(self.product()?.negated());
            } else if terms.len() == 1 {
                return terms.pop();
            } else {
                return terms.iter().all(Expression::is_scalar).then_some(Expression::Sum(terms));
            }
        }
    }

    fn product(&mut self) -> Option<Expression> {
        let mut product = self.signed()?;
        loop {
            let multiply = self.take_sign('*') || self.take_command("times") || self.take_command("cdot");
            let divide = !multiply
                && (self.take_sign('/')
                    || self.take_sign(':')
                    || self.take_command("div")
                    || self.take_command("over"));
            if !multiply && !divide {
                return Some(product);
            }
            let right = self.signed()?;
            if !product.is_scalar() || !right.is_scalar() {
                return None;
            }
            let combine = if multiply { Expression::product } else { Expression::quotient };
            product = combine(product, right);
        }
    }

    fn signed(&mut self) -> Option<Expression> {
        if self.take_sign('-') {
            return self.nested(Self::signed).filter(Expression::is_scalar).map(Expression::negated);
        }
        if self.take_sign('+') {
            return self.nested(Self::signed).filter(Expression::is_scalar);
        }
        self.juxtaposed()
    }

    /// Factors beside each other, from the right: a positive rational is added to an integer before it.
    fn juxtaposed(&mut self) -> Option<Expression> {
        let mut factors = vec![self.power()?];
        while self.at_factor() {
            factors.push(self.power()?);
        }
        if factors.len() > 1 {
            factors = factors.into_iter().map(only_scalar).collect::<Option<_>>()?;
        }
        let mut product = factors.pop()?;
        while let Some(left) = factors.pop() {
            product = match (&left, &product) {
                (Expression::Number(whole), Expression::Number(fraction)) if is_mixed(whole, fraction) => {
                    Expression::Number(whole.mixed(fraction))
                }
                _ => Expression::product(left, product),
            };
        }
        Some(product)
    }

    pub(super) fn at_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Number(_) | Token::Letter(_) | Token::Named { .. }) => true,
            Some(Token::Sign(sign)) => matches!(sign, '(' | '[' | '{') || *sign == '|' && self.bars == 0,
            Some(Token::Command(name)) => {
                symbol(name).is_some()
                    || function(name).is_some()
                    || matches!(
                        name.as_str(),
                        "{" | "lbrace"
                            | "infty"
                            | "sqrt"
                            | "frac"
                            | "dfrac"
                            | "tfrac"
                            | "cfrac"
                            | "binom"
                            | "dbinom"
                            | "tbinom"
                            | "log"
                            | "ln"
                            | "exp"
                            | "lfloor"
                            | "lceil"
                            | "lvert"
                            | "vert"
                    )
            }
            None => false,
        }
    }

    pub(super) fn power(&mut self) -> Option<Expression> {
        let mut base = self.atom()?;
        loop {
            if self.take_sign('!') {
                base = Expression::Call(Function::Factorial, vec![only_scalar(base)?]);
            } else if self.take_sign('^') {
                if !self.degree() {
                    let exponent = self.exponent()?;
                    base = Expression::power(only_scalar(base)?, exponent);
                }
            } else if self.take_sign('%') || self.take_command("%") {
                base = Expression::Percent(Box::new(only_scalar(base)?));
            } else {
                return Some(base);
            }
        }
    }

    /// A degree sign behind `^`, which says nothing.
    fn degree(&mut self) -> bool {
        let start = self.position;
        let braced = self.take_sign('{');
        if (self.take_command("circ") || self.take_command("degree")) && (!braced || self.take_sign('}')) {
            return true;
        }
        self.position = start;
        false
    }

    /// A group, `(…)` too, or one token.
    pub(super) fn exponent(&mut self) -> Option<Expression> {
        match self.peek()? {
            Token::Sign('{' | '(') | Token::Number(_) | Token::Letter(_) | Token::Named { .. } => self.scalar_atom(),
            Token::Command(name) if symbol(name).is_some() || name == "infty" => self.scalar_atom(),
            Token::Command(name) if name.ends_with("frac") || name == "sqrt" => self.scalar_atom(),
            _ => None,
        }
    }

    pub(super) fn scalar_atom(&mut self) -> Option<Expression> {
        self.nested(Self::atom).filter(Expression::is_scalar)
    }

    fn atom(&mut self) -> Option<Expression> {
        let token = self.peek()?.clone();
        self.position += 1;
        match token {
            Token::Number(digits) => {
                let number = Number::parse(&digits)?;
                if self.take_sign('_') {
                    self.subscript()?;
                }
                Some(Expression::Number(number))
            }
            Token::Letter(letter) => self.letter(letter),
            Token::Named { accent: mark, content } => self.named(&mark, &content),
            Token::Sign('(') => self.bracketed(true),
            Token::Sign('[') => self.bracketed(false),
            Token::Sign('{') => self.group(),
            Token::Sign('|') => {
                self.bars += 1;
                let inner = self.nested(Self::sum);
                self.bars -= 1;
                self.closed(inner?, |parser| parser.take_sign('|'), Function::Abs)
            }
            Token::Sign(_) => None,
            Token::Command(name) => self.command(&name),
        }
    }

    fn closed(&mut self, inner: Expression, close: impl Fn(&mut Self) -> bool, of: Function) -> Option<Expression> {
        (close(self) && inner.is_scalar()).then(|| Expression::Call(of, vec![inner]))
    }

    /// A variable, the constant e, or a function of what stands in parentheses.
    fn letter(&mut self, letter: char) -> Option<Expression> {
        if letter == 'e' {
            return Some(Expression::Constant(Constant::E));
        }
        if let Some(name) = greek(letter) {
            return self.indexed(name.to_owned());
        }
        if self.at_arguments() {
            let arguments = self.arguments()?;
            return Some(Expression::Call(Function::Named(letter.to_string()), arguments));
        }
        self.indexed(letter.to_ascii_lowercase().to_string())
    }

    /// Whether `f(x)` or `f(x, y)` follows: parentheses with one token or a list are arguments, others a factor.
    ///
    /// Looks ahead without reading, so that nested parentheses are not read twice at every level.
    fn at_arguments(&self) -> bool {
        let mut depth = 0_usize;
        let mut commas = 0;
        for (index, token) in self.tokens.iter().skip(self.position).enumerate() {
            match token {
                Token::Sign('(') => depth += 1,
                Token::Sign('[' | '{') if depth > 0 => depth += 1,
                Token::Sign(')' | ']' | '}') if depth <= 1 => return depth == 1 && (commas > 0 || index == 2),
                Token::Sign(')' | ']' | '}') => depth -= 1,
                Token::Sign(',') if depth == 1 => commas += 1,
                _ if depth == 0 => return false,
                _ => {}
            }
        }
        false
    }

    pub(super) fn arguments(&mut self) -> Option<Vec<Expression>> {
        if !self.take_sign('(') {
            return None;
        }
        let mut arguments = vec![self.nested(Self::sum)?];
        while self.take_sign(',') {
            arguments.push(self.nested(Self::sum)?);
        }
        (self.take_sign(')') && arguments.iter().all(Expression::is_scalar)).then_some(arguments)
    }

    fn indexed(&mut self, name: String) -> Option<Expression> {
        if self.take_sign('_') {
            let index = self.subscript()?;
            return Some(Expression::Symbol(format!("{name}_{index}")));
        }
        Some(Expression::Symbol(name))
    }

    /// What stands behind `_`, as text.
    fn subscript(&mut self) -> Option<String> {
        let braced = self.take_sign('{');
        let mut text = String::new();
        loop {
            let piece = match self.peek()? {
                Token::Sign('}') if braced => {
                    self.position += 1;
                    return Some(text);
                }
                Token::Number(piece) | Token::Named { content: piece, .. } | Token::Command(piece) => piece.clone(),
                Token::Letter(letter) => letter.to_string(),
                Token::Sign(sign) if braced => sign.to_string(),
                Token::Sign(_) => return None,
            };
            self.position += 1;
            text.push_str(&piece.to_lowercase());
            if !braced {
                return Some(text);
            }
        }
    }

    fn named(&mut self, mark: &str, content: &str) -> Option<Expression> {
        let name: String = content.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')')).collect();
        match (mark, content) {
            ("", _) => self.indexed(name.to_lowercase()),
            ("mathbb", "R") => Some(reals()),
            _ => self.indexed(format!("{}{{{}}}", accent(mark), name.to_lowercase())),
        }
    }

    fn command(&mut self, name: &str) -> Option<Expression> {
        match name {
            "{" | "lbrace" => self.braced_set(),
            "lbrack" => self.bracketed(false),
            "infty" => Some(Expression::Constant(Constant::Infinity)),
            "pi" => Some(Expression::Constant(Constant::Pi)),
            "emptyset" => Some(Expression::Set(Vec::new())),
            "frac" | "dfrac" | "tfrac" | "cfrac" => {
                let above = self.argument()?;
                Some(Expression::quotient(above, self.argument()?))
            }
            "binom" | "dbinom" | "tbinom" => {
                let above = self.argument()?;
                Some(Expression::Call(Function::Binomial, vec![above, self.argument()?]))
            }
            "sqrt" => self.root(),
            "log" | "ln" => self.logarithm(name),
            "exp" => Some(Expression::power(Expression::Constant(Constant::E), self.operand()?)),
            "lfloor" => self.enclosed("rfloor", Function::Floor),
            "lceil" => self.enclosed("rceil", Function::Ceiling),
            "lvert" => self.enclosed("rvert", Function::Abs),
            "vert" => self.enclosed("vert", Function::Abs),
            _ => match function(name) {
                Some(function) => self.applied_function(function),
                None => self.indexed(symbol(name)?),
            },
        }
    }

    fn enclosed(&mut self, close: &str, of: Function) -> Option<Expression> {
        let inner = self.nested(Self::sum)?;
        self.closed(inner, |parser| parser.take_command(close), of)
    }
}

/// A set of one scalar stands for a group in a product: `2\{x+1\}`.
fn only_scalar(expression: Expression) -> Option<Expression> {
    match expression {
        Expression::Set(mut elements) if elements.len() == 1 => elements.pop().filter(Expression::is_scalar),
        other => Some(other).filter(Expression::is_scalar),
    }
}

fn is_mixed(whole: &Number, fraction: &Number) -> bool {
    let positive = fraction.value() > Number::integer(0).value();
    whole.is_integer() && !fraction.is_decimal() && positive
}
