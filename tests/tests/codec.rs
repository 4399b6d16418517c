//! The codec against any bytes: the corpus of the fuzz target, its neighbours, and random ones.

use proptest::prelude::*;
use rejoin::codec;
use rejoin_tests::fuzz::codec::check;
use std::path::Path;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/codec");
    let files = std::fs::read_dir(folder).expect("the corpus");
    files.map(|file| std::fs::read(file.expect("a file").path()).expect("readable")).collect()
}

#[test]
fn the_corpus_decodes_and_encodes_to_the_same_bytes() {
    let corpus = corpus();
    assert!(corpus.len() > 20);
    let good = corpus.iter().filter(|data| check(data)).count();
    assert!(good > 20, "{good} records of the corpus decode");
}

#[test]
fn no_flip_and_no_cut_of_a_record_makes_the_codec_panic() {
    for data in corpus() {
        for bit in 0..data.len() * 8 {
            let mut bad = data.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            check(&bad);
        }
        // What is not a record may well begin with one.
        let cuts = if check(&data) { 0..data.len() } else { 0..0 };
        for cut in cuts {
            assert!(!check(&data[..cut]), "a record that is cut at {cut} still decodes");
        }
    }
}

#[test]
fn an_unknown_format_is_named() {
    let error = codec::decode(999, &[]).expect_err("there is no such format");
    assert!(error.to_string().contains("999"), "{error}");
}

proptest! {
    #[test]
    fn random_bytes_never_make_the_codec_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        check(&bytes);
        check(&[&codec::TRANSITION.to_le_bytes()[..], &bytes].concat());
    }
}
