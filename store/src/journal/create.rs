//! Making a new store, and telling a folder that never held one from a folder that lost its manifest.

use super::append::begin_segment;
use super::footer::SEGMENT_HEADER;
use super::frame::Place;
use super::manifest::{MANIFEST, Manifest, Segment, segment_id};
use super::recovery::not_writable;
use super::{Options, spare};
use crate::disk::{Disk, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::record::Lsn;
use std::io;

/// Makes a new store: its first segment, then the manifest that makes it count.
pub(super) fn create(disk: &dyn Disk, options: &Options) -> Result<Manifest, OpenError> {
    if options.shards == 0 || options.first_segment < 1024 || options.largest_segment < options.first_segment {
        return Err(OpenError::Settings(
            "a store needs at least one shard, a first segment of 1024 bytes and a largest one not below it".into(),
        ));
    }
    let store = match options.store_id {
        Some(store) => store,
        None => {
            let mut store = [0; 16];
            getrandom::fill(&mut store)
                .map_err(|error| Failure::io("draw the identity of", "MANIFEST", io::Error::other(error)))?;
            store
        }
    };
    let place = Place { store, segment: 1, generation: 0 };
    spare::fill(disk, options.first_segment, spare::Pace::AtOnce).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            OpenError::Failure(Failure::Full { needed: options.first_segment })
        }
        _ => not_writable(disk, error),
    })?;
    begin_segment(disk, place, Lsn(1))?;
    let segment = Segment { id: 1, generation: 0, first: Lsn(1), bytes: options.first_segment, closed: None };
    let manifest = Manifest { store, shards: options.shards, opening: 0, forgotten: Lsn(0), segments: vec![segment] };
    manifest.write(disk).map_err(|failure| match failure {
        full if full.is_disk_full() => Failure::Full { needed: options.first_segment },
        other => other,
    })?;
    Ok(manifest)
}

/// Refuses a folder with segments that the manifest does not know: it was lost, or put back from an old copy, and
/// the log would be opened shorter than it is.
///
/// A segment file without frames is no reason: it was about to be begun when the power went.
pub(super) fn refuse_unknown_segments(disk: &dyn Disk, manifest: Option<&Manifest>) -> Result<(), OpenError> {
    let last = manifest.and_then(|manifest| manifest.segments.last()).map_or(0, |segment| segment.id);
    let list = disk.list().map_err(|error| Failure::io("list", "the folder", error))?;
    for name in list.iter().filter(|name| segment_id(name).is_some_and(|(id, _)| id > last)) {
        let content = disk.open_read(name).and_then(|file| read_all(&*file));
        let content = content.map_err(|error| Failure::io("read", name, error))?;
        if content.iter().skip(SEGMENT_HEADER).any(|byte| *byte != 0) {
            let what = match manifest {
                Some(_) => format!("it is older than the log: it does not know {name}, which holds records"),
                None => format!("it is missing, and {name} holds records"),
            };
            return Err(Damage { file: MANIFEST.into(), offset: 0, what }.into());
        }
    }
    Ok(())
}
