//! How many visual tokens are left where.

use crate::pruning::{Pruning, SparseVlm, Stage, VisionZip};

/// What a stage leaves of the visual tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivors {
    /// Tokens that stay as they are.
    pub kept: usize,
    /// The best of the dropped ones, which are clustered.
    pub recycled: usize,
    /// How many clusters they become.
    pub clusters: usize,
}

impl Survivors {
    /// Tokens behind the stage.
    pub fn total(self) -> usize {
        self.kept + self.clusters
    }
}

impl Pruning {
    /// Visual tokens in each of `layers` layers for a turn with images of so many tokens. The first number is what enters the
    /// decoder; a layer keeps in its KV cache what it sees, so the sum is the number of entries kept, and the mean is the paper
    /// authors' "retained tokens".
    pub fn visual_tokens(&self, images: &[usize], layers: usize) -> Vec<usize> {
        let entering: usize = images.iter().map(|tokens| self.entering(*tokens)).sum();
        let mut counts = Vec::with_capacity(layers);
        let mut current = entering;
        let stages = self.stages();
        for layer in 0..layers {
            if let Some(stage) = stages.iter().find(|stage| stage.layer == layer) {
                current = self.survivors(*stage, entering, current).total();
            }
            counts.push(current);
        }
        counts
    }

    /// Of an image of `tokens` tokens, how many enter the decoder.
    pub fn entering(&self, tokens: usize) -> usize {
        match self {
            Self::VisionZip(zip) => {
                let (dominant, contextual) = zip.counts(tokens);
                dominant + contextual
            }
            Self::Random(random) => rounded(tokens, random.keep),
            Self::Uniform(uniform) => rounded(tokens, uniform.keep),
            Self::FastV(_) | Self::SparseVlm(_) | Self::PyramidDrop(_) => tokens,
        }
    }

    /// What a stage leaves of `current` tokens where `initial` entered the decoder.
    pub fn survivors(&self, stage: Stage, initial: usize, current: usize) -> Survivors {
        match self {
            Self::FastV(_) => only(rounded(initial, stage.keep).min(current)),
            Self::SparseVlm(_) => SparseVlm::survivors(stage, initial, current),
            _ => only(whole(initial, stage.keep).max(1).min(current)),
        }
    }
}

impl SparseVlm {
    /// k tokens stay; of the d dropped ones `int(0.3 d) + 1` become a tenth as many clusters, and one more.
    fn survivors(stage: Stage, initial: usize, current: usize) -> Survivors {
        if stage.keep >= 1.0 || current == 0 {
            return only(current);
        }
        let kept = whole(initial, stage.keep).min(current - 1);
        let recycled = (whole(current - kept, 0.3) + 1).min(current - kept);
        Survivors { kept, recycled, clusters: recycled / 10 + 1 }
    }
}

impl VisionZip {
    /// How many of an image's tokens are dominant and contextual.
    pub fn counts(&self, tokens: usize) -> (usize, usize) {
        let dominant = whole(tokens, self.dominant).min(tokens);
        let contextual = if self.contextual > 0.0 { whole(tokens, self.contextual).max(1) } else { 0 };
        (dominant, contextual.min(tokens - dominant))
    }
}

fn only(kept: usize) -> Survivors {
    Survivors { kept, recycled: 0, clusters: 0 }
}

/// `int(tokens * share)`, where a product a rounding below a whole number counts as the number.
fn whole(tokens: usize, share: f64) -> usize {
    (tokens as f64 * share + 1e-9).floor() as usize
}

/// `round(tokens * share)`, ties to even as in the references' language, and at least one token of an image.
fn rounded(tokens: usize, share: f64) -> usize {
    ((tokens as f64 * share).round_ties_even() as usize).max(1).min(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Method;
    use crate::pruning::{FastV, Uniform};

    /// Counts and how many layers have them.
    fn runs(counts: &[usize]) -> Vec<(usize, usize)> {
        counts.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    #[test]
    fn sparsevlm_for_192_of_576_tokens_has_the_references_counts() {
        let counts = Method::SparseVlm.paper(32).unwrap().visual_tokens(&[576], 32);
        assert_eq!(runs(&counts), [(576, 3), (309, 4), (204, 9), (113, 16)]);
    }

    #[test]
    fn fastv_and_pyramiddrop_step_where_their_papers_do() {
        let counts = Method::FastV.paper(28).unwrap().visual_tokens(&[100, 476], 28);
        assert_eq!(runs(&counts), [(576, 2), (288, 26)]);
        let counts = Method::PyramidDrop.paper(28).unwrap().visual_tokens(&[577], 28);
        assert_eq!(runs(&counts), [(577, 7), (288, 7), (144, 7), (72, 7)]);
        assert_eq!(counts.iter().sum::<usize>(), 7 * (577 + 288 + 144 + 72));
    }

    #[test]
    fn visionzip_counts_image_by_image() {
        let half = VisionZip { dominant: 0.45, contextual: 0.05 };
        assert_eq!(half.counts(1000), (450, 50));
        assert_eq!(half.counts(7), (3, 1));
        assert_eq!(half.counts(1), (0, 1));
        assert_eq!(Pruning::VisionZip(half).visual_tokens(&[1000, 7], 2), [504, 504]);
        assert_eq!(VisionZip { dominant: 1.0, contextual: 0.0 }.counts(9), (9, 0));
        assert_eq!(VisionZip { dominant: 0.9, contextual: 0.0 }.counts(9), (8, 0));
    }

    #[test]
    fn a_turn_without_images_has_no_visual_tokens() {
        for method in Method::ALL {
            assert_eq!(method.paper(4).unwrap().visual_tokens(&[], 4), [0; 4], "{method}");
        }
    }

    #[test]
    fn halves_round_as_the_references_round_them_and_something_stays() {
        assert_eq!(Pruning::FastV(FastV { layer: 1, keep: 0.5 }).visual_tokens(&[5], 2), [5, 2]);
        assert_eq!(Pruning::FastV(FastV { layer: 1, keep: 0.5 }).visual_tokens(&[7], 2), [7, 4]);
        assert_eq!(Pruning::Uniform(Uniform { keep: 0.01 }).visual_tokens(&[7, 3], 2), [2, 2]);
    }
}
