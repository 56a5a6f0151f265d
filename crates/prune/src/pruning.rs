//! The methods and their settings.

use serde::{Deserialize, Serialize};

use crate::error::{PruneError, Result};
use crate::method::Method;

/// How visual tokens are dropped; the tokens of a turn's images in the prefill of that turn. Text is never dropped, what is
/// left keeps its order and its positions, and later tokens stand where they would stand without pruning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum Pruning {
    /// [`FastV`].
    FastV(FastV),
    /// [`SparseVlm`].
    SparseVlm(SparseVlm),
    /// [`VisionZip`].
    VisionZip(VisionZip),
    /// [`PyramidDrop`].
    PyramidDrop(PyramidDrop),
    /// [`Random`].
    Random(Random),
    /// [`Uniform`].
    Uniform(Uniform),
}

/// FastV: in front of layer `layer`, by the attention that the last token of the prompt pays in the layer before, mean over
/// heads; all visual tokens of the turn compete.
///
/// Variant: the static drop at prefill with a KV cache and unchanged positions (the paper's repository, fork of
/// transformers and file for lmms-eval), as its port to Qwen2.5-VL has it.
///
/// Source: arXiv 2403.06764, section 4; K is `layer`, R is 1 - `keep`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FastV {
    /// The first layer that sees fewer tokens, at least 1.
    pub layer: usize,
    /// Share of the visual tokens that stays, above 0 and up to 1; `round(N * keep)` tokens.
    pub keep: f64,
}

/// SparseVLM: in front of each stage, by the attention that the raters pay in the layer before. Raters are the words behind
/// the images that are more like the images than the mean word is. Of the dropped tokens the best 30 % come back, clustered.
///
/// Variant: 1.5 (fixed counts, with recycling), with unchanged positions, a cluster standing at its centre; without the noise
/// of 1e-6 on densities, so that equal input gives equal output.
///
/// Source: arXiv 2410.04417, sections 3.2 to 3.4. Its own layer numbers (2, 6, 15) name the layer in front of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseVlm {
    /// Shares that stay beside the clusters: `int(N * keep)` tokens, and at least one token less than before, unless
    /// the share is 1.
    pub stages: Vec<Stage>,
}

/// PyramidDrop: in front of each stage, by the attention of the prompt's last token in the stage's first layer, computed
/// over all tokens before that layer runs.
///
/// Variant: the schedule and the rotated score of the paper's repository; positions unchanged, as its form for Qwen2.5-VL in
/// VScan's code keeps them, not counted anew behind each stage.
///
/// Source: arXiv 2410.17247, section 3.2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PyramidDrop {
    /// Shares of the initial tokens that stay: `int(N * keep)` tokens.
    pub stages: Vec<Stage>,
}

/// From a layer on a share of the visual tokens is left.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The first layer that sees fewer tokens, at least 1.
    pub layer: usize,
    /// Share of the initial visual tokens, above 0 and up to 1.
    pub keep: f64,
}

/// VisionZip: in front of the decoder, image by image. The tokens that receive most attention in the vision tower stay; of
/// the others some become contextual tokens, to which the most similar ones are added.
///
/// Variant: the authors' port to Qwen2.5-VL: scores and keys of the last block of the tower that sees whole images, the cut
/// behind the merger, a contextual token in the place of its target. Several images are scored apart, as its eager path does.
///
/// Source: arXiv 2412.04467, section 3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionZip {
    /// Share that stays as it is: `int(N * dominant)` tokens.
    pub dominant: f64,
    /// Share that becomes contextual: `max(int(N * contextual), 1)` tokens; 0 for none.
    pub contextual: f64,
}

/// A control: tokens drawn at random in front of the decoder, `round(N * keep)` of each image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// Share that stays, above 0 and up to 1.
    pub keep: f64,
    /// Seed; the draw depends on it, on the ids of the turn and on nothing else.
    pub seed: u64,
}

/// A control: evenly spaced tokens in raster order in front of the decoder, `round(N * keep)` of each image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// Share that stays, above 0 and up to 1.
    pub keep: f64,
}

impl Pruning {
    /// Which method.
    pub fn method(&self) -> Method {
        match self {
            Self::FastV(_) => Method::FastV,
            Self::SparseVlm(_) => Method::SparseVlm,
            Self::VisionZip(_) => Method::VisionZip,
            Self::PyramidDrop(_) => Method::PyramidDrop,
            Self::Random(_) => Method::Random,
            Self::Uniform(_) => Method::Uniform,
        }
    }

    /// Whether tokens are dropped between layers of the decoder, and not in front of it.
    pub fn is_inside_decoder(&self) -> bool {
        !self.stages().is_empty()
    }

