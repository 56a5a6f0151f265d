//! The learning rate over a run.

use crate::config::{Decay, ScheduleSection};

/// The factor on the highest learning rate at `step` (from 0) of `total`.
///
/// With warm-up `w`, hold `h` and floor `r`: `(step + 1) / w` while `step < w`, then 1 for `h` steps, then from 1 to `r` along
/// half a cosine, `r + (1 - r) (1 + cos(pi f)) / 2`, or a line, `r + (1 - r) (1 - f)`, with `f` the elapsed part of the rest.
pub fn learning_rate_factor(schedule: &ScheduleSection, step: u64, total: u64) -> f64 {
    if step < schedule.warmup_steps {
        return (step + 1) as f64 / schedule.warmup_steps as f64;
    }
    let decay_from = schedule.warmup_steps + schedule.hold_steps;
    if step < decay_from || total <= decay_from {
        return 1.0;
    }
    let elapsed = ((step - decay_from) as f64 / (total - decay_from) as f64).min(1.0);
    let shape = match schedule.decay {
        Decay::Cosine => f64::midpoint(1.0, (std::f64::consts::PI * elapsed).cos()),
        Decay::Linear => 1.0 - elapsed,
    };
    schedule.min_ratio + (1.0 - schedule.min_ratio) * shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> ScheduleSection {
        ScheduleSection { warmup_steps: 10, hold_steps: 20, decay, min_ratio: 0.1 }
    }

    #[test]
    fn the_rate_rises_holds_and_falls_to_its_floor() {
        let cosine = schedule(Decay::Cosine);
        let at = |step| learning_rate_factor(&cosine, step, 130);
        assert_eq!(at(0), 0.1);
        assert_eq!(at(9), 1.0);
        assert_eq!(at(29), 1.0);
        assert_eq!(at(30), 1.0);
        assert!((at(80) - 0.55).abs() < 1e-12, "half way the cosine is half way: {}", at(80));
        assert!((at(129) - 0.1).abs() < 1e-3);
        assert!((31..130).all(|step| at(step) < at(step - 1)));
    }

    #[test]
    fn a_line_falls_evenly() {
        let line = schedule(Decay::Linear);
        let at = |step| learning_rate_factor(&line, step, 130);
        assert!((at(55) - 0.775).abs() < 1e-12);
        assert!(((at(60) - at(61)) - (at(120) - at(121))).abs() < 1e-12);
    }

    #[test]
    fn without_room_for_a_decay_the_rate_stays() {
        assert_eq!(learning_rate_factor(&schedule(Decay::Cosine), 29, 30), 1.0);
    }
}
