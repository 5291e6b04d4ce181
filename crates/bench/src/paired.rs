//! Honest ratios on a noisy machine: two things measured in alternating blocks, a ratio for each pair, the median of them.

/// The ratio of two costs, measured in pairs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    /// First and second cost of each pair, in the same unit.
    pub(crate) costs: Vec<(f64, f64)>,
}

/// A median with its bounds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Pairs {
    pub(crate) fn push(&mut self, first: f64, second: f64) {
        self.costs.push((first, second));
    }

    /// Second over first, pair by pair: above 1 where the first is cheaper.
    pub(crate) fn ratio(&self) -> Spread {
        Spread::of(self.costs.iter().map(|(first, second)| second / first))
    }

    pub(crate) fn first(&self) -> Spread {
        Spread::of(self.costs.iter().map(|(first, _)| *first))
    }

    pub(crate) fn second(&self) -> Spread {
        Spread::of(self.costs.iter().map(|(_, second)| *second))
    }
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let median = match values.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => values[len / 2],
            len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
        };
        Self {
            median,
            min: values.first().copied().unwrap_or(f64::NAN),
            max: values.last().copied().unwrap_or(f64::NAN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_taken_pair_by_pair() {
        let mut pairs = Pairs::default();
        // The machine was three times as slow in the second pair: the ratio does not care.
        for (first, second) in [(2.0, 1.0), (6.0, 3.0), (2.0, 1.2)] {
            pairs.push(first, second);
        }
        let ratio = pairs.ratio();
        assert!((ratio.median - 0.5).abs() < 1e-9 && (ratio.max - 0.6).abs() < 1e-9);
    }
}
