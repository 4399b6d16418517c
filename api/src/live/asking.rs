//! The questions that wait for people, of which one at a time is asked at the prompt.

use super::line::{Line, Tint, wrapped};
use super::node::moment;
use super::plain::path;
use crate::output::{printable, shorten};
use rejoin::{ApprovalToken, OpenApproval, Timestamp};
use std::time::{Duration, Instant};

/// How many lines of a question are shown.
const LINES: usize = 6;

/// How many characters of it are looked at.
const QUESTION: usize = 2000;

/// How long a question must have been there to be answered, where it took the place of another one: whoever answers within that
/// time means the other one.
const NOTICED: Duration = Duration::from_secs(1);

/// How the question that is asked can be answered here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answering {
    /// By what is typed at the prompt.
    Typed,
    /// By a command that is typed there.
    Command,
    /// With its token, elsewhere.
    Elsewhere,
}

/// The questions that wait, and what was said about the last answer.
pub(crate) struct Asking {
    /// In whose name answers are given.
    person: Option<String>,
    /// Whether what they are not asked is answered in the name of somebody who is.
    for_others: bool,
    /// How long a question must have been there to be answered.
    noticed: Duration,
    open: Vec<OpenApproval>,
    /// When the question that is asked took the place of another one.
    replaced: Option<Instant>,
    complaint: Option<String>,
}

/// What somebody has decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) token: ApprovalToken,
    pub(crate) person: String,
    pub(crate) answer: String,
    pub(crate) comment: Option<String>,
}

impl Asking {
    pub(crate) fn new(person: Option<String>) -> Asking {
        Asking { person, for_others: false, noticed: NOTICED, open: Vec::new(), replaced: None, complaint: None }
    }

    /// One that is answered by a script, which needs no time to notice.
    pub(crate) fn of_script(person: Option<String>) -> Asking {
        Asking { noticed: Duration::ZERO, ..Asking::new(person) }
    }

    /// One in which whoever answers speaks in any name.
    pub(crate) fn for_others(self) -> Asking {
        Asking { for_others: true, ..self }
    }

    /// The questions that wait.
    pub(crate) fn open(&self) -> &[OpenApproval] {
        &self.open
    }

    /// What is wrong with the last answer, told once.
    pub(crate) fn take_complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    /// Takes the questions that wait now, and returns those that are new.
    pub(crate) fn update(&mut self, open: Vec<OpenApproval>) -> Vec<OpenApproval> {
        let known = |one: &OpenApproval| self.open.iter().any(|other| other.token == one.token);
        let new = open.iter().filter(|one| !known(one)).cloned().collect();
        let asked = self.open.first().map(|first| first.token);
        // What is asked stays in its place as long as it waits.
        let (mut order, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|one| Some(one.token) == asked);
        order.extend(rest);
        if asked.is_some() && asked != order.first().map(|first| first.token) {
            self.replaced = Some(Instant::now());
            self.complaint = None;
        }
        self.open = order;
        new
    }

    /// The question that is asked, for a terminal of this width; nothing if there is none.
    pub(crate) fn lines(&self, width: usize, now: Timestamp, answering: Answering) -> Vec<Line> {
        let Some(open) = self.open.first() else { return Vec::new() };
        let names: Vec<&str> = open.path.iter().map(String::as_str).collect();
        let until = open.expires_at.map(|at| format!(", until {}", moment(at, now))).unwrap_or_default();
        let mut lines = vec![Line::default()];
        for (place, text) in
            cut(wrapped(&shorten(&open.question, QUESTION), width.saturating_sub(2))).iter().enumerate()
        {
            let head = if place == 0 { "? " } else { "  " };
            lines.push(Line::default().with(Tint::Waiting, head).with(Tint::Strong, text));
        }
        let asked = format!("  {} asks {}{until}", path(&names), open.persons.join(", "));
        let (command, how) = match answering {
            Answering::Typed => ("", "; a comment may follow behind a colon".to_owned()),
            Answering::Command => ("/", "; a comment may follow behind a colon".to_owned()),
            Answering::Elsewhere => ("", format!("  {}", open.token)),
        };
        let answers = format!("  {command}answer {}{how}", open.answers.join(", "));
        lines.push(Line::default().with(Tint::Faint, &asked));
        lines.push(Line::default().with(Tint::Plain, &answers));
        if self.open.len() > 1 {
            let more = format!("  then {} more", self.open.len() - 1);
            lines.push(Line::default().with(Tint::Faint, &more));
        }
        if let Some(complaint) = &self.complaint {
            lines.push(Line::default().with(Tint::Bad, &format!("! {complaint}")));
        }
        lines
    }

    /// What stands before the answer: in whose name it is given.
    pub(super) fn prompt(&self) -> Option<String> {
        let person = printable(&shorten(self.person()?, 40));
        Some(format!("{person}> "))
    }