    /// The cuts inside the decoder; empty for methods that cut in front of it.
    pub fn stages(&self) -> Vec<Stage> {
        match self {
            Self::FastV(FastV { layer, keep }) => vec![Stage { layer: *layer, keep: *keep }],
            Self::SparseVlm(SparseVlm { stages }) | Self::PyramidDrop(PyramidDrop { stages }) => stages.clone(),
            Self::VisionZip(_) | Self::Random(_) | Self::Uniform(_) => Vec::new(),
        }
    }

    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// The first share outside its range, no stages, or stages out of order.
    pub fn check(&self) -> Result<()> {
        let method = self.method();
        match self {
            Self::FastV(FastV { keep, .. }) | Self::Random(Random { keep, .. }) | Self::Uniform(Uniform { keep }) => {
                share(method, "keep", *keep)
            }
            Self::VisionZip(VisionZip { dominant, contextual }) => {
                share(method, "dominant", *dominant)?;
                if !(0.0..1.0).contains(contextual) {
                    let expected = "a share of at least 0 and below 1";
                    return Err(PruneError::Share { method, field: "contextual", found: *contextual, expected });
                }
                // A sum such as 0.65 + 0.35 may be one rounding above 1.
                if dominant + contextual > 1.0 + 1e-9 {
                    let expected = "at most 1 - `dominant`: a token is dominant or contextual";
                    return Err(PruneError::Share { method, field: "contextual", found: *contextual, expected });
                }
                Ok(())
            }
            Self::SparseVlm(SparseVlm { stages }) | Self::PyramidDrop(PyramidDrop { stages }) => {
                check_stages(method, stages)
            }
        }
    }

    /// [`Pruning::check`], and whether a decoder of `layers` layers has the layers named.
    ///
    /// # Errors
    /// As [`Pruning::check`], and a layer outside 1..L.
    pub fn check_for(&self, layers: usize) -> Result<()> {
        self.check()?;
        match self.stages().iter().find(|stage| stage.layer == 0 || stage.layer >= layers) {
            Some(stage) => {
                Err(PruneError::Layer { method: self.method(), found: stage.layer, last: layers.saturating_sub(1) })
            }
            None => Ok(()),
        }
    }
}

fn check_stages(method: Method, stages: &[Stage]) -> Result<()> {
    if stages.is_empty() {
        return Err(PruneError::NoStages { method });
    }
    stages.iter().try_for_each(|stage| share(method, "stages.keep", stage.keep))?;
    for (index, pair) in stages.windows(2).enumerate() {
        let [before, stage] = [pair[0], pair[1]];
        if stage.layer <= before.layer || stage.keep > before.keep {
            return Err(PruneError::Order {
                method,
                stage: index + 1,
                layer: stage.layer,
                keep: stage.keep,
                layer_before: before.layer,
                keep_before: before.keep,
            });
        }
    }
    Ok(())
}

/// A share of tokens: above 0 and up to 1.
pub(crate) fn share(method: Method, field: &'static str, found: f64) -> Result<()> {
    if found > 0.0 && found <= 1.0 {
        return Ok(());
    }
    Err(PruneError::Share { method, field, found, expected: "a share above 0 and up to 1" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Pruning, String> {
        #[derive(Debug, Deserialize)]
        struct File {
            pruning: Pruning,
        }
        toml::from_str::<File>(text).map(|file| file.pruning).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_run_file_names_the_method_and_every_setting() {
        let pruning = read("pruning = { method = 'fastv', layer = 2, keep = 0.5 }").unwrap();
        assert_eq!(pruning, Pruning::FastV(FastV { layer: 2, keep: 0.5 }));
        let pruning = read(
            "[pruning]\nmethod = 'pyramiddrop'\nstages = [{ layer = 7, keep = 0.5 }, { layer = 14, keep = 0.25 }]",
        );
        assert_eq!(pruning.unwrap().stages().len(), 2);
        assert!(read("pruning = { method = 'fastv', layer = 2 }").unwrap_err().contains("missing field `keep`"));
        assert!(
            read("pruning = { method = 'random', keep = 1.0, sed = 1 }").unwrap_err().contains("unknown field `sed`")
        );
        assert!(read("pruning = { method = 'fast' }").unwrap_err().contains("unknown variant `fast`"));
        for method in Method::ALL {
            let pruning = method.paper(28).unwrap();
            let json = serde_json::to_string(&pruning).unwrap();
            assert_eq!(serde_json::from_str::<Pruning>(&json).unwrap(), pruning);
            assert!(json.contains(&format!("\"method\":\"{method}\"")), "{json}");
        }
    }

    #[test]
    fn what_cannot_stand_is_named() {
        let message = |pruning: Pruning| pruning.check_for(28).unwrap_err().to_string();
        assert_eq!(
            message(Pruning::FastV(FastV { layer: 2, keep: 0.0 })),
            "`fastv`: `keep` is 0, expected a share above 0 and up to 1"
        );
        assert_eq!(
            message(Pruning::FastV(FastV { layer: 0, keep: 0.5 })),
            "`fastv`: `layer` is 0, expected 1 to 27: scores come from the layer in front of it"
        );
        assert!(message(Pruning::Uniform(Uniform { keep: f64::NAN })).contains("`keep` is NaN"));
        assert!(message(Pruning::PyramidDrop(PyramidDrop { stages: vec![] })).contains("has no `stages`"));
        let stages = |pairs: [(usize, f64); 2]| pairs.map(|(layer, keep)| Stage { layer, keep }).to_vec();
        assert_eq!(
            message(Pruning::SparseVlm(SparseVlm { stages: stages([(3, 0.5), (3, 0.4)]) })),
            "`sparsevlm`: stage 1 keeps 0.4 from layer 3 on, behind 0.5 from layer 3 on; layers have to grow and shares must not"
        );
        assert!(
            message(Pruning::PyramidDrop(PyramidDrop { stages: stages([(3, 0.5), (28, 0.4)]) }))
                .contains("`layer` is 28")
        );
        assert!(
            message(Pruning::VisionZip(VisionZip { dominant: 0.9, contextual: 0.2 }))
                .contains("at most 1 - `dominant`")
        );
        assert!(Pruning::VisionZip(VisionZip { dominant: 0.65, contextual: 0.35 }).check().is_ok());
    }
}
