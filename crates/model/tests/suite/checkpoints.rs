//! Checkpoint folders in and out, whole and broken.

use std::collections::HashMap;
use std::path::Path;

use crate::tiny::{self, close, model, words};
use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Device;
use safetensors::tensor::{Dtype as FileDtype, SafeTensors, TensorView};
use visionthink_model::{Config, Dtype, InitOptions, LoadOptions, Model, PatchEmbedInit, parameters};

const F32: LoadOptions = LoadOptions { dtype: Dtype::F32 };

fn load(folder: &Path) -> Result<Model, visionthink_model::ModelError> {
    Model::load(folder, &F32, &Device::flex())
}

/// The message of a load that fails, with the folder cut off.
fn message(folder: &Path) -> String {
    let error = load(folder).expect_err("this checkpoint must not load");
    error.to_string().replace(&format!("{}/", folder.display()), "").replace(&folder.display().to_string(), "FOLDER")
}

/// A saved tiny checkpoint.
fn saved(tied: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    model(tied).save(folder.path(), Dtype::F32).unwrap();
    folder
}

/// Name, element type, shape and bytes of every tensor of a file, changed by `change`, written back.
type Tensors = HashMap<String, (FileDtype, Vec<usize>, Vec<u8>)>;

fn read(file: &Path) -> Tensors {
    let bytes = fs_err::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors
        .iter()
        .map(|(name, view)| (name.to_string(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

fn write(file: &Path, tensors: &Tensors) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
    fs_err::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn edit(folder: &Path, change: impl FnOnce(&mut Tensors)) {
    let file = folder.join("model.safetensors");
    let mut tensors = read(&file);
    change(&mut tensors);
    write(&file, &tensors);
}

fn edit_config(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let file = folder.join("config.json");
    let mut config = serde_json::from_str(&fs_err::read_to_string(&file).unwrap()).unwrap();
    change(&mut config);
    fs_err::write(&file, config.to_string()).unwrap();
}

/// Logits of a few words.
fn logits(model: &Model) -> Tensor<2> {
    model.logits(Model::last_rows(tiny::alone(model, &words(6, 1))))
}

#[test]
fn what_is_saved_loads_to_the_same_numbers() {
    for tied in [true, false] {
        let folder = saved(tied);
        let loaded = load(folder.path()).unwrap();
        assert_eq!(loaded.config(), model(tied).config());
        close(&logits(&loaded), &logits(&model(tied)), 0.0);
        let names: Vec<String> = fs_err::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 2, "no temporary file stays: {names:?}");
    }
}

#[test]
fn a_file_in_half_precision_is_what_rounding_gives_and_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    model(true).save(folder.path(), Dtype::Bf16).unwrap();
    let first = fs_err::read(folder.path().join("model.safetensors")).unwrap();
    let loaded = load(folder.path()).unwrap();
    close(&logits(&loaded), &logits(&model(true)), 0.2);
    loaded.save(folder.path(), Dtype::Bf16).unwrap();
    assert_eq!(fs_err::read(folder.path().join("model.safetensors")).unwrap(), first);
}

#[test]
fn a_model_in_half_precision_computes_nearly_the_same() {
    let folder = saved(false);
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let half = Model::load(folder.path(), &LoadOptions { dtype }, &Device::flex()).unwrap();
        let found = logits(&half).cast(burn::tensor::DType::F32);
        close(&found, &logits(&model(false)), 0.3);
    }
}

#[test]
fn files_have_the_names_and_shapes_of_released_checkpoints() {
    let folder = saved(false);
    let tensors = read(&folder.path().join("model.safetensors"));
    for (name, shape) in [
        ("visual.patch_embed.proj.weight", vec![32, 3, 2, 14, 14]),
        ("visual.blocks.1.attn.qkv.weight", vec![96, 32]),
        ("visual.merger.mlp.0.weight", vec![128, 128]),
        ("visual.merger.mlp.2.bias", vec![48]),
        ("model.embed_tokens.weight", vec![64, 48]),
        ("model.layers.2.self_attn.k_proj.weight", vec![24, 48]),
        ("model.layers.0.mlp.down_proj.weight", vec![48, 80]),
        ("lm_head.weight", vec![64, 48]),
    ] {
        assert_eq!(tensors[name].1, shape, "{name}");
    }
    assert_eq!(tensors.len(), parameters(model(false).config()).len());
}

#[test]
fn the_list_of_parameters_is_what_the_modules_hold() {
    struct Paths(Vec<String>, Vec<(String, Vec<usize>)>);
    impl ModuleVisitor for Paths {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push((self.0.join("."), param.dims().to_vec()));
        }
    }
    for tied in [true, false] {
        let model = model(tied);
        let mut found = Paths(Vec::new(), Vec::new());
        model.visit(&mut found);
        let mut listed: Vec<_> =
            parameters(model.config()).into_iter().map(|one| (one.path.clone(), one.shape())).collect();
        found.1.sort();
        listed.sort();
        assert_eq!(found.1, listed);
    }
}

