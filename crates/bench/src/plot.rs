//! An SVG of latency and of cost against the number of sessions, both axes logarithmic.

use std::fmt::Write as _;

use crate::scenario::outcome::Outcome;
use crate::scenario::stage::Delivering;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 30.0;
const TOP: f64 = 82.0;
const BOTTOM: f64 = 325.0;
/// More marks than this do not find room for their numbers: then only powers of ten have one.
const MARKS_MAX: usize = 12;
const COLOURS: [&str; 9] = [
    "#1b6ca8", "#d1495b", "#3a7d44", "#8f5fbf", "#c77700", "#555555", "#00909e", "#a44a8a",
    "#8a8a00",
];

/// A line of a panel.
struct Line {
    name: String,
    colour: &'static str,
    is_dashed: bool,
    points: Vec<(f64, f64)>,
}

/// Two panels side by side; a line for each way of publishing, in each of them.
pub(crate) fn svg(outcomes: &[Outcome]) -> String {
    let mut ways: Vec<String> = Vec::new();
    for outcome in outcomes {
        let way = way(outcome);
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    let (mut latency, mut cost) = (Vec::new(), Vec::new());
    for (way_name, colour) in ways.iter().zip(COLOURS.iter().cycle()) {
        let line = |is_dashed, value: fn(&Delivering) -> f64| {
            let of_way = outcomes.iter().filter(|outcome| way(outcome) == *way_name);
            let point = |outcome: &Outcome| {
                let sessions = outcome.opening.as_ref()?.sessions as f64;
                Some((sessions, value(outcome.delivering.as_ref()?)))
            };
            Line {
                name: way_name.clone(),
                colour,
                is_dashed,
                points: of_way.filter_map(point).collect(),
            }
        };
        latency.push(line(false, |it| it.p50_us as f64 / 1e3));
        latency.push(line(true, |it| it.p99_us as f64 / 1e3));
        cost.push(line(false, |it| it.cpu_s_per_million));
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        width = 2.0 * WIDTH
    );
    let title = "Publish to arrival, milliseconds (solid p50, dashed p99)";
    panel(&mut svg, 0.0, title, &latency);
    let title = "CPU seconds of the hub for a million deliveries";
    panel(&mut svg, WIDTH, title, &cost);
    svg.push_str("</svg>\n");
    svg
}

/// How it was published, in words for a legend.
fn way(outcome: &Outcome) -> String {
    let pace = outcome
        .pace
        .map_or(String::new(), |pace| format!("{pace:?}").to_lowercase());
    let by = outcome
        .by
        .map_or(String::new(), |by| format!("{by:?}").to_lowercase());
    format!("{pace} by {by}")
}

/// An axis: from where to where, and how far along a value lies.
struct Axis {
    marks: Vec<f64>,
    start: f64,
    end: f64,
}

impl Axis {
    /// Around all values, from mark to mark.
    fn around(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let (mut min, mut max) = (f64::MAX, f64::MIN_POSITIVE);
        for value in values.filter(|value| *value > 0.0) {
            (min, max) = (min.min(value), max.max(value));
        }
        if min > max {
            (min, max) = (1.0, 10.0);
        }
        let decades = min.log10().floor() as i32..=max.log10().ceil() as i32;
        let all: Vec<f64> = decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)))
            .collect();
        let first = all.iter().rposition(|mark| *mark <= min).unwrap_or(0);
        let last = all
            .iter()
            .position(|mark| *mark >= max)
            .unwrap_or(all.len() - 1);
        let last = last.max(first + 1).min(all.len() - 1);
        Self {
            marks: all[first..=last].to_vec(),
            start,
            end,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let (min, max) = (
            self.marks[0].log10(),
            self.marks[self.marks.len() - 1].log10(),
        );
        self.start + (value.log10() - min) / (max - min) * (self.end - self.start)
    }

    /// Marks, and the numbers of those that have room for one.
    fn numbered(&self) -> impl Iterator<Item = (f64, String)> {
        let few = self.marks.len() <= MARKS_MAX;
        self.marks.iter().map(move |&mark| {
            let is_power = (mark.log10() - mark.log10().round()).abs() < 1e-9;
            let text = match mark {
                _ if !few && !is_power => String::new(),
                mark if mark >= 1000.0 => format!("{}k", mark / 1000.0),
                // Rounded, for two tenths are not quite 0.2.
                mark => format!("{}", (mark * 1e6).round() / 1e6),
            };
            (self.place(mark), text)
        })
    }
}

