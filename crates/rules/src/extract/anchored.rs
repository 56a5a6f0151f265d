//! Mathematics behind *final answer is* and *answer*.

use crate::text::{is_space, skip_while, starts_with, starts_with_ignoring_case};

use super::{Matcher, Place};

const FINAL_ANSWER: &str = "final answer";
const ANSWER: &str = "answer";
/// How far behind *final answer* its *is* may stand.
const TO_IS: usize = 100;
/// How far behind *answer* the mathematics may begin.
const TO_ANSWER: usize = 50;

/// Tries every position; a match begins at its anchor and hides those that overlap it.
fn search(text: &[char], read: impl Fn(usize) -> Option<Place>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match read(at) {
            Some(place) => {
                let start = at;
                at = place.end.max(at + 1);
                places.push(Place { start, ..place });
            }
            None => at += 1,
        }
    }
    places
}

/// Mathematics behind white space, or behind the white space but one, which arithmetic wants before itself.
fn spaced(text: &[char], at: usize, matcher: Matcher) -> Option<Place> {
    let end = skip_while(text, at, is_space);
    (at..=end).rev().find_map(|start| matcher(text, start))
}

/// *Final answer is* X, I hope.
pub(super) fn before_i_hope(text: &[char], matcher: Matcher) -> Vec<Place> {
    const IS: &str = "final answer is";
    search(text, |at| {
        if !starts_with_ignoring_case(text, at, IS) {
            return None;
        }
        let after = at + IS.len();
        let place = spaced(text, after + usize::from(text.get(after) == Some(&':')), matcher)?;
        let dot = place.end + usize::from(text.get(place.end) == Some(&'.'));
        let hope = dot + usize::from(text.get(dot).is_some_and(|&c| is_space(c)));
        starts_with(text, hope, "I hope").then_some(place)
    })
}

/// *Final answer … is* X.
pub(super) fn after_final_answer(text: &[char], matcher: Matcher) -> Vec<Place> {
    search(text, |at| {
        if !starts_with_ignoring_case(text, at, FINAL_ANSWER) {
            return None;
        }
        let from = at + FINAL_ANSWER.len();
        (from..=from + TO_IS).find_map(|space| {
            let is = skip_while(text, space, is_space);
            if is == space || !starts_with(text, is, "is") {
                return None;
            }
            spaced(text, is + 2 + usize::from(text.get(is + 2) == Some(&':')), matcher)
        })
    })
}

/// *Answer* (with or without a colon) … X: the nearest place, but one in front of `=` is no answer.
pub(super) fn after_answer(text: &[char], matcher: Matcher, colon: bool) -> Vec<Place> {
    search(text, |at| {
        if !starts_with_ignoring_case(text, at, ANSWER) {
            return None;
        }
        let from = at + ANSWER.len();
        if colon && text.get(from) != Some(&':') {
            return None;
        }
        let from = from + usize::from(colon);
        (from..=from + TO_ANSWER).filter(|&start| start <= text.len()).find_map(|start| {
            matcher(text, start).filter(|place| text.get(skip_while(text, place.end, is_space)) != Some(&'='))
        })
    })
}
