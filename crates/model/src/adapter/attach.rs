//! An adapter and a model: put on, merged.

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, TensorData};

use super::{Adapter, FACTOR_A, FACTOR_B, Held};
use crate::layers::Mlp;
use crate::linear::{Linear, LowRank};
use crate::model::Model;

impl Model {
    /// The model with an adapter on: pairs of factors beside its matrices, and the parameters that the adapter replaces.
    ///
    /// # Panics
    /// The adapter is for a model of other sizes.
    #[must_use]
    pub fn with_adapter(mut self, adapter: &Adapter) -> Self {
        let scale = adapter.settings.scale();
        for (path, linear) in self.linears_mut() {
            let held = |end: &str| adapter.tensors.get(&format!("{path}{end}"));
            linear.lora = match (held(FACTOR_A), held(FACTOR_B)) {
                (Some(a), Some(b)) => {
                    let [a, b] = [a, b].map(|held| tensor_like(held, &linear.weight.val()));
                    Some(LowRank::new(a, b, scale))
                }
                _ => None,
            };
        }
        let device = self.device();
        self.map(&mut Replace { path: Vec::new(), adapter, device })
    }

    /// The model with its adapter added to the matrices: `W + scale A B`, summed in f32 and rounded to the dtype of `W`.
    #[must_use]
    pub fn merge_adapter(mut self) -> Self {
        for (_, linear) in self.linears_mut() {
            if let Some(lora) = linear.lora.take() {
                linear.weight = Param::from_tensor(lora.merged(linear.weight.val()));
            }
        }
        self
    }

    /// Whether an adapter is on.
    pub fn has_adapter(&self) -> bool {
        #[derive(Default)]
        struct Search {
            inside: bool,
            found: bool,
        }
        impl ModuleVisitor for Search {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.inside |= name == "lora";
            }
            fn exit_module(&mut self, name: &str, _: &str) {
                self.inside &= name != "lora";
            }
            fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
                self.found |= self.inside;
            }
        }
        let mut search = Search::default();
        self.visit(&mut search);
        search.found
    }

    /// Every linear layer that can be adapted, by path.
    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        fn mlp<'a>(found: &mut Vec<(String, &'a mut Linear)>, path: &str, mlp: &'a mut Mlp) {
            found.push((format!("{path}.mlp.gate_proj"), &mut mlp.gate_proj));
            found.push((format!("{path}.mlp.up_proj"), &mut mlp.up_proj));
            found.push((format!("{path}.mlp.down_proj"), &mut mlp.down_proj));
        }
        let mut found = Vec::new();
        if let Some(tower) = &mut self.visual {
            for (index, block) in tower.blocks.iter_mut().enumerate() {
                let path = format!("visual.blocks.{index}");
                found.push((format!("{path}.attn.qkv"), &mut block.attn.qkv));
                found.push((format!("{path}.attn.proj"), &mut block.attn.proj));
                mlp(&mut found, &path, &mut block.mlp);
            }
            found.push(("visual.merger.mlp.fc1".to_owned(), &mut tower.merger.mlp.fc1));
            found.push(("visual.merger.mlp.fc2".to_owned(), &mut tower.merger.mlp.fc2));
        }
        for (index, layer) in self.language_model.layers.iter_mut().enumerate() {
            let path = format!("language_model.layers.{index}");
            let attention = &mut layer.self_attn;
            found.push((format!("{path}.self_attn.q_proj"), &mut attention.q_proj));
            found.push((format!("{path}.self_attn.k_proj"), &mut attention.k_proj));
            found.push((format!("{path}.self_attn.v_proj"), &mut attention.v_proj));
            found.push((format!("{path}.self_attn.o_proj"), &mut attention.o_proj));
            mlp(&mut found, &path, &mut layer.mlp);
        }
        if let Some(head) = &mut self.lm_head {
            found.push(("lm_head".to_owned(), head));
        }
        found
    }
}

/// The values on the device and in the dtype of `other`.
fn tensor_like(held: &Held, other: &Tensor<2>) -> Tensor<2> {
    let data = TensorData::new(held.values.clone(), held.parameter.shape());
    Tensor::from_data(data, (&other.device(), other.dtype()))
}

/// Puts the parameters in that an adapter replaces. Factors are there already.
struct Replace<'a> {
    path: Vec<String>,
    adapter: &'a Adapter,
    device: Device,
}

impl ModuleMapper for Replace<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(held) = self.adapter.tensors.get(&path).filter(|_| !Adapter::is_factor(&path)) else { return param };
        let data = TensorData::new(held.values.clone(), held.parameter.shape());
        let device = self.device.clone();
        param.map(|old| {
            let dtype = old.dtype();
            Tensor::from_data(data, (&device, dtype)).set_require_grad(device.is_autodiff())
        })
    }
}
