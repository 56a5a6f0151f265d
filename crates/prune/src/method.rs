//! Methods by name, with the paper's settings or at a share of the tokens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{PruneError, Result};
use crate::pruning::{FastV, Pruning, PyramidDrop, Random, SparseVlm, Stage, Uniform, VisionZip, share};

/// A method without its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// See [`FastV`].
    FastV,
    /// See [`SparseVlm`].
    SparseVlm,
    /// See [`VisionZip`].
    VisionZip,
    /// See [`PyramidDrop`].
    PyramidDrop,
    /// See [`Random`].
    Random,
    /// See [`Uniform`].
    Uniform,
}

/// The depth of the decoders that the papers' layer numbers are for.
const PAPER_LAYERS: usize = 32;

/// Decoders from this depth on take the papers' numbers as they are, as the ports to Qwen2.5-VL of 28 layers do.
const DEEP_LAYERS: usize = 28;

/// SparseVLM's counts of 576 tokens for its budget of 192 (version 1.5), and the layers in front of which they hold.
const SPARSE_STAGES: [(usize, f64); 3] = [(3, 300.0 / 576.0), (7, 200.0 / 576.0), (16, 110.0 / 576.0)];

impl Method {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::FastV, Self::SparseVlm, Self::VisionZip, Self::PyramidDrop, Self::Random, Self::Uniform];

    /// Its name in run files.
    pub fn name(self) -> &'static str {
        match self {
            Self::FastV => "fastv",
            Self::SparseVlm => "sparsevlm",
            Self::VisionZip => "visionzip",
            Self::PyramidDrop => "pyramiddrop",
            Self::Random => "random",
            Self::Uniform => "uniform",
        }
    }

    /// The settings of its paper, for a decoder of `layers` layers: FastV K = 2, R = 50 %; SparseVLM's budget of a third;
    /// VisionZip 65 % + 5 %; PyramidDrop 50 %, 25 %, 12.5 % behind each quarter. The controls, which have no paper, keep half.
    ///
    /// In decoders of fewer than 28 layers layer numbers are scaled to the depth.
    ///
    /// # Errors
    /// [`PruneError::TooShallow`].
    pub fn paper(self, layers: usize) -> Result<Pruning> {
        Ok(match self {
            Self::FastV => Pruning::FastV(FastV { layer: self.layers(&[2], layers)?[0], keep: 0.5 }),
            Self::SparseVlm => Pruning::SparseVlm(SparseVlm { stages: self.stages(layers, 1.0)? }),
            Self::PyramidDrop => Pruning::PyramidDrop(PyramidDrop { stages: self.stages(layers, 0.5)? }),
            Self::VisionZip => Pruning::VisionZip(VisionZip { dominant: 0.65, contextual: 0.05 }),
            Self::Random => Pruning::Random(Random { keep: 0.5, seed: 0 }),
            Self::Uniform => Pruning::Uniform(Uniform { keep: 0.5 }),
        })
    }

    /// The settings that leave `share` of the visual tokens as a mean over the layers, so that methods can be compared at one
    /// budget: FastV's R, a common factor on SparseVLM's shares, PyramidDrop's lambda, VisionZip's dominant share (with 5 %
    /// contextual tokens, fewer where the share is below a quarter) are solved for. Rounding to whole tokens is left out.
    ///
    /// # Errors
    /// [`PruneError::Share`]; [`PruneError::OutOfReach`] where the layers that see everything are too many already;
    /// [`PruneError::TooShallow`].
    pub fn at_share(self, mean: f64, layers: usize) -> Result<Pruning> {
        share(self, "share", mean)?;
        Ok(match self {
            Self::FastV => {
                let layer = self.layers(&[2], layers)?[0];
                let [first, rest] = [layer as f64, (layers - layer) as f64];
                let keep = (mean * layers as f64 - first) / rest;
                if keep <= 0.0 {
                    return Err(self.out_of_reach(mean, first / layers as f64, layers));
                }
                Pruning::FastV(FastV { layer, keep: keep.min(1.0) })
            }
            Self::SparseVlm => Pruning::SparseVlm(SparseVlm { stages: self.solved(mean, layers, 576.0 / 110.0)? }),
            Self::PyramidDrop => Pruning::PyramidDrop(PyramidDrop { stages: self.solved(mean, layers, 1.0)? }),
            Self::VisionZip => {
                let contextual = if mean < 1.0 { 0.05_f64.min(mean / 5.0) } else { 0.0 };
                Pruning::VisionZip(VisionZip { dominant: mean - contextual, contextual })
            }
            Self::Random => Pruning::Random(Random { keep: mean, seed: 0 }),
            Self::Uniform => Pruning::Uniform(Uniform { keep: mean }),
        })
    }

    fn out_of_reach(self, share: f64, least: f64, layers: usize) -> PruneError {
        PruneError::OutOfReach { method: self, share, least, layers }
    }

    /// The first layers of stages, of the papers' depth, in a decoder of `layers`; those that do not fit fall away.
    fn layers(self, of_paper: &[usize], layers: usize) -> Result<Vec<usize>> {
        let mut found: Vec<usize> = Vec::new();
        for layer in of_paper {
            let scaled =
                if layers >= DEEP_LAYERS { *layer } else { (layer * layers + PAPER_LAYERS / 2) / PAPER_LAYERS };
            found.push(scaled.max(found.last().map_or(1, |before| before + 1)));
        }
        found.retain(|layer| *layer < layers);
        if found.is_empty() { Err(PruneError::TooShallow { method: self, layers }) } else { Ok(found) }
    }

    /// The stages of SparseVLM with a common `factor`, or those of PyramidDrop with `factor` as lambda.
    fn stages(self, layers: usize, factor: f64) -> Result<Vec<Stage>> {
        let (places, shares): (Vec<usize>, [f64; 3]) = if self == Self::SparseVlm {
            let places = self.layers(&SPARSE_STAGES.map(|(layer, _)| layer), layers)?;
            (places, SPARSE_STAGES.map(|(_, keep)| (factor * keep).min(1.0)))
        } else {
            // Behind each quarter of whatever depth.
            let quarters = [1, 2, 3].map(|quarter| quarter * layers / 4);
            let mut places: Vec<usize> = quarters.into_iter().filter(|layer| *layer > 0).collect();
            places.dedup();
            if places.is_empty() {
                return Err(PruneError::TooShallow { method: self, layers });
            }
            (places, [factor, factor * factor, factor * factor * factor])
        };
        Ok(places.into_iter().zip(shares).map(|(layer, keep)| Stage { layer, keep }).collect())
    }

    /// The stages whose mean over layers is `mean`, by bisection over the factor, of which the mean is a growing function.
    fn solved(self, mean: f64, layers: usize, largest: f64) -> Result<Vec<Stage>> {
        let of = |factor: f64| self.stages(layers, factor);
        if mean >= 1.0 {
            // Not by the factor: a share that is a rounding below 1 drops a token.
            return Ok(of(largest)?.into_iter().map(|stage| Stage { keep: 1.0, ..stage }).collect());
        }
        // Not 0: a share is above it.
        let (mut low, mut high) = (1e-6, largest);
        let least = self.mean_share(&of(low)?, layers);
        if mean < least {
            return Err(self.out_of_reach(mean, least, layers));
        }
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.mean_share(&of(middle)?, layers) < mean { low = middle } else { high = middle }
        }
        of(high)
    }

    /// Share of the visual tokens as a mean over layers, of very many tokens.
    fn mean_share(self, stages: &[Stage], layers: usize) -> f64 {
        /// 30 % of the dropped tokens come back as a tenth as many clusters.
        const RECYCLED: f64 = 0.03;
        let (mut sum, mut current, mut from) = (0.0, 1.0, 0);
        for stage in stages {
            sum += current * (stage.layer - from) as f64;
            from = stage.layer;
            let kept = stage.keep.min(current);
            current = if self == Self::SparseVlm { kept + RECYCLED * (current - kept) } else { kept };
        }
        (sum + current * (layers - from) as f64) / layers as f64
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = PruneError;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == text)
            .ok_or_else(|| PruneError::Unknown { found: text.to_owned() })
    }
}

