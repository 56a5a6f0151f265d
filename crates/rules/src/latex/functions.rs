//! Commands with arguments: roots, logarithms, named functions.

use crate::expression::{Constant, Expression, Function};

use super::commands::{function, inverse};
use super::lexer::Token;
use super::parser::Parser;

impl Parser {
    /// The argument of a command: a group, or one digit, letter or command.
    pub(super) fn argument(&mut self) -> Option<Expression> {
        if let Some(Token::Number(digits)) = self.peek()
            && digits.len() > 1
        {
            let (first, rest) = digits.split_at(1);
            let split = [Token::Number(first.to_owned()), Token::Number(rest.to_owned())];
            self.tokens.splice(self.position..=self.position, split);
        }
        self.scalar_atom()
    }

    pub(super) fn root(&mut self) -> Option<Expression> {
        let mut degree = Expression::integer(2);
        if self.take_sign('[') {
            degree = self.nested(Self::sum).filter(Expression::is_scalar)?;
            if !self.take_sign(']') {
                return None;
            }
        }
        Some(Expression::root(self.argument()?, degree))
    }

    pub(super) fn logarithm(&mut self, name: &str) -> Option<Expression> {
        let mut base = if name == "ln" { Expression::Constant(Constant::E) } else { Expression::integer(10) };
        if self.take_sign('_') {
            base = self.argument()?;
        }
        Some(Expression::Call(Function::Log, vec![self.operand()?, base]))
    }

    /// A named function with its power and its arguments.
    pub(super) fn applied_function(&mut self, function: Function) -> Option<Expression> {
        let power = if self.take_sign('^') { Some(self.exponent()?) } else { None };
        if matches!(function, Function::Maximum | Function::Minimum) {
            return Some(Expression::Call(function, self.arguments()?));
        }
        let argument = self.operand()?;
        match power {
            None => Some(Expression::Call(function, vec![argument])),
            Some(power) if power == Expression::integer(-1) => {
                Some(Expression::Call(inverse(&function)?, vec![argument]))
            }
            Some(power) => Some(Expression::power(Expression::Call(function, vec![argument]), power)),
        }
    }

    /// What a function without parentheses applies to: factors up to the next function or sign.
    pub(super) fn operand(&mut self) -> Option<Expression> {
        if matches!(self.peek(), Some(Token::Sign('(' | '{' | '['))) {
            return self.scalar_atom();
        }
        let mut operand = self.nested(Self::power)?;
        loop {
            let divide = self.take_sign('/');
            let next_is_function = matches!(self.peek(), Some(Token::Command(name))
                if function(name).is_some() || matches!(name.as_str(), "log" | "ln" | "exp"));
            if !divide && (next_is_function || !self.at_factor()) {
                return Some(operand).filter(Expression::is_scalar);
            }
            let right = self.nested(Self::power)?;
            if !operand.is_scalar() || !right.is_scalar() {
                return None;
            }
            let combine = if divide { Expression::quotient } else { Expression::product };
            operand = combine(operand, right);
        }
    }
}
