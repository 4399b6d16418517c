//! Typed names of workflows, and the handlers registered under them.

use crate::context::Context;
use crate::failure::{Failure, decode, encode};
use rejoin_machine::{Payload, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::pin::Pin;

/// The name of a workflow, with the types of its input and output: callers and handler cannot disagree.
///
/// ```
/// use rejoin::Workflow;
/// const GREET: Workflow<String, String> = Workflow::named("greet");
/// const GREET_2: Workflow<String, String> = GREET.version(2);
/// ```
pub struct Workflow<I, O> {
    name: &'static str,
    version: u32,
    reentrant: bool,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Clone for Workflow<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Workflow<I, O> {}

impl<I, O> Workflow<I, O> {
    /// The workflow of this name, in version 1.
    pub const fn named(name: &'static str) -> Self {
        Workflow { name, version: 1, reentrant: false, types: PhantomData }
    }

    /// Another version of it. A trigger takes the highest version that is registered, and the run keeps it.
    #[must_use]
    pub const fn version(self, version: u32) -> Self {
        Workflow { version, ..self }
    }

    /// It may trigger itself, directly.
    #[must_use]
    pub const fn reentrant(self) -> Self {
        Workflow { reentrant: true, ..self }
    }

    /// Its version.
    pub const fn number(&self) -> u32 {
        self.version
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Payload, Failure>>>>;

type Call = dyn Fn(Context, &Payload) -> Result<HandlerFuture, Failure> + Send + Sync;
type Check = dyn Fn(&Payload) -> Result<(), Failure> + Send + Sync;

/// A handler without its types.
pub(crate) struct Handler {
    pub(crate) reentrant: bool,
    pub(crate) call: Box<Call>,
    /// Whether an input is of the handler's type.
    pub(crate) check: Box<Check>,
}

/// All handlers, by name and version.
#[derive(Default)]
pub(crate) struct Registry {
    handlers: BTreeMap<String, BTreeMap<u32, Handler>>,
}

impl Registry {
    /// Adds a handler; `false` if the name and version are taken.
    pub(crate) fn add<I, O, F, Fut>(&mut self, workflow: &Workflow<I, O>, handler: F) -> bool
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Context, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + 'static,
    {
        let call = move |ctx: Context, input: &Payload| -> Result<HandlerFuture, Failure> {
            let running = handler(ctx, decode::<I>("the input", input)?);
            Ok(Box::pin(async move { encode("the output", &running.await?) }))
        };
        let check = |input: &Payload| decode::<I>("the input", input).map(drop);
        let handler = Handler { reentrant: workflow.reentrant, call: Box::new(call), check: Box::new(check) };
        let versions = self.handlers.entry(workflow.name.to_owned()).or_default();
        versions.insert(workflow.version, handler).is_none()
    }

    pub(crate) fn get(&self, target: &Target) -> Option<&Handler> {
        self.handlers.get(&target.name)?.get(&target.version)
    }

    /// The highest version of a name.
    pub(crate) fn newest(&self, name: &str) -> Option<(Target, &Handler)> {
        let (version, handler) = self.handlers.get(name)?.last_key_value()?;
        Some((Target { name: name.to_owned(), version: *version }, handler))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.handlers.keys().cloned().collect()
    }
}