fn panel(svg: &mut String, x: f64, title: &str, lines: &[Line]) {
    let points = || lines.iter().flat_map(|line| &line.points);
    let across = Axis::around(points().map(|point| point.0), x + LEFT, x + RIGHT);
    let up = Axis::around(points().map(|point| point.1), BOTTOM, TOP);
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{title}</text>",
        x + LEFT
    );
    for (px, text) in across.numbered() {
        let _ = writeln!(
            svg,
            "<line x1=\"{px:.1}\" y1=\"{TOP}\" x2=\"{px:.1}\" y2=\"{BOTTOM}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{px:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#444\">{text}</text>",
            BOTTOM + 18.0
        );
    }
    for (py, text) in up.numbered() {
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" y1=\"{py:.1}\" x2=\"{}\" y2=\"{py:.1}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444\">{text}</text>",
            x + LEFT,
            x + RIGHT,
            x + LEFT - 8.0,
            py + 4.0
        );
    }
    for line in lines {
        draw(svg, line, &across, &up);
    }
    // A dashed line belongs to the solid one of its colour.
    for (index, line) in lines.iter().filter(|line| !line.is_dashed).enumerate() {
        legend(svg, line, x + LEFT, index);
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">sessions</text>",
        x + f64::midpoint(LEFT, RIGHT),
        BOTTOM + 40.0
    );
}

fn draw(svg: &mut String, line: &Line, across: &Axis, up: &Axis) {
    let mut points: Vec<(f64, f64)> = line
        .points
        .iter()
        .filter(|point| point.1 > 0.0)
        .map(|&(sessions, value)| (across.place(sessions), up.place(value)))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let path: Vec<String> = points
        .iter()
        .map(|(px, py)| format!("{px:.1},{py:.1}"))
        .collect();
    let (colour, dashes) = (line.colour, dashes(line));
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
        path.join(" ")
    );
    // A single number of sessions makes no line, but a point.
    for (px, py) in points {
        let _ = writeln!(
            svg,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\" fill=\"{colour}\"/>"
        );
    }
}

/// Names in rows of three below the title: as many as there are paces and calls.
fn legend(svg: &mut String, line: &Line, left: f64, index: usize) {
    const COLUMNS: usize = 3;
    let px = left + (index % COLUMNS) as f64 * (RIGHT - LEFT) / COLUMNS as f64;
    let py = 42.0 + (index / COLUMNS) as f64 * 14.0;
    let colour = line.colour;
    let _ = writeln!(
        svg,
        "<line x1=\"{px}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{colour}\" stroke-width=\"2\"/>\
         <text x=\"{}\" y=\"{py}\" font-size=\"11\">{}</text>",
        py - 4.0,
        px + 20.0,
        py - 4.0,
        px + 26.0,
        line.name
    );
}

fn dashes(line: &Line) -> &'static str {
    if line.is_dashed {
        " stroke-dasharray=\"5 3\""
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_enclose_all_values_and_are_never_the_same() {
        let marks = |values: &[f64]| Axis::around(values.iter().copied(), 0.0, 1.0).marks;
        assert_eq!(marks(&[30.0, 250.0]), [20.0, 50.0, 100.0, 200.0, 500.0]);
        assert_eq!(marks(&[100.0]), [100.0, 200.0]);
        assert_eq!(marks(&[500.0]), [500.0, 1000.0]);
        assert_eq!(marks(&[]).len(), 4);
        let axis = Axis::around([10.0, 1000.0].into_iter(), 50.0, 250.0);
        assert!((axis.place(100.0) - 150.0).abs() < 1e-9);
    }
}
