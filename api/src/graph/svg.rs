//! A picture in SVG: one file without scripts, fonts or anything from elsewhere, for light and dark pages.

use super::layout::{Layout, Line, Rect, Size, Way, layout};
use super::{Arrow, Item, Picture, Shape, columns};
use std::fmt::Write;

/// How wide a letter is; the font is one of which all are.
const LETTER: f64 = 8.0;
/// How high a line of text is.
const TEXT: f64 = 18.0;
/// How wide a letter of a label is.
const SMALL: f64 = 7.0;
/// What is free to the left and right of a text in its box.
const SIDE: f64 = 16.0;

const STYLE: &str = "\
.back{fill:#fff}text{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1c2128;text-anchor:middle}\
.name{font-weight:600}.label{font-size:11.5px;fill:#495057}.box>*{stroke:#57606a;stroke-width:1.2;fill:#f6f8fa}\
.box>text,.box>title{stroke:none;fill:#1c2128}.stage>path{fill:#ddf4ff;stroke:#0969da}.choice>path{fill:#fff8c5;stroke:#9a6700}\
.person>path{fill:#fbefff;stroke:#8250df}.workflow>path{fill:#dafbe1;stroke:#1a7f37}.failure>path{fill:#ffebe9;stroke:#cf222e}\
.way{fill:none;stroke:#57606a;stroke-width:1.3}.dashed{stroke-dasharray:5 4}.tip{fill:#57606a}.under{fill:#fff}\
@media(prefers-color-scheme:dark){.back,.under{fill:#0d1117}text,.box>text{fill:#e6edf3}.label{fill:#b1bac4}\
.box>path{fill:#161b22;stroke:#8b949e}.stage>path{fill:#0c2d6b;stroke:#58a6ff}.choice>path{fill:#3b2300;stroke:#d29922}\
.person>path{fill:#3c1e70;stroke:#bc8cff}.workflow>path{fill:#033a16;stroke:#3fb950}.failure>path{fill:#67060c;stroke:#ff7b72}\
.way{stroke:#8b949e}.tip{fill:#8b949e}}";

/// Draws it.
pub(crate) fn svg(picture: &Picture) -> String {
    let Layout { size, boxes, ways } = laid(picture);
    let Size { width, height } = size;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n\
         <style>{STYLE}</style>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n",
        escaped(&picture.title),
        escaped(&described(picture)),
    );
    for (arrow, way) in picture.arrows.iter().zip(&ways) {
        line(&mut out, arrow, way);
    }
    for (item, rect) in picture.boxes.iter().zip(&boxes) {
        square(&mut out, item, rect);
    }
    for (arrow, way) in picture.arrows.iter().zip(&ways) {
        label(&mut out, arrow, way);
    }
    out + "</svg>\n"
}

/// Where everything of a picture is.
pub(super) fn laid(picture: &Picture) -> Layout {
    let boxes: Vec<Size> = picture.boxes.iter().map(measured).collect();
    let lines: Vec<Line> = picture
        .arrows
        .iter()
        .map(|arrow| Line { from: arrow.from, to: arrow.to, label: arrow.label.as_deref().map(small) })
        .collect();
    layout(&boxes, &lines, picture.end)
}

/// How large a box is, by the letters in it.
fn measured(item: &Item) -> Size {
    let widest = item.lines.iter().map(|line| columns(line)).max().unwrap_or(0);
    let bars = if matches!(item.shape, Shape::Choice | Shape::Workflow) { 16.0 } else { 0.0 };
    Size {
        width: (widest as f64 * LETTER + 2.0 * SIDE + bars).max(64.0),
        height: item.lines.len() as f64 * TEXT + 16.0,
    }
}

fn small(label: &str) -> Size {
    Size { width: columns(label) as f64 * SMALL + 8.0, height: TEXT }
}

