//! Pictures of generated definitions: nothing stands on anything else, and every line begins and ends where it should.

use super::layout::{Layout, Rect};
use super::svg::laid;
use super::{Picture, mermaid, svg};
use rejoin::definition::{Project, Source};

fn picture(text: &str) -> Picture {
    let source = Source { name: "main.yaml".to_owned(), text: text.to_owned() };
    let (project, found) = Project::read(vec![source]);
    let workflow = project.workflows.first().unwrap_or_else(|| panic!("{}", found.text(&project.sources)));
    Picture::of(workflow)
}

/// Numbers that are the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A definition of units that lead anywhere.
fn generated(seed: u64) -> String {
    let mut numbers = Numbers(seed);
    let count = 1 + numbers.below(14);
    let mut text = String::from("workflow: main\nnodes:\n");
    for number in 0..count {
        let work = [
            "wait: 2d",
            "trigger: another-workflow-with-a-long-name",
            "choose: { a: 'input.n < 1', b: 'true' }",
            "parallel: { left: [{ wait: 1s }, { trigger: x }], right: { task: about it, agent: somebody } }",
            "approve: May it?, persons: [ann, bob], answers: [o0, o1]",
        ];
        let mut routes = Vec::new();
        for outcome in 0..numbers.below(4) {
            let to = format!("u{}", numbers.below(count));
            routes.push(match numbers.below(5) {
                0 => format!("o{outcome}: end"),
                1 => format!("o{outcome}: {{ workflow: other, continue: {to}, failed: u{} }}", numbers.below(count)),
                _ => format!("o{outcome}: {to}"),
            });
        }
        let then = format!("u{}", numbers.below(count));
        let work = work[numbers.below(work.len())];
        text += &format!("  u{number}: {{ {work}, route: {{ {} }}, then: {then} }}\n", routes.join(", "));
    }
    text
}

fn apart(a: &Rect, b: &Rect) -> bool {
    a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y
}

/// Whether a line from one point to another passes through a box, and not only along its edge.
fn passes(from: (f64, f64), to: (f64, f64), it: &Rect) -> bool {
    const STEPS: usize = 64;
    (0..=STEPS).any(|step| {
        let part = step as f64 / STEPS as f64;
        let (x, y) = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
        x > it.x && x < it.x + it.width && y > it.y && y < it.y + it.height
    })
}

fn assert_sound(picture: &Picture, text: &str) {
    let Layout { size, boxes, ways } = laid(picture);
    let labels: Vec<Rect> = ways.iter().filter_map(|way| way.label).collect();
    let all: Vec<Rect> = boxes.iter().chain(&labels).copied().collect();
    for (number, it) in all.iter().enumerate() {
        assert!(all[..number].iter().all(|other| apart(it, other)), "{it:?} overlaps another:\n{text}");
        assert!(
            it.x >= 0.0 && it.y >= 0.0 && it.x + it.width <= size.width && it.y + it.height <= size.height,
            "{text}"
        );
    }
    for (arrow, way) in picture.arrows.iter().zip(&ways) {
        let (from, to) = (&boxes[arrow.from], &boxes[arrow.to]);
        let (start, end) = (way.points[0], way.points[way.points.len() - 1]);
        let along = |x: f64, it: &Rect| x > it.x && x < it.x + it.width;
        assert!(start.1 == from.y + from.height && along(start.0, from), "a line begins nowhere: {way:?}\n{text}");
        assert!(end.1 == to.y && along(end.0, to), "a line ends nowhere: {way:?}\n{text}");
        let others = boxes.iter().chain(labels.iter().filter(|label| way.label != Some(**label)));
        for pair in way.points.windows(2) {
            let met = others.clone().find(|it| passes(pair[0], pair[1], it));
            assert!(met.is_none(), "{way:?} passes through {met:?}:\n{text}");
            assert!(
                pair.iter().all(|(x, y)| *x >= 0.0 && *x <= size.width && *y >= 0.0 && *y <= size.height),
                "{text}"
            );
        }
    }
}

#[test]
fn nothing_overlaps_and_every_line_ends_at_its_boxes() {
    for seed in 0..400 {
        let text = generated(seed);
        assert_sound(&picture(&text), &text);
    }
}

#[test]
fn the_same_definition_gives_the_same_picture() {
    for seed in 0..20 {
        let text = generated(seed);
        assert_eq!(svg(&picture(&text)), svg(&picture(&text)));
        assert_eq!(mermaid(&picture(&text)), mermaid(&picture(&text)));
    }
}

#[test]
fn what_stands_in_a_definition_is_text_and_nothing_else() {
    let text = r#"
workflow: main
describe: "<script>alert(1)</script> \"&\u0007"
stages:
  draft:
    assign: { agent: a, task: "]]><script>alert('x')</script>\"&" }
    route: { '"</text><script>x': end, 'a|b #1; `c`': end }
    then: draft
"#;
    let picture = picture(text);
    let drawn = svg(&picture);
    assert!(!drawn.contains("<script") && !drawn.contains('\u{7}'), "{drawn}");
    assert!(drawn.contains("&lt;script&gt;alert('x')&lt;/script&gt;&quot;&amp;"), "{drawn}");
    assert!(drawn.contains("role=\"img\"") && drawn.contains("<desc id=\"desc\">"), "{drawn}");
    let written = mermaid(&picture);
    assert!(written.contains("#34;#60;/text#62;#60;script#62;x, a#124;b #35;1#59; #96;c#96;"), "{written}");
    assert!(!written.contains("<script"), "{written}");
}

#[test]
fn what_is_long_is_cut_and_what_is_wide_has_room() {
    assert_eq!(super::columns("ab✋漢"), 6);
    assert_eq!(super::columns(&super::short(&"漢".repeat(100))), 39);
    assert_eq!(super::short("two  lines\nof it"), "two lines of it");
}
