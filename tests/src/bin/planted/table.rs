//! The table of what was found, for the documentation.

use super::Bug;
use super::hunt::Found;
use std::fmt::Write;

pub fn markdown(rows: &[(&Bug, Option<Found>)], seeds: u64) -> String {
    let found = rows.iter().filter(|(_, found)| found.is_some()).count();
    let mut table = format!("{found} of {} planted bugs are found within {seeds} seeds.\n\n", rows.len());
    table.push_str("| bug | what it does | found by | invariant | seeds |\n|---|---|---|---|---|\n");
    for (bug, found) in rows {
        let (by, invariant, seeds) = match found {
            Some(found) => (
                found.by,
                found.invariant.as_str(),
                found.seeds.map_or_else(|| "-".to_owned(), |seeds| seeds.to_string()),
            ),
            None => ("**not found**", "-", "-".to_owned()),
        };
        let _ = writeln!(table, "| {} | {} | {by} | {invariant} | {seeds} |", bug.name, bug.what);
    }
    table
}
