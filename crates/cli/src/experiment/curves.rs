//! Numbers of `metrics.jsonl` over the steps, variant beside variant.

use std::collections::BTreeMap;

use visionthink_plot::{LineChart, Series, Style};

use super::definition::{Definition, Plot, Trial};
use super::trial::curve;

/// The plot as an SVG file: a line a variant, the mean of its seeds, in a band from the lowest to the highest of them. A run that ended early
/// is part of neither behind its last step.
pub(crate) fn draw(definition: &Definition, trials: &[Trial], plot: &Plot) -> anyhow::Result<String> {
    let mut series = Vec::with_capacity(definition.variants.len());
    for (index, variant) in definition.variants.iter().enumerate() {
        let mut steps: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for trial in trials.iter().filter(|trial| trial.variant == index) {
            for (step, value) in curve(&trial.folder(), &plot.metric)? {
                steps.entry(step).or_default().push(value);
            }
        }
        // A run of another kind has other numbers.
        if !steps.is_empty() {
            series.push(line(&variant.label, &steps));
        }
    }
    let chart = LineChart {
        y_label: plot.axis.clone(),
        y_range: plot.range,
        ..LineChart::new(plot.title.clone(), "step", series)
    };
    Ok(chart.svg(Style::File))
}

fn line(name: &str, steps: &BTreeMap<u64, Vec<f64>>) -> Series {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let points = steps.iter().map(|(step, values)| (*step as f64, mean(values))).collect();
    let lowest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let band = steps.iter().map(|(step, values)| (*step as f64, lowest(values), highest(values))).collect();
    Series { band, ..Series::new(name, points) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_mean_of_the_seeds_that_got_so_far() {
        let steps = BTreeMap::from([(1, vec![0.0, 0.5]), (2, vec![0.25])]);
        let line = line("x", &steps);
        assert_eq!(line.points, [(1.0, 0.25), (2.0, 0.25)]);
        assert_eq!(line.band, [(1.0, 0.0, 0.5), (2.0, 0.25, 0.25)]);
    }
}
