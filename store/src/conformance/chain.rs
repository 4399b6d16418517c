//! Each stream is a hash chain that anybody can verify, and nothing in it changes.

use super::*;

pub(super) fn inv_s6_the_chain_holds_from_the_first_record(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for version in 0..20 {
        put(&*log, &[record(stream(1), version, "a"), record(stream(2), version, "b")]);
    }
    check_chains(&read(&*log, stream(1)));
    check_chains(&read(&*log, stream(2)));
    let first = &read(&*log, stream(1))[0];
    assert_eq!(first.chain, link(&GENESIS, stream(1), Version(1), 1_000, 7, b"a"));
}

pub(super) fn inv_s6_a_record_never_changes(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let mut seen: Vec<Record> = Vec::new();
    for version in 0..40 {
        put(&*log, &[record(stream(1), version, vec![version as u8; 300])]);
        let now = read(&*log, stream(1));
        assert_eq!(now[..seen.len()], seen[..]);
        seen = now;
    }
    assert_eq!(everything(&*log), seen);
}

pub(super) fn a_chain_depends_on_its_stream_only(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(9), 3);
    // What the chain would be if the stream were alone in the world.
    let mut expected = GENESIS;
    for version in 0..5 {
        let new = record(stream(1), version, "same");
        expected = link(&expected, new.stream, Version(version + 1), new.time, new.format, &new.payload);
        put(&*log, &[record(stream(2), version, "between"), new]);
    }
    assert_eq!(read(&*log, stream(1)).pop().unwrap().chain, expected);
}

pub(super) fn streams_with_equal_content_have_chains_of_their_own(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    put(&*log, &[record(stream(1), 0, "same"), record(stream(2), 0, "same")]);
    assert_ne!(read(&*log, stream(1))[0].chain, read(&*log, stream(2))[0].chain);
}
