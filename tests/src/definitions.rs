//! Definitions at random: sound ones, with what must come of them, and broken ones.

use rejoin::testkit::Chance;
use serde_json::{Value, json};
use std::fmt::Write;

/// A sound definition, and what it gives.
#[derive(Clone, Debug)]
pub struct Sound {
    /// A workflow with the name `main`.
    pub text: String,
    /// Its output.
    pub gives: Value,
}

/// What is written so far.
struct Writing<'a> {
    chance: &'a mut Chance,
    text: String,
    stages: String,
    /// Numbers that have a name.
    known: Vec<(String, i64)>,
    units: usize,
}

/// A sound definition. Its agents: `double` doubles `n`, `judge` answers with the JSON that it is told, `broken` fails. Its person,
/// `ann`, never answers.
pub fn sound(chance: &mut Chance) -> Sound {
    let length = 1 + chance.below(6) as usize;
    let mut writing = Writing {
        chance,
        text: String::new(),
        stages: String::new(),
        known: vec![("input.n".to_owned(), 3)],
        units: 0,
    };
    writing.text.push_str("workflow: main\ninput: { n: integer }\nstart: u0\nnodes:\n");
    for _ in 0..length {
        writing.unit();
    }
    let last = writing.units;
    let _ = writeln!(writing.text, "  u{last}: {{ wait: 1s, then: end }}");
    let names: Vec<&str> = writing.known.iter().map(|(name, _)| name.as_str()).collect();
    let gives = writing.known.iter().map(|(_, value)| json!(value)).collect();
    if !writing.stages.is_empty() {
        let _ = write!(writing.text, "stages:\n{}", writing.stages);
    }
    let _ = writeln!(writing.text, "output: '= [{}]'", names.join(", "));
    Sound { text: writing.text, gives }
}

impl Writing<'_> {
    fn pick(&mut self) -> (String, i64) {
        let at = self.chance.below(self.known.len() as u64) as usize;
        self.known[at].clone()
    }

    /// One that is a name, and not computed.
    fn plain(&mut self) -> (String, i64) {
        let last = self.known.iter().rev().find(|(name, _)| !name.starts_with('('));
        last.cloned().unwrap_or_else(|| ("input.n".to_owned(), 3))
    }

    /// One unit, which leads to the next.
    fn unit(&mut self) {
        let at = self.units;
        self.units += 1;
        let (line, known) = match self.chance.below(12) {
            0..3 => self.plain_unit(at),
            3..6 => self.side_by_side(at),
            6 => self.round(at),
            _ => self.ways(at),
        };
        let _ = writeln!(self.text, "  u{at}: {line}");
        self.known.push(known);
    }

    /// One thing after the other.
    fn plain_unit(&mut self, at: usize) -> (String, (String, i64)) {
        let (name, value) = self.pick();
        let small = self.chance.below(9) as i64;
        let then = format!("then: u{}", at + 1);
        match self.chance.below(4) {
            0 => (format!("{{ set: {{ s{at}: '= {name} + {small}' }}, {then} }}"), (format!("s{at}"), value + small)),
            1 => (format!("{{ trigger: double, input: {{ n: '= {name}' }}, {then} }}"), (format!("u{at}"), value * 2)),
            2 => {
                // A template reads names, and computes nothing else.
                let (name, value) = self.plain();
                let task = format!("{{\"x\": {{{{ {name} }}}}}}");
                let line = format!("{{ task: '{task}', agent: judge, output: {{ x: integer }}, {then} }}");
                (line, (format!("u{at}.x"), value))
            }
            _ => {
                let line = format!("{{ wait: {}h, {then} }}", small + 1);
                (line, (format!("(u{at} == null ? {small} : 0)"), small))
            }
        }
    }

    /// Several things at once.
    fn side_by_side(&mut self, at: usize) -> (String, (String, i64)) {
        let ((name, value), (other, second)) = (self.pick(), self.pick());
        let small = self.chance.below(9) as i64;
        let then = format!("then: u{}", at + 1);
        match self.chance.below(3) {
            0 => {
                let line = format!(
                    "{{ parallel: {{ a: {{ trigger: double, input: {{ n: '= {name}' }} }}, b: [ {{ wait: {wait}m }}, \
                     {{ trigger: double, input: {{ n: '= {other}' }} }} ] }}, {then} }}",
                    wait = small + 1
                );
                (line, (format!("(u{at}.a + u{at}.b)"), (value + second) * 2))
            }
            1 => {
                let line = format!(
                    "{{ each: '= [{name}, {other}, {small}]', at_most: {most}, do: {{ trigger: double, input: {{ n: '= item \
                     + number' }} }}, {then} }}",
                    most = 1 + self.chance.below(3)
                );
                let sum = 2 * (value + second + 1 + small + 2);
                (line, (format!("(u{at}[0] + u{at}[1] + u{at}[2])"), sum))
            }
            _ => {
                // What agents give is merged, and nobody answers the question in time.
                let task = |field: &str, value: i64| {
                    format!("{{ agent: judge, as: {field}, task: '{{\"{field}\": {value}}}' }}")
                };
                let _ = write!(
                    self.stages,
                    "  t{at}:\n    assign: [ {}, {} ]\n    exit: {{ ask: ann, answers: [yes, no], within: {}h, late: no }}\n    \
                     route: {{ yes: u{next}, no: u{next} }}\n",
                    task("x", small),
                    task("y", 2),
                    small + 1,
                    next = at + 1
                );
                (format!("{{ set: {{ b{at}: 1 }}, then: t{at} }}"), (format!("(t{at}.x + t{at}.y)"), small + 2))
            }
        }
    }

    /// The same again, as often as it takes, which is less than what a guard bears.
    fn round(&mut self, at: usize) -> (String, (String, i64)) {
        let (step, rounds) = (1 + self.chance.below(9) as i64, 1 + self.chance.below(4) as i64);
        let line = format!(
            "{{ set: {{ n{at}: 0 }}, then: r{at} }}\n  r{at}: {{ set: {{ n{at}: '= n{at} + {step}' }}, then: q{at} }}\n  \
             q{at}: {{ choose: {{ again: 'n{at} < {limit}' }}, route: {{ again: r{at}, else: u{next} }} }}",
            limit = step * rounds,
            next = at + 1
        );
        (line, (format!("n{at}"), step * rounds))
    }

    /// Two ways, which meet again; each leaves a number of its own.
    fn ways(&mut self, at: usize) -> (String, (String, i64)) {
        let ((name, value), (other, second)) = (self.pick(), self.pick());
        let some = 1 + self.chance.below(9);
        let asked = self.plain().0;
        let (does, [first, last], taken) = match self.chance.below(4) {
            0 => (
                format!("choose: {{ less: '{name} < {other}' }}"),
                ["less", "else"],
                if value < second { 1 } else { 2 },
            ),
            1 => {
                let does = format!("approve: 'Is it {{{{ {asked} }}}}?', persons: ann, answers: [yes, no]");
                (format!("{does}, within: {some}d, late: no"), ["yes", "no"], 2)
            }
            2 => (format!("signal: news, within: {some}m"), ["completed", "late"], 2),
            _ => ("task: do it, agent: broken".to_owned(), ["completed", "failed"], 2),
        };
        let next = at + 1;
        let line = format!(
            "{{ {does}, route: {{ {first}: l{at}, {last}: g{at} }} }}\n  l{at}: {{ set: {{ c{at}: 1 }}, then: u{next} }}\n  \
             g{at}: {{ set: {{ c{at}: 2 }}, then: u{next} }}"
        );
        (line, (format!("c{at}"), taken))
    }
}

