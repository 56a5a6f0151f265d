//! Gradients of more than one backward pass.

use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Gradients;

/// Moves the gradients that `from` holds of the parameters of `module` into `into`; a parameter that has one in both gets the sum.
///
/// A loss that is cut into pieces has a backward pass for each: burn has no way to let them add into one container.
pub fn add_gradients(module: &impl Module, from: Gradients, into: &mut Gradients) {
    module.visit(&mut Adder { from, into });
}

struct Adder<'a> {
    from: Gradients,
    into: &'a mut Gradients,
}

impl ModuleVisitor for Adder<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parameter = param.val();
        let Some(gradient) = parameter.grad_remove(&mut self.from) else { return };
        let sum = match parameter.grad_remove(self.into) {
            Some(held) => held + gradient,
            None => gradient,
        };
        parameter.grad_replace(self.into, sum);
    }
}
