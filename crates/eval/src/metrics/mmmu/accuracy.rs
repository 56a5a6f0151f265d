//! Accuracy by subject, domain and over all.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::ratio;
use crate::python::character::digit_value;
use crate::python::number::round;

const DOMAINS: [(&str, &[&str]); 6] = [
    ("Overall-Art and Design", &["Art", "Art_Theory", "Design", "Music"]),
    ("Overall-Business", &["Accounting", "Economics", "Finance", "Manage", "Marketing"]),
    ("Overall-Science", &["Biology", "Chemistry", "Geography", "Math", "Physics"]),
    (
        "Overall-Health and Medicine",
        &[
            "Basic_Medical_Science",
            "Clinical_Medicine",
            "Diagnostics_and_Laboratory_Medicine",
            "Pharmacy",
            "Public_Health",
        ],
    ),
    ("Overall-Humanities and Social Science", &["History", "Literature", "Sociology", "Psychology"]),
    (
        "Overall-Tech and Engineering",
        &[
            "Agriculture",
            "Architecture_and_Engineering",
            "Computer_Science",
            "Electronics",
            "Energy_and_Power",
            "Materials",
            "Mechanical_Engineering",
        ],
    ),
];

/// The subject in an id such as `validation_Art_Theory_12`.
///
/// Source: lmms-eval, `extract_subset_name` of `tasks/mmmu/utils`, v0.3.2.
pub fn subject(id: &str) -> Option<&str> {
    let (_, rest) = id.split_once('_')?;
    let (subject, number) = rest.rsplit_once('_')?;
    let numbered = !number.is_empty() && number.chars().all(|c| digit_value(c).is_some());
    (numbered && !subject.is_empty()).then_some(subject)
}

/// Counts of right and of all answers by subject.
#[derive(Debug, Clone, Default)]
pub struct Subjects(BTreeMap<String, (usize, usize)>);

impl Subjects {
    /// Counts an answer.
    pub fn add(&mut self, subject: &str, right: bool) {
        let (right_so_far, total) = self.0.entry(subject.to_owned()).or_default();
        *right_so_far += usize::from(right);
        *total += 1;
    }
}

/// Number of questions and share of right answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Group {
    /// Questions.
    pub num: usize,
    /// Share of right answers, 0 to 1, five decimals; 0 of no questions.
    pub acc: f64,
}

impl Group {
    fn of(right: usize, num: usize) -> Self {
        Self { num, acc: round(ratio(right, num), 5) }
    }
}

/// Accuracies, 0 to 1, five decimals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Of all questions, also of subjects without a domain.
    pub overall: f64,
    /// Of the six domains (`Overall-…`) and of each of their subjects that has questions.
    pub groups: BTreeMap<String, Group>,
}

/// The accuracies. A question counts the same wherever it is counted.
///
/// Source: lmms-eval, `mmmu_aggregate_results` of `tasks/mmmu/utils`, v0.3.2, and the same for MMMU-Pro.
pub fn aggregate(subjects: &Subjects) -> Scores {
    let mut groups = BTreeMap::new();
    for (domain, names) in DOMAINS {
        let (mut right, mut num) = (0, 0);
        for name in names {
            if let Some((subject_right, subject_num)) = subjects.0.get(*name) {
                groups.insert((*name).to_owned(), Group::of(*subject_right, *subject_num));
                right += subject_right;
                num += subject_num;
            }
        }
        groups.insert(domain.to_owned(), Group::of(right, num));
    }
    let (right, num) = subjects.0.values().fold((0, 0), |(right, num), (r, n)| (right + r, num + n));
    Scores { overall: Group::of(right, num).acc, groups }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_between_the_split_and_the_number() {
        assert_eq!(subject("validation_Art_Theory_12"), Some("Art_Theory"));
        assert_eq!(subject("test_Math_1"), Some("Math"));
        for id in ["validation_Math", "validation_1", "validation__1", "Math", "validation_Math_x", ""] {
            assert_eq!(subject(id), None, "{id}");
        }
    }

    #[test]
    fn questions_are_weighted_by_their_number() {
        let mut subjects = Subjects::default();
        for (subject, right) in [("Art", true), ("Music", false), ("Music", false), ("Cooking", true)] {
            subjects.add(subject, right);
        }
        let scores = aggregate(&subjects);
        assert_eq!(scores.overall, 0.5);
        assert_eq!(scores.groups.get("Overall-Art and Design"), Some(&Group { num: 3, acc: 0.33333 }));
        assert_eq!(scores.groups.get("Overall-Business"), Some(&Group { num: 0, acc: 0.0 }));
        assert!(!scores.groups.contains_key("Cooking") && !scores.groups.contains_key("Design"));
    }
}
