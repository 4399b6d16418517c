//! The handlers of an agent that works elsewhere: one step, which is one piece of work, tried as often as the agent says.

use super::answer::Answer;
use super::assignment::{Asked, Work};
use super::trouble::named;
use rejoin::definition::interned;
use rejoin::{Attempt, Builder, Context, Failure, Job, Task, Turn};
use serde_json::Value;
use std::pin::Pin;
use std::sync::Arc;

/// An attempt that is under way.
pub(super) type Attempting = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// Who does the work of an agent.
pub(super) trait Elsewhere: Send + Sync + 'static {
    /// What its step is called.
    const STEP: &'static str;

    /// How many attempts each piece of work gets.
    fn attempts(&self) -> u32;

    /// One attempt. When it is dropped, nothing of it may go on.
    fn attempt(self: Arc<Self>, work: Arc<Work>, attempt: Attempt) -> Attempting;
}

/// Registers what answers for an agent: for any job, for tasks, and for turns of conversations.
pub(super) fn register<E: Elsewhere>(builder: Builder, name: &str, version: u32, agent: E) -> Builder {
    let (name, agent) = (interned(name), Arc::new(agent));
    let (for_tasks, for_turns) = (agent.clone(), agent.clone());
    builder
        .job(&Job::<Value, Value>::of(name).version(version), move |ctx, input| {
            serve(agent.clone(), ctx, Asked::Job { input })
        })
        .job(&Job::<Task, Value>::tasks(name).version(version), move |ctx, task: Task| {
            serve(for_tasks.clone(), ctx, task.into())
        })
        .job(&Job::<Turn, Value>::turns(name).version(version), move |ctx, turn: Turn| {
            serve(for_turns.clone(), ctx, turn.into())
        })
}

async fn serve<E: Elsewhere>(agent: Arc<E>, ctx: Context, asked: Asked) -> Result<Value, Failure> {
    let work = Arc::new(Work::new(&ctx, asked));
    let attempts = agent.attempts();
    let body = move |attempt: Attempt| agent.clone().attempt(work.clone(), attempt);
    let answer: Answer = ctx.step(E::STEP, body).retry(attempts).await.map_err(named)?;
    answer.deliver(&ctx).await
}
