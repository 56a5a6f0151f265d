//! VisionZip's choice of dominant tokens and its merge of the others.

use crate::select::top;

/// What is left of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zipped {
    /// Tokens that stay in their places, contextual ones among them, ascending.
    pub kept: Vec<usize>,
    /// The tokens that others are merged into.
    pub contextual: Vec<Contextual>,
}

/// A token that carries others: itself plus the mean of what is assigned to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contextual {
    /// The token.
    pub target: usize,
    /// What is assigned to it; without any it stays as it is.
    pub members: Vec<usize>,
}

/// Chooses from the attention that each token receives (`scores`, `[N]`) and the keys ([N, width]).
///
/// The `dominant` largest scores stay. Of the n others every `max(1, n // contextual)`-th, and no more than `contextual` of
/// them, is a target; each of the rest goes to the target whose key has the largest cosine with its own, the first of equals.
///
/// # Panics
/// The keys are not one row a score.
///
/// Source: arXiv 2412.04467, section 3.
pub fn visionzip(scores: &[f32], keys: &[f32], [dominant, contextual]: [usize; 2]) -> Zipped {
    let tokens = scores.len();
    let mut kept = top(scores, dominant);
    let rest: Vec<usize> = (0..tokens).filter(|token| kept.binary_search(token).is_err()).collect();
    let contextual = contextual.min(rest.len());
    if contextual == 0 {
        return Zipped { kept, contextual: Vec::new() };
    }
    assert!(keys.len().is_multiple_of(tokens), "a key a token");
    let keys: Vec<Vec<f32>> = keys.chunks(keys.len() / tokens).map(normed).collect();
    let step = (rest.len() / contextual).max(1);
    let mut targets: Vec<Contextual> = rest
        .iter()
        .step_by(step)
        .take(contextual)
        .map(|target| Contextual { target: *target, members: Vec::new() })
        .collect();
    for token in &rest {
        if targets.iter().any(|contextual| contextual.target == *token) {
            continue;
        }
        let mut best = (0, f32::NEG_INFINITY);
        for (index, contextual) in targets.iter().enumerate() {
            let cosine = keys[*token].iter().zip(&keys[contextual.target]).map(|(a, b)| a * b).sum();
            if cosine > best.1 {
                best = (index, cosine);
            }
        }
        targets[best.0].members.push(*token);
    }
    kept.extend(targets.iter().map(|contextual| contextual.target));
    kept.sort_unstable();
    Zipped { kept, contextual: targets }
}

/// The key at length 1.
fn normed(key: &[f32]) -> Vec<f32> {
    let length = key.iter().map(|value| value * value).sum::<f32>().sqrt();
    key.iter().map(|value| if length > 0.0 { value / length } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dominant_tokens_stay_and_the_others_go_to_the_most_similar_target() {
        // Tokens 1 and 4 are dominant. Of 0, 2, 3, 5, 6 every second is a target: 0 and 3.
        let scores = [0.1, 0.9, 0.2, 0.3, 0.8, 0.1, 0.0];
        let keys = [1.0, 0.0, 9.0, 9.0, 2.0, 0.1, 0.0, 5.0, 9.0, 9.0, -1.0, 0.2, 0.3, 0.2];
        let found = visionzip(&scores, &keys, [2, 2]);
        assert_eq!(found.kept, [0, 1, 3, 4]);
        assert_eq!(
            found.contextual,
            [Contextual { target: 0, members: vec![2, 6] }, Contextual { target: 3, members: vec![5] }]
        );
    }

    #[test]
    fn everything_dominant_is_everything() {
        assert_eq!(visionzip(&[1.0, 2.0], &[1.0, 1.0], [2, 0]), Zipped { kept: vec![0, 1], contextual: vec![] });
        assert_eq!(visionzip(&[1.0, 2.0], &[1.0, 1.0], [2, 1]).kept, [0, 1]);
        assert!(visionzip(&[], &[], [0, 1]).kept.is_empty());
    }

    #[test]
    fn a_thousand_tokens_at_45_and_5_percent_are_500() {
        let scores: Vec<f32> = (0..1000).map(|token| ((token * 7919) % 1000) as f32).collect();
        let keys: Vec<f32> = (0..4000).map(|value| ((value * 31) % 17) as f32 - 8.0).collect();
        let found = visionzip(&scores, &keys, [450, 50]);
        assert_eq!((found.kept.len(), found.contextual.len()), (500, 50));
        assert!(found.kept.windows(2).all(|pair| pair[0] < pair[1]), "raster order stays");
        assert_eq!(found.contextual.iter().map(|contextual| contextual.members.len()).sum::<usize>(), 500);
    }
}