#[test]
fn new_names_and_shards_load_like_released_ones() {
    let folder = saved(true);
    let file = folder.path().join("model.safetensors");
    let tensors = read(&file);
    let renamed = |name: &String| match name.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => format!("model.{name}"),
    };
    let mut shards = [Tensors::new(), Tensors::new()];
    let mut map = serde_json::Map::new();
    for (index, (name, tensor)) in tensors.iter().enumerate() {
        shards[index % 2].insert(renamed(name), tensor.clone());
        map.insert(renamed(name), format!("part-{}.safetensors", index % 2).into());
    }
    fs_err::remove_file(&file).unwrap();
    for (index, shard) in shards.iter().enumerate() {
        write(&folder.path().join(format!("part-{index}.safetensors")), shard);
    }
    let index = serde_json::json!({"metadata": {"total_size": 0}, "weight_map": map});
    fs_err::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    close(&logits(&load(folder.path()).unwrap()), &logits(&model(true)), 0.0);

    fs_err::remove_file(folder.path().join("part-1.safetensors")).unwrap();
    assert_eq!(
        message(folder.path()),
        "model.safetensors.index.json: shard `part-1.safetensors` is named in the index and missing in the folder"
    );
}

#[test]
fn a_head_beside_a_tied_embedding_is_ignored() {
    let folder = saved(true);
    edit(folder.path(), |tensors| {
        let embedding = tensors["model.embed_tokens.weight"].clone();
        tensors.insert("lm_head.weight".into(), embedding);
    });
    close(&logits(&load(folder.path()).unwrap()), &logits(&model(true)), 0.0);
}

#[test]
fn a_broken_set_of_tensors_is_named() {
    let name = "visual.blocks.1.attn.qkv.weight";
    let folder = saved(true);
    edit(folder.path(), |tensors| {
        tensors.get_mut(name).unwrap().1 = vec![32, 96];
    });
    assert_eq!(message(folder.path()), format!("model.safetensors: `{name}` is [32, 96], expected [96, 32]"));

    let folder = saved(true);
    edit(folder.path(), |tensors| drop(tensors.remove(name)));
    assert_eq!(message(folder.path()), format!("model.safetensors: tensor `{name}` is missing"));

    let folder = saved(true);
    edit(folder.path(), |tensors| {
        let tensor = tensors[name].clone();
        tensors.insert("visual.blocks.9.attn.qkv.weight".into(), tensor);
    });
    assert_eq!(
        message(folder.path()),
        "model.safetensors: tensor `visual.blocks.9.attn.qkv.weight` does not belong to this model; is `config.json` the \
         right one?"
    );

    let folder = saved(true);
    edit(folder.path(), |tensors| {
        tensors.get_mut(name).unwrap().0 = FileDtype::I32;
    });
    assert_eq!(message(folder.path()), format!("model.safetensors: `{name}` has dtype I32, expected F32, BF16 or F16"));
}

#[test]
fn a_damaged_file_is_named_with_its_length() {
    let folder = saved(true);
    let file = folder.path().join("model.safetensors");
    let bytes = fs_err::read(&file).unwrap();
    fs_err::write(&file, &bytes[..bytes.len() - 100]).unwrap();
    let (found, expected) = (bytes.len() - 100, bytes.len());
    assert_eq!(
        message(folder.path()),
        format!(
            "model.safetensors: {found} bytes long, the header promises {expected}; the file is truncated or damaged"
        )
    );
    for cut in [0, 5, 8, 300] {
        fs_err::write(&file, &bytes[..cut]).unwrap();
        assert!(message(folder.path()).starts_with("model.safetensors: "), "cut at {cut}");
    }
    fs_err::write(&file, b"this is not a safetensors file at all").unwrap();
    assert_eq!(message(folder.path()), "model.safetensors: not a readable safetensors file");
}

#[test]
fn a_folder_without_its_files_says_which() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(message(folder.path()), "FOLDER: no `config.json` in this folder");
    fs_err::write(folder.path().join("config.json"), tiny::json(true).to_string()).unwrap();
    assert_eq!(
        message(folder.path()),
        "FOLDER: no `model.safetensors` or `model.safetensors.index.json` in this folder"
    );
}

