//! Random weights.

use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Dtype, Layout, Parameter, Weights, convert, parameters};
use crate::config::{Config, VisionConfig};

/// How to make random weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitOptions {
    /// Every tensor draws from its own stream of this seed, so one changes no other.
    pub seed: u64,
    /// How the patch embedding starts.
    pub patch_embed: PatchEmbedInit,
    /// Element type of the weights.
    pub dtype: Dtype,
}

/// How the patch embedding starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PatchEmbedInit {
    /// Like every other weight: normal with the configuration's standard deviation.
    #[default]
    Normal,
    /// Filters without a mean. The patch embedding has no bias, and white paper dominates every patch; filters that
    /// ignore the mean of each colour see what is drawn on it, and have norm 1. Most look at luminance; a dozen are flat
    /// and carry the mean colour as the difference between channels, so that paper, grey and black leave them silent.
    ZeroMean,
}

/// Filters of [`PatchEmbedInit::ZeroMean`] that carry mean colour.
const MEAN_FILTERS: usize = 12;
/// Norm of those filters. All pixels of a coloured patch answer a flat filter together, some ten times as strongly as a digit answers a
/// filter of the same norm without a mean, but there are ten times as many of the latter: with 0.4 colour and detail share the energy.
const MEAN_FILTER_NORM: f32 = 0.4;
/// Share of its filters that look at luminance, the same pattern in every colour.
const LUMINANCE_SHARE: f32 = 0.6;

/// See [`Model::init`](crate::Model::init).
///
/// Weights of linear layers and embeddings are normal(0, `initializer_range`), biases zero, norms one.
pub(crate) fn init(config: &Config, options: &InitOptions, device: &Device) -> Weights {
    let mut weights = Weights::new();
    for parameter in &parameters(config) {
        let mut normal = Normal::new(options.seed, &parameter.path);
        let values = match (&config.vision, options.patch_embed) {
            (Some(vision), PatchEmbedInit::ZeroMean) if parameter.layout == Layout::Patch => {
                zero_mean_filters(&mut normal, vision)
            }
            _ => ordinary(&mut normal, parameter, config),
        };
        weights.insert(parameter, convert::to_memory(values, parameter), options.dtype, device);
    }
    weights
}

fn ordinary(normal: &mut Normal, parameter: &Parameter, config: &Config) -> Vec<f32> {
    if parameter.file_shape.len() == 1 {
        // Vectors are biases and the weights of norms.
        let value = if parameter.is_bias() { 0.0 } else { 1.0 };
        return vec![value; parameter.len()];
    }
    let deviation = match &config.vision {
        Some(vision) if parameter.path.starts_with("visual.") => vision.initializer_range,
        _ => config.text.initializer_range,
    };
    (0..parameter.len()).map(|_| normal.draw() * deviation as f32).collect()
}

/// Filters [C, colours, frames, side, side]: the first [`MEAN_FILTERS`] are flat with random weights of the colours that add up to zero, of
/// the others [`LUMINANCE_SHARE`] have one pattern for all colours and the rest one per colour, each pattern with mean zero.
fn zero_mean_filters(normal: &mut Normal, config: &VisionConfig) -> Vec<f32> {
    let (colours, frames) = (config.in_channels, config.temporal_patch_size);
    let pixels = config.patch_size * config.patch_size;
    let flat = MEAN_FILTERS.min(config.hidden_size / 4);
    let luminance = ((config.hidden_size - flat) as f32 * LUMINANCE_SHARE).round() as usize;

    let mut values = Vec::with_capacity(config.hidden_size * config.patch_values());
    for filter in 0..config.hidden_size {
        let mut pattern = || without_mean((0..pixels).map(|_| normal.draw()).collect());
        let per_colour: Vec<Vec<f32>> = if filter < flat {
            let weights = without_mean((0..colours).map(|_| normal.draw()).collect());
            weights.into_iter().map(|weight| vec![weight; pixels]).collect()
        } else if filter < flat + luminance {
            vec![pattern(); colours]
        } else {
            (0..colours).map(|_| pattern()).collect()
        };
        let square: f32 = per_colour.iter().flatten().map(|value| value * value).sum::<f32>() * frames as f32;
        let norm = if filter < flat { MEAN_FILTER_NORM } else { 1.0 };
        // With a single colour the flat filters are zero.
        let scale = norm / square.max(f32::MIN_POSITIVE).sqrt();
        for pattern in &per_colour {
            // A still image is one frame written `frames` times.
            for _ in 0..frames {
                values.extend(pattern.iter().map(|value| value * scale));
            }
        }
    }
    values
}

fn without_mean(values: Vec<f32>) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.into_iter().map(|value| value - mean).collect()
}

/// Numbers spread evenly over (-bound, bound), from the stream `name` of `seed`.
pub(crate) fn uniform(seed: u64, name: &str, count: usize, bound: f64) -> Vec<f32> {
    let mut stream = Normal::new(seed, name);
    (0..count).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect()
}

/// Standard normal numbers by Box and Muller's method.
struct Normal {
    rng: ChaCha8Rng,
    spare: Option<f32>,
}

impl Normal {
    /// The stream of the tensor `name`.
    fn new(seed: u64, name: &str) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(fnv1a(name));
        Self { rng, spare: None }
    }

    fn draw(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some((radius * sin) as f32);
        (radius * cos) as f32
    }

    /// 53 random bits in [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The 64-bit hash of Fowler, Noll and Vo: the same on every machine and in every version.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
