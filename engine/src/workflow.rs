//! Typed names of workflows.

use std::marker::PhantomData;

/// The name of a workflow, with the types of its input and output: callers and handler cannot disagree.
///
/// ```
/// use rejoin::Workflow;
/// const GREET: Workflow<String, String> = Workflow::named("greet");
/// const GREET_2: Workflow<String, String> = GREET.version(2);
/// ```
pub struct Workflow<I, O> {
    name: &'static str,
    pub(crate) traits: Traits,
    types: PhantomData<fn(I) -> O>,
}

/// What is known of a target apart from its name and types.
#[derive(Clone, Copy, Default)]
pub(crate) struct Traits {
    pub(crate) version: u32,
    pub(crate) reentrant: bool,
    pub(crate) declares: &'static [&'static str],
    pub(crate) requires_user: bool,
    pub(crate) describes: Option<&'static str>,
}

impl Traits {
    pub(crate) const NEW: Traits =
        Traits { version: 1, reentrant: false, declares: &[], requires_user: false, describes: None };
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
        Workflow { name, traits: Traits::NEW, types: PhantomData }
    }

    /// Another version of it. A trigger takes the highest version that is registered, and the run keeps it.
    #[must_use]
    pub const fn version(self, version: u32) -> Self {
        Workflow { traits: Traits { version, ..self.traits }, ..self }
    }

    /// It may trigger itself, directly.
    #[must_use]
    pub const fn reentrant(self) -> Self {
        Workflow { traits: Traits { reentrant: true, ..self.traits }, ..self }
    }

    /// The metadata that it reads, see [`Context::metadata`](crate::Context::metadata). It is triggered with all of that or
    /// not at all.
    #[must_use]
    pub const fn metadata(self, names: &'static [&'static str]) -> Self {
        Workflow { traits: Traits { declares: names, ..self.traits }, ..self }
    }

    /// What it does, in words for agents that may trigger it, see [`Context::callable`](crate::Context::callable).
    #[must_use]
    pub const fn describe(self, text: &'static str) -> Self {
        Workflow { traits: Traits { describes: Some(text), ..self.traits }, ..self }
    }

    /// It needs the user of a conversation; work without one may not trigger it.
    #[must_use]
    pub const fn requires_user(self) -> Self {
        Workflow { traits: Traits { requires_user: true, ..self.traits }, ..self }
    }

    /// Its version.
    pub const fn number(&self) -> u32 {
        self.traits.version
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}
