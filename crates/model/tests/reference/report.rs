//! What was compared, what was found, and the verdict.

use burn::Tensor;

use crate::files::Root;

/// Comparisons of one file.
pub(crate) struct Run {
    file: String,
    lines: Vec<String>,
    failures: Vec<String>,
}

impl Run {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.into(), lines: Vec::new(), failures: Vec::new() }
    }

    /// Largest absolute difference, finite values required.
    pub(crate) fn close(&mut self, what: &str, found: &[f32], expected: &[f32], limit: f32) {
        self.differences(what, found, expected, limit, |difference, _| difference);
    }

    /// Largest difference relative to the value expected.
    pub(crate) fn close_relative(&mut self, what: &str, found: &[f32], expected: &[f32], limit: f32) {
        self.differences(what, found, expected, limit, |difference, expected| difference / expected.abs());
    }

    /// Norm of the difference over the norm of what was expected.
    pub(crate) fn close_in_norm(&mut self, what: &str, found: &[f32], expected: &[f32], limit: f32) {
        if found.len() != expected.len() {
            return self.fail(what, format!("{} values, expected {}", found.len(), expected.len()));
        }
        let norm =
            |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        let difference = norm(&mut found.iter().zip(expected).map(|(found, expected)| found - expected));
        let relative = (difference / norm(&mut expected.iter().copied())) as f32;
        self.verdict(what, relative, limit, String::new());
    }

    pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: &[T], expected: &[T]) {
        let at = found.iter().zip(expected).position(|(found, expected)| found != expected);
        if found.len() != expected.len() {
            self.fail(what, format!("{} values, expected {}", found.len(), expected.len()));
        } else if let Some(at) = at {
            self.fail(what, format!("{:?} at {at}, expected {:?}", found[at], expected[at]));
        } else {
            self.lines.push(format!("{what}: equal ({})", found.len()));
        }
    }

    pub(crate) fn tensor<const D: usize>(&mut self, what: &str, found: &Tensor<D>, expected: &[f32], limit: f32) {
        self.close(what, &values(found), expected, limit);
    }

    fn differences(
        &mut self,
        what: &str,
        found: &[f32],
        expected: &[f32],
        limit: f32,
        measure: impl Fn(f32, f32) -> f32,
    ) {
        if found.len() != expected.len() {
            return self.fail(what, format!("{} values, expected {}", found.len(), expected.len()));
        }
        if let Some(at) = found.iter().position(|value| !value.is_finite()) {
            return self.fail(what, format!("{} at {at}", found[at]));
        }
        let (mut largest, mut index) = (0.0, 0);
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = measure((found - expected).abs(), *expected);
            if difference > largest {
                (largest, index) = (difference, at);
            }
        }
        self.verdict(what, largest, limit, format!(" at {index} of {}", found.len()));
    }

    fn verdict(&mut self, what: &str, largest: f32, limit: f32, place: String) {
        let text = format!("largest difference {largest:.1e}{place}, limit {limit:.0e}");
        // Written so that NaN fails.
        if largest <= limit { self.lines.push(format!("{what}: {text}")) } else { self.fail(what, text) }
    }

    fn fail(&mut self, what: &str, text: String) {
        self.lines.push(format!("{what}: FAILED, {text}"));
        self.failures.push(format!("{}: {what}: {text}", self.file));
    }
}

pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.try_to_vec_as().unwrap()
}

/// All files of one test.
#[derive(Default)]
pub(crate) struct Runs(Vec<Run>);

impl Runs {
    pub(crate) fn push(&mut self, run: Run) {
        self.0.push(run);
    }

    /// Prints one line a file, and all comparisons with `VISIONTHINK_REFERENCE_VERBOSE`; fails if any did.
    pub(crate) fn finish(self, root: &Root) {
        let verbose = std::env::var_os("VISIONTHINK_REFERENCE_VERBOSE").is_some();
        // The test runner leaves its line open.
        println!();
        for run in &self.0 {
            assert!(!run.lines.is_empty(), "{}: nothing was compared", run.file);
            println!("reference {}: 1 cases, {} passed", run.file, u8::from(run.failures.is_empty()));
            for line in run.lines.iter().filter(|_| verbose) {
                println!("    {line}");
            }
        }
        assert!(!self.0.is_empty() || !root.fixtures, "the fixtures hold no case for this test");
        let failures: Vec<String> = self.0.into_iter().flat_map(|run| run.failures).collect();
        assert!(failures.is_empty(), "{} comparisons failed:\n{}", failures.len(), failures.join("\n"));
    }
}
