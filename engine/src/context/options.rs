//! What a call, a request or a trigger may give beside the input: the same words for all of them.

use crate::failure::{Failure, encode};
use rejoin_machine::brief::Given;
use serde::Serialize;

/// Adds a value to the metadata.
pub(crate) fn add_metadata<V: Serialize + ?Sized>(given: &mut Given, name: String, value: &V) -> Result<(), Failure> {
    given.metadata.push((name, encode("the metadata", value)?));
    Ok(())
}

/// Adds a value of a visitor's.
pub(crate) fn add_visitor<V: Serialize + ?Sized>(given: &mut Given, name: String, value: &V) -> Result<(), Failure> {
    given.visitor.push((name, encode("the visitor's data", value)?));
    Ok(())
}

/// The options, as methods of a type that has `fn give(self, impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self`.
macro_rules! options {
    ($($type:tt)+) => {
        impl $($type)+ {
            /// Metadata: a name and value that travel down the tree beside the inputs and never through a model. It can be
            /// added to, and never overridden.
            pub fn metadata<V: serde::Serialize + ?Sized>(self, name: impl Into<String>, value: &V) -> Self {
                self.give(|given| $crate::context::options::add_metadata(given, name.into(), value))
            }

            /// What is to be known of the occasion, beside the declared input.
            pub fn message(self, text: impl Into<String>) -> Self {
                self.give(|given| Ok(given.message = Some(text.into())))
            }

            /// What it, and everything below it, may trigger at most, whatever the grants of its agents say.
            pub fn only<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
                self.give(|given| Ok(given.only = Some(names.into_iter().map(Into::into).collect())))
            }

            /// It may trigger nothing.
            pub fn triggers_nothing(self) -> Self {
                self.give(|given| Ok(given.triggers_nothing = true))
            }

            /// It cannot be cancelled from outside: only by whoever waits for it, and by deadlines.
            pub fn protected(self) -> Self {
                self.give(|given| Ok(given.protected = true))
            }

            /// How long it may wait until it begins, for a worker or for its turn. It then ends as timed out.
            pub fn queue_timeout(self, limit: std::time::Duration) -> Self {
                self.give(|given| Ok(given.queue_limit = Some(limit.into())))
            }

            /// How long it may take from when it begins. It is then cancelled, and ends as timed out.
            pub fn work_timeout(self, limit: std::time::Duration) -> Self {
                self.give(|given| Ok(given.work_limit = Some(limit.into())))
            }

            /// A document that goes with it; ten at most. What it triggers is not given it unless it gives it.
            pub fn document(self, document: &$crate::Document) -> Self {
                self.give(|given| {
                    given.documents.push(document.stored.clone());
                    Ok(())
                })
            }

            /// What a visitor's browser says of itself, say. Not to be trusted: it satisfies no key of the metadata.
            pub fn visitor<V: serde::Serialize + ?Sized>(self, name: impl Into<String>, value: &V) -> Self {
                self.give(|given| $crate::context::options::add_visitor(given, name.into(), value))
            }
        }
    };
}
pub(crate) use options;