    /// What was typed, if it answers the question that is asked; otherwise the lines say what is wrong with it.
    pub(crate) fn read(&mut self, line: &str) -> Option<Answer> {
        let (person, open) = (self.person()?.to_owned(), self.open.first()?);
        let line = line.trim();
        if line.is_empty() {
            return None;
        }
        let complaint = match find(line, &open.answers) {
            _ if self.replaced.is_some_and(|replaced| replaced.elapsed() < self.noticed) => {
                "the question has just changed; answer again if you mean this one".to_owned()
            }
            Some((answer, comment)) => {
                let (answer, comment) = (answer.to_owned(), comment.map(str::to_owned));
                self.complaint = None;
                return Some(Answer { token: open.token, person, answer, comment });
            }
            None => format!("{:?} is no answer to this; there are {}", shorten(line, 40), open.answers.join(", ")),
        };
        self.complaint = Some(complaint);
        None
    }

    /// The engine did not take the answer.
    pub(super) fn refused(&mut self, why: &rejoin::RunError) {
        self.complaint = Some(why.to_string());
    }

    fn person(&self) -> Option<&str> {
        let persons = &self.open.first()?.persons;
        let own = self.person.as_ref().filter(|person| !self.for_others || persons.contains(person));
        own.or(persons.first()).map(String::as_str)
    }
}

/// The answer that a line gives, and the comment behind it. Of answers that begin alike the longest is meant.
pub(crate) fn find<'a>(line: &'a str, answers: &'a [String]) -> Option<(&'a str, Option<&'a str>)> {
    let gives = |answer: &'a String| {
        let (given, rest) = line.split_at_checked(answer.len())?;
        let comment = rest.trim_start().strip_prefix(':').map(str::trim).filter(|comment| !comment.is_empty());
        let ends = rest.is_empty() || rest.trim_start().starts_with(':');
        (ends && given.to_lowercase() == answer.to_lowercase()).then_some((answer.as_str(), comment))
    };
    answers.iter().filter_map(gives).max_by_key(|(answer, _)| answer.len())
}

/// The first of these lines, so many at most.
fn cut(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES {
        lines.truncate(LINES);
        lines.push("…".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(run: u8, answers: &[&str]) -> OpenApproval {
        let secret = "0".repeat(32);
        OpenApproval {
            token: format!("apr_{run:032x}_1_{secret}").parse().unwrap(),
            run: rejoin::RunId([run; 16]),
            root: rejoin::RunId([0; 16]),
            path: vec!["publish".to_owned(), "review".to_owned()],
            question: "Publish\u{1b}[2J?".to_owned(),
            answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
            persons: vec!["ann".to_owned(), "bob".to_owned()],
            expires_at: None,
        }
    }

    fn shown(asking: &Asking) -> String {
        let lines = asking.lines(80, Timestamp(0), Answering::Typed);
        lines.iter().map(|line| line.render(80, false) + "\n").collect()
    }

    #[test]
    fn an_answer_is_taken_with_its_comment_and_anything_else_is_told_what_is_valid() {
        let mut asking = Asking::new(None);
        assert_eq!((asking.prompt(), asking.read("yes")), (None, None));
        assert_eq!(asking.update(vec![open(1, &["approve", "reject", "reject all"])]).len(), 1);
        assert_eq!(asking.prompt().unwrap(), "ann> ");
        assert!(shown(&asking).contains("? Publish\\u{1b}[2J?"), "{}", shown(&asking));
        assert_eq!(asking.read("maybe"), None);
        let said = "! \"maybe\" is no answer to this; there are approve, reject, reject all";
        assert!(shown(&asking).contains(said), "{}", shown(&asking));
        let typed = asking.read(" Reject: too long ").unwrap();
        assert_eq!((typed.person.as_str(), typed.answer.as_str()), ("ann", "reject"));
        assert_eq!(typed.comment.as_deref(), Some("too long"));
        assert_eq!(asking.read("reject all").unwrap().answer, "reject all");
        assert_eq!(asking.read("rejected"), None);
    }

    #[test]
    fn a_question_that_took_the_place_of_another_is_not_answered_by_accident() {
        let (first, second) = (open(1, &["yes"]), open(2, &["yes"]));
        let mut asking = Asking::new(Some("bob".to_owned()));
        asking.update(vec![second.clone(), first.clone()]);
        assert!(asking.update(vec![first.clone(), second.clone()]).is_empty());
        assert_eq!(asking.read("yes").unwrap().token, second.token);
        asking.update(vec![first.clone()]);
        assert_eq!(asking.read("yes"), None);
        assert!(shown(&asking).contains("has just changed"));
        asking.replaced = Instant::now().checked_sub(NOTICED);
        let typed = asking.read("yes").unwrap();
        assert_eq!((typed.token, typed.person.as_str()), (first.token, "bob"));
        asking.update(Vec::new());
        assert!(asking.prompt().is_none() && shown(&asking).is_empty());
    }

    #[test]
    fn long_questions_are_wrapped_and_cut() {
        assert_eq!(cut(wrapped("aa bb\ncc", 4)), ["aa", "bb", "cc"]);
        assert_eq!(cut(wrapped(&"x\n".repeat(100), 9)).len(), LINES + 1);
    }
}
