//! Names and positions.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The name of a run: sixteen bytes. The last two are the slot of its root, so a whole tree stays together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub [u8; 16]);

impl RunId {
    /// The id of the child that `self` starts under `key`: the same key gives the same child, always.
    #[must_use]
    pub fn child(self, key: &CallKey) -> RunId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"child");
        hasher.update(&self.0);
        match key {
            CallKey::Named(name) => hasher.update(b"named").update(name.as_bytes()),
            CallKey::Numbered { incarnation, op } => {
                hasher.update(b"numbered").update(&incarnation.to_le_bytes()).update(&op.0.to_le_bytes())
            }
        };
        let mut id = RunId::hashed(hasher.finalize().as_bytes());
        id.0[14..].copy_from_slice(&self.0[14..]);
        id
    }

    /// The seed of a run's random numbers, if its caller's is `parent`.
    pub(crate) fn seed(self, parent: u64) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(bytes) ^ parent.rotate_left(32)
    }

    /// An id made of a hash, marked as a version 8 UUID.
    #[must_use]
    pub fn hashed(hash: &[u8; 32]) -> RunId {
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        id[6] = id[6] & 0x0f | 0x80;
        id[8] = id[8] & 0x3f | 0x80;
        RunId(id)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::str::FromStr for RunId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<RunId, &'static str> {
        const EXPECTED: &str = "a run id is 32 hexadecimal digits, with or without hyphens";
        let mut id = [0u8; 16];
        let mut digits = text.bytes().filter(|byte| *byte != b'-');
        for byte in &mut id {
            for _ in 0..2 {
                let digit = digits.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(EXPECTED)?;
                *byte = *byte << 4 | digit as u8;
            }
        }
        if digits.next().is_some() { Err(EXPECTED) } else { Ok(RunId(id)) }
    }
}

/// What tells the calls of a run apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CallKey {
    /// Given by the handler; finds the same child in a later incarnation too.
    Named(String),
    /// The place of the call in the handler.
    Numbered {
        /// The incarnation that called.
        incarnation: u32,
        /// The operation.
        op: OpNo,
    },
}

/// How the names begin of calls that participants make.
const PARTICIPANT: &str = "participant\0";

/// How the keys of those begin that are of subagents.
const SUBAGENT: &str = "subagent ";

impl CallKey {
    /// The key of a call that somebody makes for the run from outside: apart from those that its handler gives.
    #[must_use]
    pub fn of_participant(key: &str) -> CallKey {
        CallKey::Named([PARTICIPANT, key].concat())
    }

    /// What a participant's call of a subagent of this name has as its key.
    #[must_use]
    pub fn for_subagent(name: &str) -> String {
        [SUBAGENT, name].concat()
    }

    /// The name of the subagent that a participant's call under this key is of.
    #[must_use]
    pub fn name_of_subagent(key: &str) -> Option<&str> {
        key.strip_prefix(SUBAGENT)
    }

    pub(crate) fn is_of_participants_subagent(&self) -> bool {
        let CallKey::Named(key) = self else { return false };
        key.strip_prefix(PARTICIPANT).and_then(CallKey::name_of_subagent).is_some()
    }
}

/// The number of an operation within an incarnation of a run, given when the handler calls for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpNo(pub u32);

impl OpNo {
    /// The number that no operation gets, so that each one has a next.
    pub(crate) const END: OpNo = OpNo(u32::MAX);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> OpNo {
        OpNo(self.0.saturating_add(1))
    }
}

impl fmt::Display for OpNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a signal, chosen by its sender: one that came already is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SignalId(pub [u8; 16]);

/// Content that the machine carries and does not read. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Arc<[u8]>);

impl Payload {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A short digest: enough to see that two are not the same.
    pub fn digest(&self) -> u64 {
        let hash = blake3::hash(&self.0);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload(bytes.into())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Payload {
        Payload(bytes.into())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(&self.0) {
            Ok(text) => f.write_str(text),
            Err(_) => write!(f, "{} bytes", self.0.len()),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Payload;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Payload, E> {
                Ok(Payload(bytes.into()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Payload, E> {
                Ok(Payload(bytes.into()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_run_id_reads_back_from_its_text() {
        let id = RunId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("ab".parse::<RunId>().is_err());
        assert!((id.to_string() + "0").parse::<RunId>().is_err());
    }

    #[test]
    fn a_child_keeps_the_slot_of_its_root_and_differs_by_key() {
        let parent = RunId([7; 16]);
        let named = parent.child(&CallKey::Named("a".into()));
        let numbered = parent.child(&CallKey::Numbered { incarnation: 0, op: OpNo(1) });
        assert_eq!(named.0[14..], parent.0[14..]);
        assert_ne!(named, numbered);
        assert_eq!(named, parent.child(&CallKey::Named("a".into())));
    }
}
