//! The loop: ask the model, do what it wants, tell it what came of that, until it answers.

use super::ModelAgent;
use super::client::{Denied, Hear, Transport};
use super::prompt::{Occasion, Opening, own};
use super::stream::{CUT, FILTERED};
use super::tools::{Becomes, Wish, toolbox, wishes};
use super::wire::{self, Message, Request, StreamOptions, Tokens, schema_format};
use crate::agents::progress::Telling;
use crate::agents::toolbox::Toolbox;
use crate::agents::trouble::{named, passing};
use crate::endpoint::Door;
use rejoin::{Answer, Attempt, Call, Context, Failure, RetryPolicy, Usage, join, join_all};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The pause before the second attempt of a turn, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How much of what a model is saying is told, in bytes: its end, as much as has room beside a name.
const TAIL: usize = 48;

/// An agent, and who answers for its model.
pub(super) struct Desk {
    pub(super) agent: ModelAgent,
    pub(super) transport: Arc<dyn Transport>,
    /// The way to whoever watches.
    pub(super) door: Option<Door>,
}

/// One turn of a model, as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    text: String,
    wishes: Vec<Wish>,
    tokens: Tokens,
    /// Why the job ends here without an answer. Recorded, so that limits which change later do not change what has happened.
    stop: Option<Stop>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stop {
    code: String,
    message: String,
}

/// What a model is told that came of a wish, with the place of that.
type Told<'a> = Pin<Box<dyn Future<Output = (usize, String)> + 'a>>;

/// What one turn of a model is asked with.
struct Asked {
    desk: Arc<Desk>,
    occasion: Arc<Occasion>,
    toolbox: Toolbox,
    /// What was said since the occasion.
    since: Vec<Message>,
    /// Which turn it is, from 1.
    number: u32,
    /// What the turns before have cost.
    spent: u64,
}

impl Desk {
    /// Does one job.
    pub(super) async fn answer(self: Arc<Desk>, ctx: Context, opening: Opening) -> Result<Value, Failure> {
        let occasion = Arc::new(Occasion::new(&ctx, &self.agent.name, opening));
        let (mut since, mut spent, mut number) = (Vec::new(), 0u64, 0);
        loop {
            number += 1;
            let said = self.turn(&ctx, &occasion, since.clone(), number, spent).await?;
            ctx.record_usage(Usage {
                input_tokens: said.tokens.read,
                output_tokens: said.tokens.written,
                cost_micros: 0,
            });
            spent = spent.saturating_add(said.tokens.sum());
            if let Some(Stop { code, message }) = said.stop {
                return Err(Failure::business(code, message));
            }
            if said.wishes.is_empty() {
                return Ok(self.answered(&occasion, said.text));
            }
            if let [Wish { becomes: Becomes::HandOff { message }, .. }] = said.wishes.as_slice() {
                return Err(ctx.hand_off(message).for_good());
            }
            let Some(told) = self.fulfil(&ctx, &said.wishes).await? else { return Ok(Value::Null) };
            let tool_calls = said.wishes.iter().map(Wish::call).collect();
            let content = Some(own(said.text)).filter(|text| !text.is_empty());
            since.push(Message::Assistant { content, tool_calls });
            let results = said.wishes.into_iter().zip(told);
            since.extend(results.map(|(wish, content)| Message::Tool { tool_call_id: wish.id, content }));
        }
    }

    /// Tells whoever watches the end of what the model says.
    async fn hear(&self, attempt: &Attempt) -> Hear {
        let engine = match &self.door {
            Some(door) => door.engine().await,
            None => None,
        };
        let Some(engine) = engine else { return Arc::new(|_| {}) };
        let telling = Telling::of(&engine, attempt);
        Arc::new(move |text| {
            let end = text.trim_end();
            let first = end.floor_char_boundary(end.len().saturating_sub(TAIL));
            if !end.is_empty() {
                telling.tell(end[first..].into());
            }
        })
    }

    /// Asks the model once: one recorded step.
    async fn turn(
        self: &Arc<Desk>,
        ctx: &Context,
        occasion: &Arc<Occasion>,
        since: Vec<Message>,
        number: u32,
        spent: u64,
    ) -> Result<Said, Failure> {
        let asks_persons = !self.agent.asks.is_empty();
        let toolbox = toolbox(&ctx.callable(), ctx.subagents_allowed(), asks_persons, occasion.is_turn());
        let asked = Asked { desk: self.clone(), occasion: occasion.clone(), toolbox, since, number, spent };
        let asked = Arc::new(asked);
        let policy = RetryPolicy {
            max_attempts: Some(self.agent.attempts.max(1)),
            initial: FIRST_PAUSE.into(),
            longest: LONGEST_PAUSE.into(),
            ..RetryPolicy::default()
        };
        ctx.step("model", move |attempt: Attempt| asked.clone().ask(attempt)).retry_policy(policy).await.map_err(named)
    }

