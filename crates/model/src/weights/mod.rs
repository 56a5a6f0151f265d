//! Parameters of a model: which there are, and how they come from files, go to files, or start from noise.

mod checkpoint;
pub(crate) mod convert;
mod hub;
mod init;
mod load;
mod parameters;
mod save;

use std::collections::HashMap;

use burn::Tensor;
use burn::module::Param;
use burn::tensor::{DType, Device, TensorData};

use crate::linear::Linear;

pub use hub::{Download, resolve, resolve_dataset, resolve_with_progress};
pub use init::{InitOptions, PatchEmbedInit};
pub use parameters::{Layout, Parameter, parameters};

pub(crate) use init::{init, uniform};
pub(crate) use load::load;
pub(crate) use parameters::released_name;
pub(crate) use save::{save, write_then_rename};

/// Element type of weights, in memory or in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    /// Single precision; what the CPU computes fastest in.
    #[default]
    F32,
    /// Brain float; half the memory.
    Bf16,
    /// Half precision.
    F16,
}

impl Dtype {
    /// As `config.json` writes it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    pub(crate) fn of_tensor(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// The element type of a tensor in a file; `None` where it is no weight.
    pub(crate) fn from_file(dtype: safetensors::Dtype) -> Option<Self> {
        [Self::F32, Self::Bf16, Self::F16].into_iter().find(|one| one.of_file() == dtype)
    }

    pub(crate) fn of_file(self) -> safetensors::Dtype {
        match self {
            Self::F32 => safetensors::Dtype::F32,
            Self::Bf16 => safetensors::Dtype::BF16,
            Self::F16 => safetensors::Dtype::F16,
        }
    }
}

/// How to read a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadOptions {
    /// Element type of the weights in memory, and so of the activations.
    pub dtype: Dtype,
}

/// Parameters on their device, by path, waiting to be built into modules.
pub(crate) struct Weights {
    tensors: HashMap<String, Value>,
}

/// A parameter in the layout of the modules.
enum Value {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
}

impl Weights {
    fn new() -> Self {
        Self { tensors: HashMap::new() }
    }

    /// Adds a parameter given in the layout of the modules.
    fn insert(&mut self, parameter: &Parameter, values: Vec<f32>, dtype: Dtype, device: &Device) {
        let value = match *parameter.shape().as_slice() {
            [size] => Value::Vector(Tensor::from_data(data(values, &[size], dtype), (device, dtype.of_tensor()))),
            [rows, columns] => {
                let data = data(values, &[rows, columns], dtype);
                Value::Matrix(Tensor::from_data(data, (device, dtype.of_tensor())))
            }
            _ => unreachable!("parameters are vectors and matrices"),
        };
        self.tensors.insert(parameter.path.clone(), value);
    }

    /// Takes a vector. The list of parameters and the modules are made from one configuration, so it is there.
    pub(crate) fn vector(&mut self, path: &str) -> Param<Tensor<1>> {
        match self.tensors.remove(path) {
            Some(Value::Vector(vector)) => Param::from_tensor(vector),
            _ => unreachable!("`{path}` is a vector in the list of parameters"),
        }
    }

    /// Takes a matrix.
    pub(crate) fn matrix(&mut self, path: &str) -> Param<Tensor<2>> {
        match self.tensors.remove(path) {
            Some(Value::Matrix(matrix)) => Param::from_tensor(matrix),
            _ => unreachable!("`{path}` is a matrix in the list of parameters"),
        }
    }

    /// Takes a linear layer, with its bias where the list has one.
    pub(crate) fn linear(&mut self, path: &str) -> Linear {
        let weight = self.matrix(&format!("{path}.weight"));
        let bias = format!("{path}.bias");
        let bias = self.tensors.contains_key(&bias).then(|| self.vector(&bias));
        Linear { weight, bias, lora: None }
    }
}

/// `values` in the element type asked for, without a copy for f32.
fn data(values: Vec<f32>, shape: &[usize], dtype: Dtype) -> TensorData {
    match dtype {
        Dtype::F32 => TensorData::new(values, shape),
        Dtype::Bf16 => TensorData::new(values.into_iter().map(half::bf16::from_f32).collect::<Vec<_>>(), shape),
        Dtype::F16 => TensorData::new(values.into_iter().map(half::f16::from_f32).collect::<Vec<_>>(), shape),
    }
}
