//! Names, positions and records of the log.

use std::fmt;

/// The name of a stream: sixteen bytes, chosen by the caller. Its last two bytes are its **slot**,
/// and the slot decides the shard, so that streams which must commit together can share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub [u8; 16]);

impl StreamId {
    /// The slot: the last two bytes, little endian.
    pub fn slot(self) -> u16 {
        u16::from_le_bytes([self.0[14], self.0[15]])
    }

    /// The shard that this stream belongs to in a store of `shards` shards.
    pub fn shard(self, shards: u16) -> Shard {
        Shard(self.slot() % shards.max(1))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// A map by stream.
pub(crate) type StreamMap<V> = std::collections::HashMap<StreamId, V, foldhash::fast::RandomState>;

/// The format of a record that ends its stream: a **tombstone**. Its payload is the stream's last row, if that is known to be
/// one that does not change any more, and otherwise empty. When it is durable the stream does not
/// exist any more, as if it had never been; a new one of that name begins at version 1 with a new chain. Its records go
/// from the disk when their segments are cleaned, and the tombstone when none of them is left.
pub const TOMBSTONE: u16 = u16::MAX;

/// One of the store's shards. A batch never spans two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u16);

/// Log sequence number: a record's place in the log, given once, counted from 1; 0 means "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many records a stream holds; also the number of its last record. 0 means that it does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The stream does not exist yet.
    pub const NONE: Version = Version(0);

    /// The version after one more record.
    #[must_use]
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A link of a stream's hash chain.
pub type Chain = [u8; 32];

/// The chain of a stream before its first record.
pub const GENESIS: Chain = [0; 32];

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// The stream that it goes to.
    pub stream: StreamId,
    /// The version that the stream must have before this record ([`Version::NONE`]: it must not exist).
    /// A later record of the same batch counts the earlier ones.
    pub expected: Version,
    /// When it happened, in microseconds since 1970. The store keeps it and does not read it.
    pub time: i64,
    /// What the payload is encoded as; the store keeps it and does not read it.
    pub format: u16,
    /// The content.
    pub payload: Vec<u8>,
}

/// A durable record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub lsn: Lsn,
    /// The stream that it belongs to.
    pub stream: StreamId,
    /// Its number in the stream, from 1.
    pub version: Version,
    /// When it happened, in microseconds since 1970, as given.
    pub time: i64,
    /// What the payload is encoded as, as given.
    pub format: u16,
    /// The chain up to and including this record.
    pub chain: Chain,
    /// The content.
    pub payload: Vec<u8>,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its version.
    pub version: Version,
    /// The place of its last record.
    pub lsn: Lsn,
}

/// The next link of a stream's chain: `H(previous, header, H(payload))`.
///
/// The header is stream, version, time and format. It holds neither the record's place in the log nor a
/// pointer to the record before, so records can be moved without breaking the chain; and the payload
/// enters by its hash, so it can be erased while the chain still verifies.
pub fn link(previous: &Chain, stream: StreamId, version: Version, time: i64, format: u16, payload: &[u8]) -> Chain {
    let mut bytes = [0u8; 98];
    bytes[0..32].copy_from_slice(previous);
    bytes[32..48].copy_from_slice(&stream.0);
    bytes[48..56].copy_from_slice(&version.0.to_le_bytes());
    bytes[56..64].copy_from_slice(&time.to_le_bytes());
    bytes[64..66].copy_from_slice(&format.to_le_bytes());
    bytes[66..98].copy_from_slice(blake3::hash(payload).as_bytes());
    *blake3::hash(&bytes).as_bytes()
}
