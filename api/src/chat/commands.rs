//! What a line means that somebody gives: something to say, or a command.

/// What can be done beside saying something.
pub(super) const HELP: [&str; 8] = [
    "/answer ANSWER[: COMMENT]  answers the question that waits",
    "/claim PERSON              takes the conversation over, in that person's name, when people are asked to",
    "/reply TEXT                says something as who has taken over",
    "/release [NOTE]            gives it back to the agent, with a note for it",
    "/quit                      leaves; what has not ended goes on when you come back",
    "/help                      shows this",
    "//TEXT                     says a text that begins with a slash",
    "anything else              is said to the agent, also while it works",
];

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Nothing: the line is blank.
    Blank,
    Say(String),
    /// The answer, and what may follow it.
    Answer(String),
    Claim(String),
    Reply(String),
    Release(Option<String>),
    Quit,
    Help,
    /// It is none of these; why.
    Wrong(String),
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Line {
    let line = line.trim_end_matches(['\r', '\n']);
    let Some(command) = line.strip_prefix('/') else {
        return if line.trim().is_empty() { Line::Blank } else { Line::Say(line.to_owned()) };
    };
    if command.starts_with('/') {
        return Line::Say(command.to_owned());
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let needed = |what: &str, line: fn(String) -> Line| match rest {
        "" => Line::Wrong(format!("write /{name} {what}")),
        rest => line(rest.to_owned()),
    };
    match name {
        "answer" => needed("ANSWER", Line::Answer),
        "claim" => needed("PERSON", Line::Claim),
        "reply" => needed("TEXT", Line::Reply),
        "release" => Line::Release(Some(rest.to_owned()).filter(|note| !note.is_empty())),
        "quit" if rest.is_empty() => Line::Quit,
        "help" if rest.is_empty() => Line::Help,
        "quit" | "help" => Line::Wrong(format!("write /{name} alone")),
        _ => Line::Wrong(format!(
            "there is no command /{name}, and nothing was said; /help lists commands, and //{name} says it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_slash_is_a_command_and_two_of_them_are_said_as_one() {
        let say = |text: &str| Line::Say(text.to_owned());
        assert_eq!(parse("hello /quit\r\n"), say("hello /quit"));
        assert_eq!(parse("  indented "), say("  indented "));
        assert_eq!(parse("//quit now"), say("/quit now"));
        assert_eq!(parse("//"), say("/"));
        assert_eq!(parse(" \t\n"), Line::Blank);
        assert_eq!(parse("/answer approve: too long \n"), Line::Answer("approve: too long".to_owned()));
        assert_eq!(parse("/claim ann"), Line::Claim("ann".to_owned()));
        assert_eq!(parse("/reply  Let me see."), Line::Reply("Let me see.".to_owned()));
        assert_eq!(parse("/release"), Line::Release(None));
        assert_eq!(parse("/release all is well"), Line::Release(Some("all is well".to_owned())));
        assert_eq!((parse("/quit\n"), parse("/help ")), (Line::Quit, Line::Help));
    }

    #[test]
    fn what_is_no_command_is_told_and_never_said() {
        for line in ["/", "/unknown", "/Quit", "/ quit", "/answer", "/claim  ", "/reply", "/quit now", "/help me"] {
            assert!(matches!(parse(line), Line::Wrong(_)), "{line}");
        }
        assert_eq!(parse("/claim"), Line::Wrong("write /claim PERSON".to_owned()));
    }
}
