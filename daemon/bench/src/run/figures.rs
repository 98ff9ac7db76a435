//! What is made of the figures of several runs.

use serde::Serialize;

/// One run of one program.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Run {
    /// From the start of the command to its end.
    pub(crate) seconds: f64,
    /// Processor seconds on either side.
    pub(crate) sender_cpu: f64,
    pub(crate) receiver_cpu: f64,
    /// The most resident memory on either side, in MiB, where it is known.
    pub(crate) sender_peak: Option<f64>,
    pub(crate) receiver_peak: Option<f64>,
    /// It was stopped, having taken longer than anybody would wait.
    pub(crate) gave_up: bool,
}

/// The middle one; of an even count the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The largest, if there is any.
pub(crate) fn largest(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    values.into_iter().max_by(f64::total_cmp)
}

/// A count as a number to calculate with: exact below 2^53.
#[allow(clippy::cast_precision_loss, reason = "a figure to read")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle_whatever_the_order() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median([]).is_nan());
    }
}