    /// Does what a model wants, side by side: what it is told came of each wish. Nothing is told where the conversation has passed to
    /// another agent.
    async fn fulfil(&self, ctx: &Context, wishes: &[Wish]) -> Result<Option<Vec<String>>, Failure> {
        if let [wish @ Wish { becomes: Becomes::Transfer { agent, note }, .. }] = wishes {
            return match ctx.transfer(agent, note).await {
                Ok(_) => Ok(None),
                Err(failure) if failure.is_cancelled() => Err(failure),
                Err(failure) => Ok(Some(vec![wish.answered(&Answer::Failed(failure))])),
            };
        }
        let mut told: Vec<String> = wishes.iter().map(refusal).collect();
        if wishes.iter().any(Wish::waits) {
            let results = self.results(ctx, wishes).await?;
            // A call may be cancelled by itself, which is an answer; with the run, no model is asked any more.
            if let Some(cancelled) = ctx.cancellation() {
                return Err(cancelled);
            }
            results.into_iter().for_each(|(place, text)| told[place] = text);
        }
        Ok(Some(told))
    }

    /// What came of calls and questions, with the places of their wishes.
    async fn results(&self, ctx: &Context, wishes: &[Wish]) -> Result<Vec<(usize, String)>, Failure> {
        let mut calls = Vec::new();
        let mut others: Vec<Told<'_>> = Vec::new();
        let mut group = ctx.group("tools");
        for (place, wish) in wishes.iter().enumerate() {
            match &wish.becomes {
                Becomes::Call { name, job, limit } => {
                    let call = ctx.tool_call(name, job.as_deref(), Value::Object(wish.arguments.clone()));
                    let call = limit.iter().copied().fold(call, Call::timeout);
                    group.add(format!("{place} {name}"), call);
                    calls.push((place, wish));
                }
                Becomes::Question { question, answers } => {
                    let question =
                        ctx.approval(question).answers(answers).persons(&self.agent.asks).within(self.agent.within);
                    others.push(Box::pin(async move { (place, wish.decided(question.await)) }));
                }
                Becomes::Subagents { tasks } => {
                    let part = |(name, task): &(String, String)| {
                        let asked = ctx.task(&self.agent.name, task).subagent().into_future();
                        let name = name.clone();
                        async move { (name, asked.await) }
                    };
                    let parts = join_all(tasks.iter().map(part).collect::<Vec<_>>());
                    others.push(Box::pin(async move { (place, wish.gathered(parts.await)) }));
                }
                Becomes::Nothing { .. } | Becomes::Transfer { .. } | Becomes::HandOff { .. } => {}
            }
        }
        let called = async {
            // A group of none would be an event that says nothing.
            if calls.is_empty() { Ok(None) } else { group.collect().await.map(Some) }
        };
        let (answers, mut results) = join((called, join_all(others))).await;
        let answers = answers?;
        let answers = answers.iter().flat_map(|answers| answers.iter().map(|(_, answer)| answer));
        results.extend(calls.into_iter().zip(answers).map(|((place, wish), answer)| (place, wish.answered(answer))));
        Ok(results)
    }

    /// The answer of a job: a text, or what a schema asks for.
    fn answered(&self, occasion: &Occasion, text: String) -> Value {
        match occasion.schema(self.agent.output.as_ref()) {
            Some(_) => structured(&text).unwrap_or(Value::String(text)),
            None if occasion.is_turn() && text.is_empty() => Value::Null,
            None => Value::String(text),
        }
    }
}

impl Asked {
    /// Asks, in a step.
    async fn ask(self: Arc<Asked>, attempt: Attempt) -> Result<Said, Failure> {
        let request = self.request()?;
        let size = serde_json::to_vec(&request)?.len();
        let hear = self.desk.hear(&attempt).await;
        match self.desk.transport.ask(attempt.idempotency_key(), request, hear).await {
            // One that has done something may have nothing to add.
            Ok(answer) if answer.is_empty() && !answer.is_cut() && self.since.is_empty() => {
                Err(passing("model-broken", "the model has said nothing"))
            }
            Ok(answer) => Ok(self.said(answer, size)),
            Err(Denied { failure, after }) => {
                // A step cannot say when it is to be tried again, so this attempt lasts until the endpoint wants to be asked.
                if let Some(after) = after.filter(|_| attempt.number() < self.desk.agent.attempts) {
                    tokio::time::sleep(after.min(LONGEST_PAUSE)).await;
                }
                Err(failure)
            }
        }
    }

