//! Loss, gradients of every parameter, and the losses of the first AdamW steps.

use std::collections::HashMap;

use burn::Tensor;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, TensorData};
use visionthink_model::{Dtype, LoadOptions, Model, MropeBatch, Trace, kernels, mrope_positions, parameters};

use crate::cases::Case;
use crate::files::Checkpoint;
use crate::report::{Run, values};
use crate::single::{LOGITS, compare_logits, encode, merge};

const LOSS: f32 = 2e-5;
const GRADIENT: f32 = 1e-4;
const OPTIMIZER_LOSS: f32 = 1e-3;

pub(crate) fn run(checkpoint: &Checkpoint, case: &Case) -> Run {
    let mut run = Run::new(&case.tensors.name);
    let device = Device::flex().autodiff();
    let mut model = Model::load(&checkpoint.folder, &LoadOptions { dtype: Dtype::F32 }, &device).unwrap();

    let hidden = forward(&model, checkpoint, case);
    compare_logits(&mut run, &model, case, &case.ids(), hidden, LOGITS);

    let loss = loss(&model, checkpoint, case);
    run.tensor("loss", &loss.clone().inner(), case.tensors.floats("loss"), LOSS);
    let gradients = collect(&model, &loss.backward());
    compare_gradients(&mut run, &model, case, &gradients);

    let settings = &case.json["adamw"];
    let expected = numbers(&settings["loss_before_step"]);
    let mut optimizer = AdamW::new(settings);
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in 0..expected.len() {
        let loss = self::loss(&model, checkpoint, case);
        losses.push(values(&loss.clone().inner())[0]);
        let gradients = collect(&model, &loss.backward());
        norms.push(total_norm(&gradients) as f32);
        model = optimizer.step(model, gradients, &device);
    }
    run.close("losses of AdamW steps", &losses, &expected, OPTIMIZER_LOSS);
    // Norms grow with the loss's distance from the recorded path; the limit is that of the losses, relative.
    run.close_relative("gradient norms of AdamW steps", &norms, &numbers(&settings["grad_norm_before_clip"]), 1e-2);
    run
}

fn numbers(value: &serde_json::Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn forward(model: &Model, checkpoint: &Checkpoint, case: &Case) -> Tensor<3> {
    let (ids, grids) = (case.ids(), case.grids());
    let images = encode(model, checkpoint, case, &grids, &mut Trace::default());
    let (positions, _) = mrope_positions(&ids, model.config().image_token_id(), &grids, merge(model)).unwrap();
    model.forward(model.embed(&[&ids], images).unwrap(), &MropeBatch::single(&positions), None)
}

/// Mean negative log-probability of the labels that are not -100; the hidden state before a label predicts it.
fn loss(model: &Model, checkpoint: &Checkpoint, case: &Case) -> Tensor<1> {
    let hidden = forward(model, checkpoint, case);
    let width = hidden.dims()[2];
    let labels = case.tensors.integers("labels");
    let targets: Vec<(usize, i64)> =
        (1..labels.len()).filter(|at| labels[*at] != -100).map(|at| (at - 1, i64::from(labels[at]))).collect();
    let device = hidden.device();
    let ints = |values: Vec<i64>| {
        let count = values.len();
        Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device)
    };
    let rows = ints(targets.iter().map(|(row, _)| *row as i64).collect());
    let hidden = hidden.reshape([labels.len(), width]).select(0, rows);
    let ids = ints(targets.iter().map(|(_, id)| *id).collect());
    kernels::cross_entropy_rows(model.logits(hidden), ids).mean().neg()
}

/// Gradients by path, in the layout of the modules.
type Collected = HashMap<String, Vec<f32>>;

fn collect(model: &Model, gradients: &Gradients) -> Collected {
    struct Visitor<'a> {
        path: Vec<String>,
        gradients: &'a Gradients,
        found: Collected,
    }
    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let path = self.path.join(".");
            let gradient = param.val().grad(self.gradients).unwrap_or_else(|| panic!("no gradient for {path}"));
            self.found.insert(path, values(&gradient));
        }
    }
    let mut visitor = Visitor { path: Vec::new(), gradients, found: HashMap::new() };
    model.visit(&mut visitor);
    visitor.found
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

fn total_norm(gradients: &Collected) -> f64 {
    gradients.values().map(|gradient| norm(gradient).powi(2)).sum::<f64>().sqrt()
}

