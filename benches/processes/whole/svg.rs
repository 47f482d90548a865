//! Curves over chunks in flight, as SVG by hand. Knows nothing of what the figures are.

use std::fmt::Write;

use crate::support::Spread;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 80.0;

/// Told apart by lightness too.
const COLOURS: [&str; 4] = ["#1b4f8f", "#d1662b", "#4a9a5b", "#777777"];

/// A drawing.
#[derive(Clone, Debug)]
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// What is upwards.
    pub(crate) unit: &'a str,
    /// Where and when.
    pub(crate) note: &'a str,
    /// The places on the horizontal axis, from left to right.
    pub(crate) places: &'a [usize],
    pub(crate) curves: Vec<Curve>,
}

/// A line, with its quartiles as a shade.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// One for each place.
    pub(crate) points: Vec<Spread>,
}

impl Chart<'_> {
    pub(crate) fn draw(&self) -> String {
        let (top, step) = self.scale();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let title = "font-size=\"16\" font-weight=\"bold\"";
        text(&mut svg, LEFT, 28.0, title, self.title);
        text(
            &mut svg,
            LEFT,
            HEIGHT - 14.0,
            "font-size=\"11\" fill=\"#555\"",
            self.note,
        );
        let mut value = 0.0;
        while value <= top + step / 2.0 {
            let y = upwards(value / top);
            line(&mut svg, (LEFT, y), (WIDTH - RIGHT, y), "#ddd");
            let label = if step < 1.0 {
                format!("{value:.1}")
            } else {
                format!("{value:.0}")
            };
            text(&mut svg, LEFT - 8.0, y + 4.0, "text-anchor=\"end\"", &label);
            value += step;
        }
        text(
            &mut svg,
            LEFT - 8.0,
            TOP - 10.0,
            "text-anchor=\"end\"",
            self.unit,
        );
        for (at, place) in self.places.iter().enumerate() {
            let middle = "text-anchor=\"middle\"";
            text(
                &mut svg,
                self.x(at),
                HEIGHT - BOTTOM + 20.0,
                middle,
                &place.to_string(),
            );
        }
        let below = HEIGHT - BOTTOM + 40.0;
        text(&mut svg, LEFT, below, "", "chunks in flight");
        for (curve, colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            self.shade(&mut svg, curve, colour, top);
        }
        let mut labels = Vec::new();
        for (curve, colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            self.curve(&mut svg, curve, colour, top);
            if let Some(last) = curve.points.last() {
                labels.push((upwards(last.median / top) + 4.0, &curve.name, colour));
            }
        }
        labels.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        let mut free = 0.0;
        for (y, name, colour) in labels {
            let y = f64::max(y, free);
            text(
                &mut svg,
                WIDTH - RIGHT + 10.0,
                y,
                &format!("fill=\"{colour}\""),
                name,
            );
            free = y + 16.0;
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn curve(&self, svg: &mut String, curve: &Curve, colour: &str, top: f64) {
        let points: Vec<String> = (curve.points.iter().enumerate())
            .map(|(at, point)| format!("{:.1},{:.1}", self.x(at), upwards(point.median / top)))
            .collect();
        let points = points.join(" ");
        writeln!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>"
        )
        .expect("a string takes all");
        for (at, point) in curve.points.iter().enumerate() {
            let (x, y) = (self.x(at), upwards(point.median / top));
            writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
            )
            .expect("a string takes all");
        }
    }

    fn shade(&self, svg: &mut String, curve: &Curve, colour: &str, top: f64) {
        let points = curve.points.iter().enumerate();
        let high = points.clone().map(|(at, point)| (at, point.high));
        let low = points.rev().map(|(at, point)| (at, point.low));
        let edge: Vec<String> = high
            .chain(low)
            .map(|(at, value)| format!("{:.1},{:.1}", self.x(at), upwards(value / top)))
            .collect();
        let edge = edge.join(" ");
        writeln!(
            svg,
            "<polygon points=\"{edge}\" fill=\"{colour}\" opacity=\"0.15\"/>"
        )
        .expect("a string takes all");
    }

    /// The places lie evenly: each is twice the one before.
    fn x(&self, at: usize) -> f64 {
        let steps = (self.places.len() - 1).max(1) as f64;
        LEFT + (WIDTH - LEFT - RIGHT) * at as f64 / steps
    }

    /// The end of the vertical axis, and the distance of its lines: 1, 2 or 5 times a power of ten, so that there are
    /// four to ten of them.
    fn scale(&self) -> (f64, f64) {
        let points = self.curves.iter().flat_map(|curve| &curve.points);
        let most = points.map(|point| point.high).fold(0.0, f64::max).max(0.1);
        let power = 10_f64.powf(most.log10().floor());
        let steps = [0.1, 0.2, 0.5, 1.0].map(|step| step * power);
        let step = steps
            .into_iter()
            .find(|step| most / step <= 9.0)
            .unwrap_or(power);
        ((most / step).ceil() * step, step)
    }
}

fn upwards(share: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
}

fn text(svg: &mut String, x: f64, y: f64, style: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>")
        .expect("a string takes all");
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    )
    .expect("a string takes all");
}
