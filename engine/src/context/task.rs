//! Tasks: work described in words, that an agent does in a conversation of its own.

use super::call::Wanted;
use super::{Call, Context};
use crate::failure::{Failure, encode};
use crate::report::{Complaint, Task, TaskResult};
use crate::schema::Schema;
use rejoin_machine::brief::{Given, Share};
use rejoin_machine::call::Mode;
use rejoin_machine::{FailureKind, RunId};
use serde_json::Value;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

/// How often an answer that does not fit its schema goes back, where nothing is said.
const REPAIRS: u32 = 2;

/// The job by which an agent takes tasks.
pub(crate) const TASK: &str = "task";

impl Context {
    /// Assigns a task to an agent, in words, and waits for its result. It is a conversation of its own, in which later tasks can
    /// go on, and which the engine's lists show.
    ///
    /// ```
    /// # use rejoin::{Context, Failure};
    /// # use serde_json::json;
    /// async fn reconcile(ctx: Context, invoice: String) -> Result<String, Failure> {
    ///     let done = ctx
    ///         .task("finance", "Process this invoice for approval.")
    ///         .metadata("invoice_id", &invoice)
    ///         .output(json!({ "type": "object", "properties": { "status": { "type": "string" } }, "required": ["status"] }))
    ///         .await?;
    ///     Ok(done.output["status"].as_str().unwrap_or_default().to_owned())
    /// }
    /// ```
    pub fn task(&self, agent: impl Into<String>, description: impl Into<String>) -> Assign {
        let task = Task { description: description.into(), output: None, complaint: None };
        Assign {
            ctx: self.clone(),
            agent: agent.into(),
            task,
            given: Given { share: Some(Share::NewTask), ..Given::default() },
            trouble: None,
            timeout: None,
            repairs: REPAIRS,
        }
    }
}

/// A task that has not been assigned; await it.
#[must_use = "a task is assigned when it is awaited"]
pub struct Assign {
    ctx: Context,
    agent: String,
    task: Task,
    given: Given,
    trouble: Option<Failure>,
    timeout: Option<Duration>,
    repairs: u32,
}

impl Assign {
    /// The conversation that it goes on with, in place of a new one.
    pub fn conversation(self, id: RunId) -> Self {
        self.give(|given| {
            given.share = Some(Share::Task(id));
            Ok(())
        })
    }

    /// The JSON Schema of its result. An answer that does not fit goes back to the agent, with what is wrong, as often as
    /// [`Assign::repairs`] says. References may only lead into the schema itself.
    pub fn output(mut self, schema: Value) -> Self {
        self.task.output = Some(schema);
        self
    }

    /// How often an answer that does not fit goes back; twice where nothing is said.
    pub fn repairs(self, most: u32) -> Self {
        Assign { repairs: most, ..self }
    }

    /// It is a part of an agent's own work, done by that agent or another one beside it: see [`Context::subagent`]. An answer
    /// that goes back counts as one more.
    pub fn subagent(self) -> Self {
        self.give(|given| {
            given.subagent = true;
            Ok(())
        })
    }

    /// How long each answer may take.
    pub fn timeout(self, limit: Duration) -> Self {
        Assign { timeout: Some(limit), ..self }
    }

    fn give(mut self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self {
        if let Err(failure) = change(&mut self.given) {
            self.trouble.get_or_insert(failure);
        }
        self
    }

    /// Asks the agent.
    fn ask(&self, given: Given, task: &Task) -> Call<TaskResult> {
        let wanted = Wanted { name: &self.agent, job: Some(TASK), part: None, mode: Mode::Wait, given };
        let input = match &self.trouble {
            Some(failure) => Err(failure.clone()),
            None => encode("the task", task),
        };
        let call = Call::new(self.ctx.issue_call(wanted, input));
        match self.timeout {
            Some(limit) => call.timeout(limit),
            None => call,
        }
    }

    async fn finish(self, schema: Option<Schema>, first: Call<TaskResult>) -> Result<TaskResult, Failure> {
        let mut call = first;
        for left in (0..=self.repairs).rev() {
            let done = call.await?;
            let Some(schema) = &schema else { return Ok(done) };
            let problems = schema.problems(&done.output);
            if problems.is_empty() {
                return Ok(done);
            }
            let TaskResult { output: answer, conversation, .. } = done;
            let complaint = Complaint { answer, problems };
            if left == 0 {
                return Err(unfit(&self.agent, self.repairs, &complaint));
            }
            let again = Given { share: Some(Share::Task(conversation)), ..self.given.clone() };
            call = self.ask(again, &Task { complaint: Some(complaint), ..self.task.clone() });
        }
        Err(Failure::permanent("an answer was never asked for"))
    }
}

super::options::options!(Assign);

impl IntoFuture for Assign {
    type Output = Result<TaskResult, Failure>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(mut self) -> Self::IntoFuture {
        let schema = self.task.output.as_ref().map(Schema::new).transpose();
        let schema = schema.unwrap_or_else(|failure| {
            self.trouble.get_or_insert(failure);
            None
        });
        let first = self.ask(self.given.clone(), &self.task);
        Box::pin(self.finish(schema, first))
    }
}

fn unfit(agent: &str, repairs: u32, complaint: &Complaint) -> Failure {
    let message = format!(
        "what {agent:?} answers does not fit the schema, also after {repairs} repairs: {}",
        complaint.problems.join("; ")
    );
    let details = serde_json::to_value(complaint).unwrap_or_default();
    Failure::make(FailureKind::Application, "output-invalid".to_owned(), message, details, false)
}