fn compare_gradients(run: &mut Run, model: &Model, case: &Case, gradients: &Collected) {
    let norms = case.json["grad_l2_norm"].as_object().unwrap();
    let list = parameters(model.config());
    let mut compared = 0;
    for parameter in &list {
        let gradient = &gradients[&parameter.path];
        let names = [parameter.new_file_name(), parameter.file_name()];
        let Some(expected) = names.iter().find_map(|name| norms.get(name)) else {
            run.equal(&parameter.path, &["no recorded norm"], &["a recorded norm"]);
            continue;
        };
        compared += 1;
        let expected = [expected.as_f64().unwrap() as f32];
        run.close_relative(&format!("norm of grad.{}", parameter.path), &[norm(gradient) as f32], &expected, GRADIENT);
        for name in names.iter().map(|name| format!("grad.{name}")).filter(|name| case.tensors.has(name)) {
            let in_file_layout = parameter.to_file_layout(gradient.clone());
            run.close_in_norm(&name, &in_file_layout, case.tensors.floats(&name), GRADIENT);
        }
    }
    run.equal("parameters with a recorded norm", &[compared], &[norms.len()]);
    let total = case.json["grad_l2_norm_total"].as_f64().unwrap() as f32;
    run.close_relative("total gradient norm", &[total_norm(gradients) as f32], &[total], GRADIENT);
}

/// `torch.optim.AdamW` behind `clip_grad_norm_`, with the settings of the case.
struct AdamW {
    rate: f32,
    betas: [f32; 2],
    epsilon: f32,
    decay: f32,
    clip: f32,
    steps: i32,
    moments: HashMap<String, [Vec<f32>; 2]>,
}

impl AdamW {
    fn new(settings: &serde_json::Value) -> Self {
        let number = |key: &str| settings[key].as_f64().unwrap() as f32;
        let betas = numbers(&settings["betas"]);
        Self {
            rate: number("lr"),
            betas: [betas[0], betas[1]],
            epsilon: number("eps"),
            decay: number("weight_decay"),
            clip: number("clip_grad_norm"),
            steps: 0,
            moments: HashMap::new(),
        }
    }

    fn step(&mut self, model: Model, mut gradients: Collected, device: &Device) -> Model {
        struct Mapper<'a> {
            path: Vec<String>,
            update: &'a mut dyn FnMut(&str, Vec<f32>) -> Vec<f32>,
            device: &'a Device,
        }
        impl ModuleMapper for Mapper<'_> {
            fn enter_module(&mut self, name: &str, _container: &str) {
                self.path.push(name.into());
            }
            fn exit_module(&mut self, _name: &str, _container: &str) {
                self.path.pop();
            }
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let path = self.path.join(".");
                param.map(|tensor| {
                    let shape = tensor.dims();
                    let values = (self.update)(&path, values(&tensor.inner()));
                    Tensor::from_data(TensorData::new(values, shape), self.device).require_grad()
                })
            }
        }
        self.steps += 1;
        let scale = (f64::from(self.clip) / (total_norm(&gradients) + 1e-6)).min(1.0) as f32;
        let mut update = |path: &str, weights: Vec<f32>| {
            let gradient = gradients.remove(path).unwrap();
            self.update(path, weights, gradient.into_iter().map(|value| value * scale))
        };
        model.map(&mut Mapper { path: Vec::new(), update: &mut update, device })
    }

    fn update(&mut self, path: &str, weights: Vec<f32>, gradient: impl Iterator<Item = f32>) -> Vec<f32> {
        let [beta1, beta2] = self.betas;
        let count = weights.len();
        let [first, second] = self.moments.entry(path.into()).or_insert_with(|| [vec![0.0; count], vec![0.0; count]]);
        let step = self.rate / (1.0 - beta1.powi(self.steps));
        let root = (1.0 - beta2.powi(self.steps)).sqrt();
        weights
            .into_iter()
            .zip(gradient)
            .enumerate()
            .map(|(at, (weight, gradient))| {
                first[at] = beta1 * first[at] + (1.0 - beta1) * gradient;
                second[at] = beta2 * second[at] + (1.0 - beta2) * gradient * gradient;
                weight * (1.0 - self.rate * self.decay) - step * first[at] / (second[at].sqrt() / root + self.epsilon)
            })
            .collect()
    }
}