/// `NAME` for the paper's settings, or `NAME:SHARE` for a share of the visual tokens as a mean over layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Choice {
    /// The method.
    pub method: Method,
    /// The share; `None` for the paper's settings.
    pub share: Option<f64>,
}

impl Choice {
    /// The settings for a decoder of `layers` layers.
    ///
    /// # Errors
    /// As [`Method::paper`] and [`Method::at_share`].
    pub fn settings(self, layers: usize) -> Result<Pruning> {
        match self.share {
            None => self.method.paper(layers),
            Some(share) => self.method.at_share(share, layers),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.share {
            None => self.method.fmt(f),
            Some(share) => write!(f, "{}:{share}", self.method),
        }
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> Self {
        choice.to_string()
    }
}

impl TryFrom<String> for Choice {
    type Error = PruneError;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Choice {
    type Err = PruneError;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, number)) = text.split_once(':') else {
            return Ok(Self { method: text.parse()?, share: None });
        };
        let method: Method = name.parse()?;
        let mean = number.parse().map_err(|_| PruneError::NoNumber { found: number.to_owned() })?;
        share(method, "share", mean)?;
        Ok(Self { method, share: Some(mean) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_a_share_every_method_has_that_mean_over_layers() {
        for layers in [4, 28, 36] {
            for method in Method::ALL {
                for mean in [0.55, 0.7, 0.9] {
                    let pruning = method.at_share(mean, layers).unwrap();
                    pruning.check_for(layers).unwrap();
                    // Many tokens, so that rounding to whole ones does not show.
                    let tokens = pruning.visual_tokens(&[1_000_000], layers);
                    let found = tokens.iter().sum::<usize>() as f64 / (layers as f64 * 1e6);
                    assert!((found - mean).abs() < 1e-4, "{method} over {layers} layers: {found}, expected {mean}");
                }
                let all = method.at_share(1.0, layers).unwrap();
                assert_eq!(all.visual_tokens(&[577], layers), vec![577; layers], "{method}");
                assert!(all.stages().iter().all(|stage| stage.keep == 1.0), "{method}");
            }
        }
    }

    #[test]
    fn the_papers_settings_are_those_for_deep_decoders_and_scaled_for_shallow_ones() {
        assert_eq!(Method::FastV.paper(28), Ok(Pruning::FastV(FastV { layer: 2, keep: 0.5 })));
        let places = |method: Method, layers| {
            method.paper(layers).unwrap().stages().iter().map(|stage| stage.layer).collect::<Vec<_>>()
        };
        assert_eq!(places(Method::SparseVlm, 32), [3, 7, 16]);
        assert_eq!(places(Method::SparseVlm, 28), [3, 7, 16]);
        assert_eq!(places(Method::PyramidDrop, 32), [8, 16, 24]);
        assert_eq!(places(Method::PyramidDrop, 28), [7, 14, 21]);
        assert_eq!(places(Method::SparseVlm, 4), [1, 2, 3]);
        assert_eq!(places(Method::PyramidDrop, 4), [1, 2, 3]);
        assert_eq!(places(Method::FastV, 4), [1]);
        assert_eq!(places(Method::PyramidDrop, 2), [1]);
        assert_eq!(Method::FastV.paper(1), Err(PruneError::TooShallow { method: Method::FastV, layers: 1 }));
        for layers in 2..64 {
            for method in Method::ALL {
                method.paper(layers).unwrap().check_for(layers).unwrap();
            }
        }
    }

    #[test]
    fn a_share_below_what_the_first_layers_see_is_refused() {
        let message = Method::FastV.at_share(0.2, 4).unwrap_err().to_string();
        assert_eq!(
            message,
            "`fastv` leaves at least 0.250 of the visual tokens as a mean over 4 layers; 0.2 is too few"
        );
        assert!(matches!(Method::PyramidDrop.at_share(0.1, 4), Err(PruneError::OutOfReach { .. })));
        assert!(matches!(Method::VisionZip.at_share(0.0, 4), Err(PruneError::Share { .. })));
    }

    #[test]
    fn a_choice_is_a_name_and_perhaps_a_share() {
        assert_eq!("visionzip".parse(), Ok(Choice { method: Method::VisionZip, share: None }));
        assert_eq!("fastv:0.5".parse(), Ok(Choice { method: Method::FastV, share: Some(0.5) }));
        for text in ["visionzip", "fastv:0.5"] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        let message = |text: &str| text.parse::<Choice>().unwrap_err().to_string();
        assert_eq!(
            message("fast"),
            "`fast` is no pruning method, expected one of `fastv`, `sparsevlm`, `visionzip`, `pyramiddrop`, `random`, `uniform`, with a share as in `fastv:0.5`"
        );
        assert!(message("fastv:half").starts_with("`half` is no share of tokens"));
        assert_eq!(message("fastv:50"), "`fastv`: `share` is 50, expected a share above 0 and up to 1");
    }
}
