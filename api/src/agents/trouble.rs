//! Failures with a name: what agents that work elsewhere fail with.

use rejoin::Failure;

/// The code that the engine gives to a failure that another attempt may mend.
const TRANSIENT: &str = "error";

/// The most characters of a code that an agent chooses.
const CODE: usize = 64;

/// Another attempt would not mend it.
pub(super) fn lasting(code: &str, message: impl AsRef<str>) -> Failure {
    Failure::business(code, message.as_ref())
}

/// Another attempt may mend it. Its code stands before the message until [`named`] takes it from there: the engine's
/// transient failures have none of their own.
pub(super) fn passing(code: &str, message: impl AsRef<str>) -> Failure {
    Failure::transient(format_args!("{code}: {}", message.as_ref()))
}

/// One or the other.
pub(super) fn failure(code: &str, message: impl AsRef<str>, retryable: bool) -> Failure {
    if retryable { passing(code, message) } else { lasting(code, message) }
}

/// A failure of a step of ours, with its code: of the last attempt, nothing is tried again.
pub(super) fn named(failure: Failure) -> Failure {
    match failure.message().split_once(": ") {
        Some((code, message)) if failure.code() == TRANSIENT && code == word(code) => lasting(code, message),
        _ => failure,
    }
}

/// A code that somebody else has chosen, as one word.
pub(super) fn word(code: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let word: String = code.chars().take(CODE).map(plain).collect();
    if word.is_empty() { "failed".to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_the_same_with_and_without_its_code() {
        let failure = passing("exit-3", "boom: no: luck");
        assert!(failure.is_transient());
        let last = named(failure.clone());
        assert_eq!((last.code(), last.message(), last.is_transient()), ("exit-3", failure.message(), false));
        let other = Failure::transient("no code: here");
        assert_eq!(named(other).code(), "error");
        assert_eq!(named(lasting("no-stock", "a: b")).code(), "no-stock");
    }

    #[test]
    fn a_code_is_one_word() {
        assert_eq!(word("no stock: x\n"), "no-stock--x-");
        assert_eq!(word(""), "failed");
        assert_eq!(word(&"é".repeat(100)).len(), 64);
    }
}