#[test]
fn a_configuration_that_cannot_be_is_refused_by_key() {
    let change = |change: fn(&mut serde_json::Value)| {
        let folder = saved(true);
        edit_config(folder.path(), change);
        message(folder.path())
    };
    assert_eq!(
        change(|config| drop(config.as_object_mut().unwrap().remove("num_key_value_heads"))),
        "config.json: key `num_key_value_heads` is missing; sizes are never guessed"
    );
    assert_eq!(
        change(|config| drop(config["vision_config"].as_object_mut().unwrap().remove("depth"))),
        "config.json: key `vision_config.depth` is missing; sizes are never guessed"
    );
    assert_eq!(
        change(|config| config["hidden_size"] = "wide".into()),
        "config.json: `hidden_size` is \"wide\", expected a positive whole number"
    );
    assert_eq!(
        change(|config| config["rope_scaling"]["mrope_section"] = serde_json::json!([2, 2, 3])),
        "config.json: `mrope_section` is [2, 2, 3], expected a sum of 6, half the head width"
    );
    assert_eq!(
        change(|config| config["rope_scaling"]["type"] = "yarn".into()),
        "config.json: `rope_parameters.type` is \"yarn\", expected `default` or `mrope`: scaled rotations are not supported"
    );
    assert_eq!(
        change(|config| config["architectures"] = serde_json::json!(["LlamaForCausalLM"])),
        "config.json: architecture `LlamaForCausalLM` is not supported, expected one of \
         Qwen2_5_VLForConditionalGeneration, Qwen2ForCausalLM, Qwen3ForCausalLM"
    );
    let folder = saved(true);
    fs_err::write(folder.path().join("config.json"), "{").unwrap();
    assert_eq!(message(folder.path()), "config.json: not valid JSON");
}

#[test]
fn the_three_layouts_of_a_configuration_are_one() {
    let flat = tiny::json(true);
    let mut text = flat.clone();
    let text = text.as_object_mut().unwrap();
    let vision = text.remove("vision_config").unwrap();
    let architectures = text.remove("architectures").unwrap();
    text.remove("model_type");
    text.remove("rope_theta");
    text.remove("rope_scaling");
    text.insert(
        "rope_parameters".into(),
        serde_json::json!({"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 2, 2]}),
    );
    let nested = serde_json::json!({
        "architectures": architectures,
        "model_type": "qwen2_5_vl",
        "text_config": text,
        "vision_config": vision,
        "image_token_id": tiny::IMAGE,
        "a_key_of_the_future": {"x": 1},
    });
    let mut both = flat.clone();
    both["rope_scaling"] = serde_json::json!({"type": "default", "rope_type": "default", "mrope_section": [2, 2, 2]});
    both["text_config"] = flat.clone();
    let read = |json: &serde_json::Value| Config::from_json(&json.to_string(), Path::new("config.json")).unwrap();
    assert_eq!(read(&nested), read(&flat));
    assert_eq!(read(&both), read(&flat));
    assert_eq!(read(&read(&flat).to_json(Dtype::Bf16)), read(&flat));
}

#[test]
fn one_seed_gives_one_model_and_another_seed_another() {
    let options = |seed| InitOptions { seed, patch_embed: PatchEmbedInit::ZeroMean, dtype: Dtype::F32 };
    let make = |seed| Model::init(tiny::config(true), &options(seed), &Device::flex());
    let first = tiny::values(&logits(&make(1)));
    assert_eq!(first, tiny::values(&logits(&make(1))));
    assert_ne!(first, tiny::values(&logits(&make(2))));
}

#[test]
fn zero_mean_filters_ignore_the_mean_of_each_colour_but_for_a_few() {
    let options = InitOptions { seed: 3, patch_embed: PatchEmbedInit::ZeroMean, dtype: Dtype::F32 };
    let mut config = tiny::config(true);
    config.vision.as_mut().unwrap().hidden_size = 128;
    let model = Model::init(config, &options, &Device::flex());
    let weight = model.visual.unwrap().patch_embed.proj.weight.val();
    assert_eq!(weight.dims(), [1176, 128]);
    let norms = tiny::values(&weight.clone().square().sum_dim(0));
    assert!(norms[..12].iter().all(|norm| (norm - 0.16).abs() < 1e-4), "flat filters have norm 0.4");
    assert!(norms[12..].iter().all(|norm| (norm - 1.0).abs() < 1e-4), "the others have norm 1");

    // [colours, frames * pixels, C]
    let colours = weight.reshape([3, 2 * 196, 128]);
    let sums = tiny::values(&colours.clone().sum_dim(1));
    let flat = (0..128).filter(|filter| (0..3).any(|colour| sums[colour * 128 + filter].abs() > 1e-3)).count();
    assert_eq!(flat, 12, "filters that carry mean colour");
    let same = tiny::values(&(colours.clone().narrow(0, 0, 1) - colours.narrow(0, 1, 1)).abs().sum_dim(1));
    let luminance = same.iter().filter(|difference| **difference < 1e-4).count();
    assert_eq!(luminance, 70, "60 % of the others look at luminance");
}