/// The same in words, for who cannot see it.
fn described(picture: &Picture) -> String {
    let name = |place: usize| picture.boxes[place].lines.first().map_or("", String::as_str);
    let mut text = picture.describe.iter().map(|it| format!("{it} ")).collect::<String>();
    for arrow in &picture.arrows {
        let label = arrow.label.iter().map(|label| format!(", {label}")).collect::<String>();
        let _ = write!(text, "{}{label}: to {}. ", name(arrow.from), name(arrow.to));
    }
    text.trim_end().to_owned()
}

fn line(out: &mut String, arrow: &Arrow, way: &Way) {
    let class = if arrow.dashed { "way dashed" } else { "way" };
    let mut path = String::new();
    let mut at = None;
    for (x, y) in &way.points {
        let _ = match at {
            None => write!(path, "M{x} {y}"),
            Some((before_x, before_y)) if before_x == *x || before_y == *y => write!(path, "L{x} {y}"),
            Some((before_x, before_y)) => {
                let middle = (before_y + y) / 2.0;
                write!(path, "C{before_x} {middle} {x} {middle} {x} {y}")
            }
        };
        at = Some((*x, *y));
    }
    let _ = writeln!(out, "<path class=\"{class}\" marker-end=\"url(#tip)\" d=\"{path}\"/>");
}

fn square(out: &mut String, item: &Item, rect: &Rect) {
    let _ = write!(out, "<g class=\"box {}\">", class(item.shape));
    if !item.hint.is_empty() {
        let _ = write!(out, "<title>{}</title>", escaped(&item.hint));
    }
    let _ = write!(out, "<path d=\"{}\"/>", outline(item.shape, rect));
    let middle = rect.x + rect.width / 2.0;
    for (number, text) in item.lines.iter().enumerate() {
        let class = if number == 0 { " class=\"name\"" } else { "" };
        let y = rect.y + 8.0 + TEXT * number as f64 + 13.0;
        let _ = write!(out, "<text{class} x=\"{middle}\" y=\"{y}\">{}</text>", escaped(text));
    }
    out.push_str("</g>\n");
}

fn class(shape: Shape) -> &'static str {
    match shape {
        Shape::Terminal => "terminal",
        Shape::Stage => "stage",
        Shape::Node => "node",
        Shape::Choice => "choice",
        Shape::Person => "person",
        Shape::Workflow => "workflow",
        Shape::Failure => "failure",
    }
}

/// The edge of a box. Lines end at its top and bottom, which are straight but for the corners.
fn outline(shape: Shape, rect: &Rect) -> String {
    let Rect { x, y, width, height } = *rect;
    let round = |radius: f64| {
        let (across, down) = (width - 2.0 * radius, height - 2.0 * radius);
        let arc = |to: &str| format!("a{radius} {radius} 0 0 1 {to}");
        let (right, below) = (arc(&format!("{radius} {radius}")), arc(&format!("-{radius} {radius}")));
        let (left, above) = (arc(&format!("-{radius} -{radius}")), arc(&format!("{radius} -{radius}")));
        format!("M{} {y}h{across}{right}v{down}{below}h-{across}{left}v-{down}{above}z", x + radius)
    };
    match shape {
        Shape::Terminal | Shape::Person => round(12.0),
        Shape::Stage => round(2.0),
        Shape::Node | Shape::Failure => round(6.0),
        Shape::Choice => {
            let (across, half) = (width - 24.0, height / 2.0);
            format!("M{} {y}h{across}l12 {half}l-12 {half}h-{across}l-12 -{half}z", x + 12.0)
        }
        Shape::Workflow => {
            let across = width - 16.0;
            format!("M{x} {y}h{width}v{height}h-{width}zM{} {y}v{height}m{across} 0v-{height}", x + 8.0)
        }
    }
}

fn label(out: &mut String, arrow: &Arrow, way: &Way) {
    let (Some(text), Some(rect)) = (&arrow.label, &way.label) else { return };
    let Rect { x, y, width, height } = rect;
    let _ = writeln!(
        out,
        "<rect class=\"under\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\
         <text class=\"label\" x=\"{}\" y=\"{}\">{}</text>",
        x + width / 2.0,
        y + 13.0,
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
