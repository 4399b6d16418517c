//! Lists of runs: which table serves a filter, and how several of its stretches are read as one.
//!
//! A run has one entry under project, workflow and status, by time. A list of one workflow, of one status or of everything is
//! made by merging such groups, newest first; so a run costs one entry, however it is looked for.

use crate::projection::{RunStatus, tables, text_key, text_length, time_key};
use rejoin_machine::Timestamp;
use rejoin_store::index::{Key, KeyRange, Listed, Table, prefix};
use rejoin_store::{Failure, Log};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Bound;

/// Where an entry stands in its list: time, newest first, and run.
pub(crate) const PLACE: usize = 24;

/// All groups of entries under project and workflow whose key begins with `head`.
pub(crate) fn groups(log: &dyn Log, head: &[u8]) -> Result<Vec<Key>, Failure> {
    let mut groups: Vec<Key> = Vec::new();
    let (mut end, mut behind) = (Key::new(), Key::new());
    let (mut from, last) = prefix(head, &mut end);
    loop {
        let found = log.scan(tables::LIST, (from, last), 1)?;
        let Some(group) = found.first().and_then(|(key, _)| group_of(key)) else { return Ok(groups) };
        groups.push(group.to_vec());
        // The next group begins where this one ends.
        let Bound::Excluded(_) = prefix(group, &mut behind).1 else { return Ok(groups) };
        from = Bound::Included(&behind);
    }
}

/// Project and workflow of an entry's key.
fn group_of(key: &[u8]) -> Option<&[u8]> {
    let project = text_length(key)?;
    let workflow = text_length(key.get(project..)?)?;
    key.get(..project + workflow)
}

/// Project and workflow of a group.
pub(crate) fn group_names(group: &[u8]) -> Option<(String, String)> {
    let project = text_length(group)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.get(2..)?.to_vec()).ok();
    Some((text(&group[..project])?, text(&group[project..])?))
}

/// The group of a project's workflow.
pub(crate) fn group(project: &str, workflow: &str) -> Key {
    let mut key = Key::new();
    text_key(&mut key, project);
    text_key(&mut key, workflow);
    key
}

/// The part of a group's stretch of one status.
pub(crate) fn with_status(group: &[u8], status: RunStatus) -> Key {
    [group, &[status as u8]].concat()
}

/// The times of a list: from (included), until (excluded).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

/// Entries whose keys are a head, a time with the newest first, and a run: several heads as one list.
pub(crate) struct Merged<'a> {
    log: &'a dyn Log,
    page: usize,
    table: Table,
    stretches: Vec<Stretch>,
    /// The first entry of each stretch, the newest on top.
    next: BinaryHeap<Reverse<([u8; PLACE], usize)>>,
    last: Option<[u8; PLACE]>,
}

struct Stretch {
    head: usize,
    /// The last key that was read, or the first that may be.
    from: Bound<Key>,
    to: Bound<Key>,
    ready: VecDeque<Listed>,
    exhausted: bool,
}

impl<'a> Merged<'a> {
    /// The entries of these heads within the times, from behind `after`; of each head `page` are read at a time.
    pub(crate) fn new(
        log: &'a dyn Log,
        page: usize,
        table: Table,
        heads: Vec<Key>,
        times: Times,
        after: Option<&[u8]>,
    ) -> Result<Merged<'a>, Failure> {
        let stretch = |head: Key| {
            let mut end = Key::new();
            let last = prefix(&head, &mut end).1.map(<[u8]>::to_vec);
            // Newest first: what is not before `until` stands in front.
            let until = times.until.map(|until| before(&head, until));
            let from = match (after, until) {
                (Some(after), until) => {
                    let after = [&head[..], after].concat();
                    match until {
                        Some(until) if until > after => Bound::Included(until),
                        Some(_) | None => Bound::Excluded(after),
                    }
                }
                (None, Some(until)) => Bound::Included(until),
                (None, None) => Bound::Included(head.clone()),
            };
            let to = times.from.map_or(last, |from| Bound::Excluded(before(&head, from)));
            Stretch { head: head.len(), from, to, ready: VecDeque::new(), exhausted: false }
        };
        let stretches = heads.into_iter().map(stretch).collect::<Vec<_>>();
        let mut merged = Merged { log, page, table, next: BinaryHeap::new(), stretches, last: None };
        for index in 0..merged.stretches.len() {
            merged.advance(index)?;
        }
        Ok(merged)
    }

    /// The next entry, and its place in the list. A run that moves from one stretch to another meanwhile comes once.
    pub(crate) fn next(&mut self) -> Result<Option<([u8; PLACE], Listed)>, Failure> {
        while let Some(Reverse((place, index))) = self.next.pop() {
            let taken = self.stretches[index].ready.pop_front();
            self.advance(index)?;
            if self.last.replace(place) != Some(place) {
                return Ok(taken.map(|listed| (place, listed)));
            }
        }
        Ok(None)
    }

    /// Puts the first entry of a stretch on the heap.
    fn advance(&mut self, index: usize) -> Result<(), Failure> {
        let stretch = &mut self.stretches[index];
        if stretch.ready.is_empty() && !stretch.exhausted {
            stretch.read(self.log, self.page, self.table)?;
        }
        let first = stretch.ready.front().and_then(|listed| listed.key.get(stretch.head..)?.try_into().ok());
        self.next.extend(first.map(|place| Reverse((place, index))));
        Ok(())
    }
}

impl Stretch {
    fn read(&mut self, log: &dyn Log, page: usize, table: Table) -> Result<(), Failure> {
        let range: KeyRange<'_> = (self.from.as_ref().map(|key| &key[..]), self.to.as_ref().map(|key| &key[..]));
        let found = log.list(table, range, page)?;
        self.exhausted = found.len() < page;
        if let Some(last) = found.last() {
            self.from = Bound::Excluded(last.key.clone());
        }
        self.ready = found.into();
        Ok(())
    }
}

/// The first key behind those that are not before `time`: entries stand newest first.
fn before(head: &[u8], time: Timestamp) -> Key {
    let newest_first = time_key(Timestamp(time.0.saturating_sub(1))).map(|byte| !byte);
    [head, &newest_first].concat()
}
