//! `rejoin events`: what happened to one run, event by event.

use super::Source;
use crate::error::Trouble;
use crate::find::{self, Beginning, Found};
use crate::output::{Column, Console, Fit, Table, time};
use crate::wire::{EventView, Operations};
use clap::Args;
use rejoin::RunId;
use rejoin::history::Entry;

const FIELDS: &str = "\
JSON: one object a line, oldest first:
  run       the run's id
  version   the number of the record, from 1: what happened together stands in one record
  index     the number of the event in its record, from 0; null for Resumed and Suspended, which are marks of the
            record, before and after its events
  time      when it happened
  name      what happened
  details   an object, by name:
    Triggered          workflow, version, project, origin, key, parent, parent_op, parent_incarnation, awaited, depth,
                       path, deadline, labels, input
    Completed          output
    Failed, TimedOut, Cancelled
                       FAILURE
    ContinuedAsNew     incarnation, children, signals (how many are carried over), input
    StepScheduled      op, step, max_attempts, timeout_ms, retry_initial_ms, retry_longest_ms, retry_growth_percent,
                       final_codes
    StepCompleted      op, step, attempt, output
    StepAttemptFailed  op, step, attempt, FAILURE, retry_at
    StepFailed         op, step, attempt, FAILURE
    ChildTriggered     op, workflow, version, child, call_key, mode, deadline, on_timeout, input_digest
    ChildRefused       op, workflow, FAILURE
    ChildCompleted     op, workflow, child, output
    ChildFailed, ChildCancelled
                       op, workflow, child, FAILURE
    ChildTimedOut      op, workflow, child, ended (whether the child has), FAILURE
    ResultIgnored      child
    CarriedChildEnded  child, and output or FAILURE
    TimerSet           op, at
    TimerFired         op
    SignalAwaited      op, signal, deadline
    SignalReceived     signal, id, payload
    SignalDelivered    op, signal, id
    SignalTimedOut     op, signal
    OperationDropped   op, and what it is
    PatchMarked        patch
    CancelRequested    cause, by, reason, grace_ms
    CancelDelivered    until
    Wedged             reason
    Briefed            kind, job, message, metadata, user, conversation, role, documents, only, and so on
    ParticipantCalled  workflow, version, child, call_key, deadline
    ParticipantRefused workflow, call_key, FAILURE
    ConversationOpened agent, user, task, busy
    MessageAdded       speaker, sort, run, and content or FAILURE
    TurnJoined, TurnReleased, TurnEnded, TurnInterrupted, ReviewAsked
                       run
    TurnAdmitted       run, messages
    AgentChanged       agent, run
    ReviewClaimed      by
    ReviewEnded        by, note
    Admitted           messages
    Said               content
    PersonTold         op, conversation, agent, user, content
    HandoffStarted     op, shown, for_good
    HandoffEnded       op, by, note
    PersonNotTold, HandoffRefused
                       op, FAILURE
    UsageRecorded      input_tokens, output_tokens, cost_micros
    RecallAwaited      op, what
    Recalled           op, what, and value, child, answer or FAILURE
    RecallDelivered    op, and value, child, answer or FAILURE
    Retries            retried, incarnation
    Suspended          due_at
  FAILURE is kind, code, message, retryable, failure_details. A field that has no value is left out. Inputs, outputs
  and payloads are the JSON that the program gave; one that is no JSON is shown as input_hex and so on.
Times are RFC 3339 in UTC. Fields and names may be added.";

/// Shows everything that happened to a run, in order.
///
/// Resumed and Suspended stand where the run went on, and where it came to rest with no step pending.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Events {
    #[command(flatten)]
    source: Source,
    /// The run's id, or enough of its beginning to tell it from all others.
    #[arg(value_name = "RUN")]
    run: Beginning,
}

const COLUMNS: [Column; 4] = [
    Column { title: "EVENT", fit: Fit::Whole },
    Column { title: "TIME", fit: Fit::Whole },
    Column { title: "NAME", fit: Fit::Whole },
    Column { title: "DETAILS", fit: Fit::Wraps },
];

impl Events {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let Found { run, entries, fault } = find::history(&self.source.folder, &self.run)?;
        let views = views(run, &entries);
        if self.source.json {
            for view in &views {
                console.json(view)?;
            }
        } else {
            print(&views, console)?;
        }
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }
}

fn views(run: RunId, entries: &[Entry]) -> Vec<EventView> {
    let mut operations = Operations::default();
    entries.iter().flat_map(|entry| EventView::of(run, entry, &mut operations)).collect()
}

fn print(views: &[EventView], console: &mut Console) -> Result<(), Trouble> {
    let mut table = Table::new(&COLUMNS);
    for view in views {
        table.row([view.place(), time(view.at), view.name.to_owned(), view.details.to_string()]);
    }
    console.table(table)
}
