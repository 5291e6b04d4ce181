//! An SVG of latency and of cost against the number of subscribers, both axes logarithmic.

use std::fmt::Write as _;

use crate::bars::short;
use crate::scenario::run::Outcome;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 250.0;
const TOP: f64 = 40.0;

/// A line of a panel: its name, its colour, its points.
type Line = (&'static str, &'static str, Vec<(f64, f64)>);

/// Two panels side by side.
pub(crate) fn svg(outcomes: &[Outcome]) -> String {
    let at = |value: fn(&Outcome) -> f64| -> Vec<(f64, f64)> {
        outcomes
            .iter()
            .map(|outcome| (outcome.sessions as f64, value(outcome)))
            .collect()
    };
    let latency = [
        ("p50", "#2a9d8f", at(|o| o.p50_us as f64)),
        ("p99", "#e76f51", at(|o| o.p99_us as f64)),
    ];
    let cost = [("hub", "#264653", at(|o| o.cpu_s_per_million))];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * WIDTH
    );
    panel(&mut svg, 0.0, "publish to arrival, µs", &latency);
    panel(&mut svg, WIDTH, "CPU seconds per million deliveries", &cost);
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, x: f64, title: &str, lines: &[Line]) {
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let (x_min, x_max) = decades(points().map(|point| point.0));
    let (y_min, y_max) = decades(points().map(|point| point.1));
    let right = WIDTH - 20.0;
    let place = |(px, py): (f64, f64)| {
        let share = |value: f64, min: f64, max: f64| (value.log10() - min) / (max - min);
        (
            x + LEFT + share(px, x_min, x_max) * (right - LEFT),
            BOTTOM - share(py, y_min, y_max) * (BOTTOM - TOP),
        )
    };
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"22\" font-weight=\"bold\">{title}</text>",
        x + LEFT
    );
    for decade in x_min as i32..=x_max as i32 {
        let (px, _) = place((10f64.powi(decade), 10f64.powf(y_min)));
        let _ = writeln!(
            svg,
            "<line x1=\"{px}\" y1=\"{TOP}\" x2=\"{px}\" y2=\"{BOTTOM}\" stroke=\"#ddd\"/>\
             <text x=\"{px}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 18.0,
            short(10f64.powi(decade))
        );
    }
    for decade in y_min as i32..=y_max as i32 {
        let (_, py) = place((10f64.powf(x_min), 10f64.powi(decade)));
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" y1=\"{py}\" x2=\"{}\" y2=\"{py}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            x + LEFT,
            x + right,
            x + LEFT - 6.0,
            py + 4.0,
            short(10f64.powi(decade))
        );
    }
    for (index, (name, colour, points)) in lines.iter().enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|&point| place(point))
            .map(|(px, py)| format!("{px:.1},{py:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"22\" fill=\"{colour}\" text-anchor=\"end\">{name}</text>",
            path.join(" "),
            x + right - 40.0 * index as f64
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">subscribers</text>",
        x + f64::midpoint(LEFT, right),
        BOTTOM + 36.0
    );
}

/// The powers of ten around all values; at least one apart.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let positive = values.filter(|value| *value > 0.0);
    let (min, max) = positive.fold((f64::MAX, f64::MIN_POSITIVE), |(min, max), value| {
        (min.min(value), max.max(value))
    });
    let low = min.log10().floor();
    (low, max.log10().ceil().max(low + 1.0))
}

#[cfg(test)]
mod tests {
    use super::decades;

    #[test]
    fn decades_enclose_all_values_and_are_never_the_same() {
        assert_eq!(decades([30.0, 250.0].into_iter()), (1.0, 3.0));
        assert_eq!(decades([100.0].into_iter()), (2.0, 3.0));
    }
}
