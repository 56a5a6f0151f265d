//! Levenshtein distance.

/// The fewest insertions, deletions and replacements of single characters that turn `a` into `b`.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // distances[j]: from the characters of `a` read so far to the first j of `b`.
    let mut distances: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.chars().enumerate() {
        let mut left = row + 1;
        let mut diagonal = row;
        if let Some(first) = distances.first_mut() {
            *first = left;
        }
        for (above, y) in distances.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = *above;
            left = replaced.min(left + 1).min(*above + 1);
            *above = left;
        }
    }
    distances.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_distances() {
        for (a, b, distance) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2), ("é", "e", 1), ("", "", 0)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_distance(a in "[abé]{0,6}", b in "[abé]{0,6}", c in "[abé]{0,6}") {
            prop_assert_eq!(edit_distance(&a, &b), edit_distance(&b, &a));
            prop_assert_eq!(edit_distance(&a, &b) == 0, a == b);
            prop_assert!(edit_distance(&a, &c) <= edit_distance(&a, &b) + edit_distance(&b, &c));
        }
    }
}
