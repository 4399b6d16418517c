//! Taking secrets out of what is kept.

use serde_json::{Map, Value};

/// What stands where a secret stood.
const INSTEAD: &str = "[redacted]";

/// Lines of a secret that are shorter than this are no secret by themselves.
const LINE: usize = 8;

/// Knows the secrets of one attempt. It finds them as they are, whole and line by line; not encoded ones.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    /// Longest first: one may stand in another.
    secrets: Vec<String>,
}

impl Redactor {
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Redactor {
        let mut all = Vec::new();
        for secret in secrets {
            all.extend(secret.lines().map(str::trim).filter(|line| line.len() >= LINE).map(str::to_owned));
            all.push(secret);
        }
        all.retain(|secret| !secret.is_empty());
        all.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Redactor { secrets: all }
    }

    /// The longest secret, in bytes: whoever cuts text before it is redacted keeps so much more.
    pub(super) fn longest(&self) -> usize {
        self.secrets.first().map_or(0, String::len)
    }

    /// Text whose beginning was cut off, perhaps in the middle of a secret: so much less is left of it.
    pub(super) fn cut_text(&self, text: &str) -> String {
        let clean = self.text(text);
        let doubtful = clean.find(INSTEAD).unwrap_or(clean.len()).min(self.longest());
        clean[clean.ceil_char_boundary(doubtful)..].to_owned()
    }

    /// A text that goes on, without what may be the beginning of a secret.
    pub(crate) fn certain<'a>(&self, text: &'a str) -> &'a str {
        let begins = |secret: &String| {
            let lengths = (1..secret.len()).rev().filter(|length| secret.is_char_boundary(*length));
            lengths.map(|length| &secret[..length]).find(|begin| text.ends_with(begin)).map_or(0, str::len)
        };
        let doubtful = self.secrets.iter().map(begins).max().unwrap_or(0);
        &text[..text.len() - doubtful]
    }

    pub(crate) fn text(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), INSTEAD) } else { text }
        })
    }

    /// Names of fields too.
    pub(crate) fn value(&self, value: Value) -> Value {
        if self.secrets.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                let clean = |(name, value): (String, Value)| (self.text(&name), self.value(value));
                Value::Object(fields.into_iter().map(clean).collect::<Map<_, _>>())
            }
            // A secret of digits alone.
            Value::Number(number) if self.secrets.contains(&number.to_string()) => INSTEAD.into(),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_found_in_text_and_anywhere_in_json() {
        let redactor = Redactor::new(["hunter2".to_owned(), "hunter2-long".to_owned(), "1234".to_owned()]);
        assert_eq!(redactor.text("x hunter2-long y hunter2"), "x [redacted] y [redacted]");
        let value = redactor.value(json!({ "a": ["hunter2", 1234, 5], "is hunter2": null }));
        assert_eq!(value, json!({ "a": ["[redacted]", "[redacted]", 5], "is [redacted]": null }));
    }

    #[test]
    fn the_beginning_of_a_secret_waits_for_the_rest() {
        let redactor = Redactor::new(["sk-été-1".to_owned()]);
        for (text, certain) in [("It is sk-é", "It is "), ("It is sk-ét, no", "It is sk-ét, no"), ("s", ""), ("", "")]
        {
            assert_eq!(redactor.certain(text), certain);
        }
    }

    #[test]
    fn half_a_secret_is_not_left_at_a_cut() {
        let redactor = Redactor::new(["abcdefgh".to_owned()]);
        assert_eq!(redactor.cut_text("efgh and more"), " more");
        assert_eq!(redactor.cut_text("efgh abcdefgh more"), "[redacted] more");
        assert_eq!(redactor.cut_text("éééééé"), "éé");
    }

    #[test]
    fn lines_of_a_secret_are_found_too() {
        let redactor = Redactor::new(["-----BEGIN KEY-----\nabcdefghij\n\nxy\n".to_owned()]);
        assert_eq!(redactor.text("see abcdefghij, xy"), "see [redacted], xy");
        assert_eq!(Redactor::new([String::new()]).text("as it is"), "as it is");
    }
}
