//! Times and texts, as people read them.

use chrono::{DateTime, SecondsFormat};
use rejoin::Timestamp;
use std::ops::RangeInclusive;

/// The years that RFC 3339 has, 0000 to 9999, in microseconds since 1970.
const CALENDAR: RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

/// RFC 3339 in UTC, to the millisecond. What lies beyond the calendar is shown as its end.
pub(crate) fn time(time: Timestamp) -> String {
    let within = time.0.clamp(*CALENDAR.start(), *CALENDAR.end());
    DateTime::from_timestamp_micros(within).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// So many of something, in words.
pub(crate) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The text on one line and harmless to a terminal: what commands it, or turns the direction of what follows, is spelled out.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || turns(character) {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// Whether it has lines end, or letters stand elsewhere than they are.
fn turns(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text, or as much of it as fits into so many characters.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => text[..end].trim_end().to_owned() + "…",
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(Timestamp(1_795_169_771_123_999)), "2026-11-20T10:16:11.123Z");
        assert_eq!(time(Timestamp(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(time(Timestamp(i64::MAX)), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(Timestamp(i64::MIN)), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(printable("a\nb\u{1b}[31mé\u{9b}"), "a\\nb\\u{1b}[31mé\\u{9b}");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("ééé", 3), "ééé");
        assert_eq!(shorten("éééé", 3), "ééé…");
    }
}
