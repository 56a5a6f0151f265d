//! The weights as the optimizer sees them: one f32 buffer a parameter, on the host.
//!
//! The buffers are the master copy, whatever the device or dtype of the model: a step writes them into the replicas, and adds the
//! replicas' gradients up.

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, TensorData};
use visionthink_model::{Adapter, Model};

use crate::config::{OptimizerSection, Trainable};
use crate::error::TrainError;

/// One parameter of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Path in the module, as `visual.blocks.0.attn.qkv.weight`.
    pub name: String,
    /// Sizes, as the module stores them.
    pub shape: Vec<usize>,
    /// The values, row by row.
    pub values: Vec<f32>,
}

/// The parameters that learn, in the order of the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    learning: Vec<Parameter>,
}

/// Gradients of [`Parameters`], buffer by buffer.
pub type GradientBuffers = Vec<Vec<f32>>;

impl Parameters {
    /// Copies the parameters of `model` that `trainable` names, and the factors of its adapter.
    ///
    /// # Errors
    /// [`TrainError::NoParameter`] for a prefix without a parameter.
    pub fn of(model: &Model, trainable: &Trainable) -> Result<Self, TrainError> {
        let prefixes = match trainable {
            Trainable::All(_) => None,
            Trainable::Prefixes(prefixes) => Some(prefixes.as_slice()),
        };
        let mut reader = Reader { path: Vec::new(), prefixes, names: Vec::new(), found: Vec::new() };
        model.visit(&mut reader);
        let Reader { names, found, .. } = reader;
        let unknown =
            prefixes.unwrap_or_default().iter().find(|prefix| !names.iter().any(|one| one.starts_with(*prefix)));
        if let Some(prefix) = unknown {
            let example = names.into_iter().next().unwrap_or_default();
            return Err(TrainError::NoParameter { key: "model.trainable", prefix: prefix.clone(), example });
        }
        Ok(Self { learning: found })
    }

    /// Takes the values that `adapter` has: those of the model may be rounded to its dtype.
    pub fn take_from(&mut self, adapter: &Adapter) {
        for parameter in &mut self.learning {
            if let Some(values) = adapter.get(&parameter.name) {
                parameter.values = values.to_vec();
            }
        }
    }

    /// The parameters that learn.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.learning.iter()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.learning.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.learning.len()
    }

    /// Whether nothing learns.
    pub fn is_empty(&self) -> bool {
        self.learning.is_empty()
    }

    /// Numbers that learn.
    pub fn count(&self) -> usize {
        self.learning.iter().map(|one| one.values.len()).sum()
    }

    /// A model that holds these values, in its own dtype. What does not learn is kept and records no gradient.
    pub fn write_into(&self, model: Model) -> Model {
        let device = model.device();
        model.map(&mut Writer { path: Vec::new(), learning: &self.learning, next: 0, device })
    }

    /// Takes the gradients of `model` out of `gradients`, as f32; zeros where a parameter had no part in the loss.
    pub fn take_gradients(&self, model: &Model, gradients: &mut Gradients) -> GradientBuffers {
        let mut taker = Taker { path: Vec::new(), learning: &self.learning, gradients, taken: Vec::new() };
        model.visit(&mut taker);
        taker.taken
    }
}

/// Adds the gradients of a pass to those of the passes before; an empty sum becomes them.
pub(crate) fn add_gradients(sum: &mut GradientBuffers, share: GradientBuffers) {
    if sum.is_empty() {
        *sum = share;
        return;
    }
    for (sum, share) in sum.iter_mut().zip(share) {
        sum.iter_mut().zip(share).for_each(|(sum, share)| *sum += share);
    }
}

/// Refuses a learning rate for parameters that the model does not have: nobody would notice.
///
/// # Errors
/// [`TrainError::NoParameter`].
pub(crate) fn check_lr_factors(model: &Model, settings: &OptimizerSection) -> Result<(), TrainError> {
    let names: Vec<String> = visionthink_model::parameters(model.config()).into_iter().map(|one| one.path).collect();
    let fits = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    match settings.lr_factors.iter().find(|factor| !fits(&factor.prefix)) {
        None => Ok(()),
        Some(factor) => Err(TrainError::NoParameter {
            key: "optimizer.lr_factors",
            prefix: factor.prefix.clone(),
            example: names.into_iter().next().unwrap_or_default(),
        }),
    }
}

struct Reader<'a> {
    path: Vec<String>,
    /// `None` for everything.
    prefixes: Option<&'a [String]>,
    names: Vec<String>,
    found: Vec<Parameter>,
}

impl Reader<'_> {
    fn learns(&self, name: &str) -> bool {
        let Some(prefixes) = self.prefixes else { return true };
        Adapter::is_factor(name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

impl ModuleVisitor for Reader<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let name = self.path.join(".");
        if self.learns(&name) {
            let tensor = param.val();
            let shape = tensor.dims().to_vec();
            self.found.push(Parameter { name: name.clone(), shape, values: to_host(tensor) });
        }
        self.names.push(name);
    }
}

struct Writer<'a> {
    path: Vec<String>,
    learning: &'a [Parameter],
    next: usize,
    device: Device,
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let learns = self.learning.get(self.next).filter(|one| one.name == self.path.join("."));
        let Some(parameter) = learns else { return param.set_require_grad(false) };
        self.next += 1;
        let data = TensorData::new(parameter.values.clone(), parameter.shape.clone());
        let device = self.device.clone();
        param.map(|old| {
            let dtype = old.dtype();
            Tensor::from_data(data, (&device, dtype)).set_require_grad(device.is_autodiff())
        })
    }
}

struct Taker<'a> {
    path: Vec<String>,
    learning: &'a [Parameter],
    gradients: &'a mut Gradients,
    taken: GradientBuffers,
}

impl ModuleVisitor for Taker<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let learns = self.learning.get(self.taken.len()).filter(|one| one.name == self.path.join("."));
        let Some(parameter) = learns else { return };
        let gradient = param.val().grad_remove(self.gradients);
        self.taken.push(gradient.map_or_else(|| vec![0.0; parameter.values.len()], to_host));
    }
}

fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_to_vec_as().expect("a float tensor reads back as f32")
}
