//! The index that an engine is opened with.

use clap::ValueEnum;
use rejoin::{Builder, IndexKind};
use serde::{Deserialize, Serialize};

/// Where rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Index {
    /// In memory.
    Memory,
    /// In sled.
    Sled,
    /// In fjall.
    Fjall,
}

impl Index {
    /// Its name, as `--index` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Index::Memory => "memory",
            Index::Sled => "sled",
            Index::Fjall => "fjall",
        }
    }
}

/// The builder with this index.
pub fn with_index(builder: Builder, index: Index) -> Builder {
    builder.index(match index {
        Index::Memory => IndexKind::Memory,
        Index::Sled => IndexKind::Sled,
        Index::Fjall => IndexKind::Fjall,
    })
}
