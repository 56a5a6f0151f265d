//! Where a response ends, as masks over its ids.

/// Ones up to and including the first of `end_ids`; all ones when none occurs.
///
/// Shape: one entry per id. Source: VisionThink, single-turn rollout (`eos_masks`).
pub fn first_end_mask(ids: &[u32], end_ids: &[u32]) -> Vec<bool> {
    let end = ids.iter().position(|id| end_ids.contains(id));
    prefix_mask(ids.len(), end.map_or(ids.len(), |index| index + 1))
}

/// Ones up to and including the last `im_end`; all zeros when none occurs.
///
/// Shape: one entry per id. Source: VisionThink, multi-turn rollout (`eos_masks`).
pub fn last_im_end_mask(ids: &[u32], im_end: u32) -> Vec<bool> {
    let end = ids.iter().rposition(|&id| id == im_end);
    prefix_mask(ids.len(), end.map_or(0, |index| index + 1))
}

fn prefix_mask(len: usize, ones: usize) -> Vec<bool> {
    (0..len).map(|index| index < ones).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_token_belongs_to_the_response() {
        assert_eq!(first_end_mask(&[1, 9, 2], &[9]), [true, true, false]);
        assert_eq!(last_im_end_mask(&[9, 1, 9, 2], 9), [true, true, true, false]);
    }

    #[test]
    fn without_an_end_the_two_masks_disagree() {
        assert_eq!(first_end_mask(&[1, 2], &[9]), [true, true]);
        assert_eq!(last_im_end_mask(&[1, 2], 9), [false, false]);
    }
}