/// A definition with something wrong: pieces left out, doubled, exchanged, or bytes that stand for nothing.
pub fn broken(chance: &mut Chance, seeds: &[&str]) -> String {
    let at = chance.below(seeds.len() as u64) as usize;
    let mut bytes = seeds[at].as_bytes().to_vec();
    for _ in 0..1 + chance.below(8) {
        if bytes.is_empty() {
            break;
        }
        let from = chance.below(bytes.len() as u64) as usize;
        let length = (1 + chance.below(40) as usize).min(bytes.len() - from);
        match chance.below(6) {
            0 => drop(bytes.drain(from..from + length)),
            1 => {
                let piece = bytes[from..from + length].to_vec();
                let to = chance.below(bytes.len() as u64 + 1) as usize;
                bytes.splice(to..to, piece);
            }
            2 => {
                let other = seeds[chance.below(seeds.len() as u64) as usize].as_bytes();
                let start = chance.below(other.len() as u64) as usize;
                let piece = &other[start..(start + length).min(other.len())];
                bytes.splice(from..from, piece.iter().copied());
            }
            3 => bytes[from] = chance.below(256) as u8,
            4 => {
                let odd: &[&str] = &[
                    "{",
                    "}",
                    "[",
                    "]",
                    ": ",
                    "- ",
                    "&a ",
                    "*a ",
                    "<<: ",
                    "!!",
                    "'",
                    "\"",
                    "{{",
                    "}}",
                    "=",
                    "|\n",
                    "~",
                    "\t",
                    "\u{feff}",
                    "9999999999999999999",
                    ".inf",
                ];
                let piece = odd[chance.below(odd.len() as u64) as usize];
                bytes.splice(from..from, piece.bytes());
            }
            _ => {
                let piece = bytes[from..from + length].to_vec();
                for _ in 0..chance.below(20) {
                    bytes.splice(from..from, piece.iter().copied());
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
