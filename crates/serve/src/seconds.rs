//! Times of run files.

use std::time::Duration;

/// Seconds as a time; what is no time is none, and what is longer than any is a year.
pub(crate) fn seconds(secs: f64) -> Duration {
    const LONGEST: Duration = Duration::from_hours(365 * 24);
    Duration::try_from_secs_f64(secs.max(0.0)).map_or(LONGEST, |time| time.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_that_are_no_time_are_none_or_very_long() {
        assert_eq!(seconds(0.25), Duration::from_millis(250));
        assert_eq!([seconds(-1.0), seconds(f64::NAN)], [Duration::ZERO; 2]);
        assert_eq!(seconds(f64::INFINITY), seconds(1e300));
    }
}
