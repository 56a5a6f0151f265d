//! The modules that can be adapted, and the names they go by.

use std::collections::BTreeMap;

use super::{FACTOR_A, FACTOR_B};
use crate::config::Config;
use crate::error::ModelError;
use crate::weights::{Layout, Parameter, parameters};

/// The linear layers of a model of `config`: their weights. Neither the embedding nor the patch embedding is one.
fn linears(config: &Config) -> impl Iterator<Item = Parameter> {
    let is_linear = |one: &Parameter| one.layout == Layout::Transposed && !one.path.contains("embed_tokens");
    parameters(config).into_iter().filter(is_linear)
}

/// The path of the module of a parameter.
pub(super) fn module_of(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(module, _)| module)
}

/// See [`Adapter::adapted`](super::Adapter::adapted).
pub(super) fn modules(config: &Config, targets: &[String]) -> Result<Vec<String>, ModelError> {
    let modules: Vec<(String, String)> =
        linears(config).map(|weight| (kind(&weight), module_of(&weight.path).to_owned())).collect();
    if let Some(found) = targets.iter().find(|target| !modules.iter().any(|(kind, _)| kind == *target)) {
        let mut known: Vec<String> = Vec::new();
        for (kind, _) in modules {
            if !known.contains(&kind) {
                known.push(kind);
            }
        }
        return Err(ModelError::UnknownTarget { found: found.clone(), known });
    }
    Ok(modules.into_iter().filter(|(kind, _)| targets.contains(kind)).map(|(_, module)| module).collect())
}

/// What a run file calls a module: without the number of its block.
fn kind(weight: &Parameter) -> String {
    let name = weight.file_name();
    let module = module_of(&name);
    if let Some(in_block) = module.strip_prefix("visual.blocks.") {
        let (_, rest) = in_block.split_once('.').unwrap_or(("", in_block));
        return format!("visual.{rest}");
    }
    if module.starts_with("visual.") {
        return module.to_owned();
    }
    module.rsplit('.').next().unwrap_or(module).to_owned()
}

/// The two factors of a module.
///
/// # Panics
/// The module is none of [`modules`].
pub(super) fn factors(config: &Config, module: &str, rank: usize) -> [Parameter; 2] {
    let weight = linears(config).find(|weight| module_of(&weight.path) == module).expect("the module was listed");
    factors_of(&weight, rank)
}

fn factors_of(weight: &Parameter, rank: usize) -> [Parameter; 2] {
    let module = module_of(&weight.path);
    let [outputs, inputs] = [weight.file_shape[0], weight.file_shape[1]];
    let factor =
        |end: &str, file_shape| Parameter { path: format!("{module}{end}"), file_shape, layout: Layout::Transposed };
    [factor(FACTOR_A, vec![rank, inputs]), factor(FACTOR_B, vec![outputs, rank])]
}

/// Everything that an adapter may hold, by path: factors of all linear layers, and all parameters.
pub(super) fn by_path(config: &Config, rank: usize) -> BTreeMap<String, Parameter> {
    let factors = linears(config).flat_map(|weight| factors_of(&weight, rank));
    parameters(config).into_iter().chain(factors).map(|one| (one.path.clone(), one)).collect()
}
