//! The index that an engine is opened with.

use clap::ValueEnum;
use rejoin::Builder;
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

/// The builder with this index. There is one index so far, and no choice.
pub fn with_index(builder: Builder, index: Index) -> Builder {
    match index {
        Index::Memory | Index::Sled | Index::Fjall => builder,
    }
}