    fn request(&self) -> Result<Request, Failure> {
        let agent = &self.desk.agent;
        let schema = self.occasion.schema(agent.output.as_ref());
        let mut messages = self.occasion.messages(&agent.instructions, schema)?;
        messages.extend(self.since.iter().cloned());
        let tools: Vec<wire::Tool> = self.toolbox.shown().cloned().map(wire::Tool::from).collect();
        // Many endpoints take one or the other; the instructions have the schema too, and what does not fit it goes back.
        let form = schema.filter(|_| tools.is_empty()).and_then(schema_format);
        Ok(Request {
            model: agent.model.clone(),
            messages,
            tools,
            temperature: agent.temperature,
            response_format: form,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        })
    }

    fn said(&self, answer: wire::Answer, asked_bytes: usize) -> Said {
        let wishes = wishes(&self.toolbox, &answer.calls);
        let tokens = answer.tokens.unwrap_or_else(|| guessed(asked_bytes, &answer));
        let stop = self.stop(&answer, &wishes, tokens);
        Said { text: answer.text, wishes, tokens, stop }
    }

    /// Whether the job ends here without an answer. Nothing is begun of which the model could not be told what came of it.
    fn stop(&self, answer: &wire::Answer, wishes: &[Wish], tokens: Tokens) -> Option<Stop> {
        let agent = &self.desk.agent;
        let stop = |code: &str, message: String| Some(Stop { code: code.to_owned(), message });
        match answer.finish.as_deref() {
            Some(CUT) => {
                return stop("model-length", "the endpoint cut the answer off at its limit of tokens".to_owned());
            }
            Some(FILTERED) => {
                return stop("model-filtered", "the endpoint's content filter cut the answer off".to_owned());
            }
            _ => {}
        }
        if !wishes.iter().any(Wish::goes_on) {
            return None;
        }
        let spent = self.spent.saturating_add(tokens.sum());
        match agent.token_budget.filter(|budget| spent >= *budget) {
            Some(budget) => stop("token-budget", format!("the job has used {spent} tokens, and may use {budget}")),
            None if self.number >= agent.max_turns => {
                stop("too-many-turns", format!("the model has had {} turns, and no answer", self.number))
            }
            None => None,
        }
    }
}

/// What a turn has cost, where the endpoint does not say: about four bytes a token, so that a budget ends all the same.
fn guessed(asked_bytes: usize, answer: &wire::Answer) -> Tokens {
    let written = answer.calls.iter().map(|call| call.name().len() + call.arguments().len()).sum::<usize>();
    let tokens = |bytes: usize| u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX);
    Tokens { read: tokens(asked_bytes), written: tokens(answer.text.len() + written) }
}

impl Wish {
    /// Whether something is begun for it that takes its time.
    fn waits(&self) -> bool {
        matches!(self.becomes, Becomes::Call { .. } | Becomes::Subagents { .. } | Becomes::Question { .. })
    }
}

/// What the model is told of a wish that comes to nothing.
fn refusal(wish: &Wish) -> String {
    match &wish.becomes {
        Becomes::Nothing { code, message } => wish.failed("refused", code, message),
        _ => String::new(),
    }
}

/// JSON in what a model says: the whole, what stands in a code fence, or what stands between the outermost braces.
fn structured(text: &str) -> Option<Value> {
    let fenced = || {
        let (_, rest) = text.split_once("```")?;
        let (inside, _) = rest.split_once("```")?;
        serde_json::from_str(inside.trim_start_matches(|sign: char| sign.is_ascii_alphanumeric())).ok()
    };
    let braced = || serde_json::from_str(text.get(text.find('{')?..=text.rfind('}')?)?).ok();
    serde_json::from_str(text).ok().or_else(fenced).or_else(braced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_found_in_what_is_said() {
        let expected = Some(json!({ "status": "done" }));
        for said in [
            r#"{"status":"done"}"#,
            "Here:\n```json\n{\"status\": \"done\"}\n```\nIs that right?",
            "```\n{\"status\":\"done\"}```",
            r#"Certainly: {"status":"done"}."#,
        ] {
            assert_eq!(structured(said), expected, "{said}");
        }
        for said in ["", "none", "} {", "{status}", "```"] {
            assert_eq!(structured(said), None, "{said}");
        }
    }
}
