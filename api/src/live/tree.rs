//! The tree of a run as its events make it: events in, changes out. It is bounded: what ended is forgotten and counted when
//! there is too much of it, and what there is no room for is counted too.

use super::node::{Id, Node, Pending, Run, Sort, State, brief, named};
use crate::output::time;
use rejoin::history::Entry;
use rejoin::{CallKey, Event, OpNo, Payload, RunId, Timestamp};
use rejoin_machine::brief::{Brief, Kind};
use rejoin_machine::call::{GroupMode, Mode};
use rejoin_machine::conversation::MESSAGE;
use rejoin_machine::{Failure, Trigger};
use std::collections::HashMap;

/// How many nodes are kept.
const MOST: usize = 4096;

/// The node of the root.
pub(crate) const ROOT: Id = 0;

/// The tree of a run.
pub(crate) struct Tree {
    nodes: HashMap<Id, Node>,
    runs: HashMap<RunId, Id>,
    next: Id,
    most: usize,
    /// How often a question began, ended or went to other persons.
    questions: u64,
    /// What the entry that is being applied has changed.
    changes: Vec<Change>,
}

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Began(Id),
    /// An attempt failed, and another follows.
    Again(Id),
    /// It stands still, and something has to be done about that.
    Stands(Id),
    Ended(Id),
}

impl Tree {
    pub(crate) fn new(root: RunId) -> Tree {
        Tree::bounded(root, MOST)
    }

    /// One that keeps so many nodes.
    pub(super) fn bounded(root: RunId, most: usize) -> Tree {
        let mut node = Node::new("", Sort::Run, State::Waiting, Timestamp(0));
        node.run = Some(Box::new(Run::new(root, "")));
        Tree {
            nodes: HashMap::from([(ROOT, node)]),
            runs: HashMap::from([(root, ROOT)]),
            next: ROOT + 1,
            most,
            questions: 0,
            changes: Vec::new(),
        }
    }

    pub(crate) fn node(&self, id: Id) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The run's node, if it belongs to the tree and is kept.
    pub(crate) fn of_run(&self, run: RunId) -> Option<&Node> {
        self.runs.get(&run).and_then(|id| self.nodes.get(id))
    }

    /// Whether the root has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.node(ROOT).is_some_and(|root| root.state.has_ended())
    }

    /// A number that changes with the questions that wait for people.
    pub(crate) fn questions(&self) -> u64 {
        self.questions
    }

    /// Runs that have begun and not ended, so many at most, the newest first.
    pub(super) fn under_way(&self, most: usize) -> Vec<RunId> {
        let mut ids: Vec<Id> = self.runs.values().copied().collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let nodes = ids.iter().filter_map(|id| self.node(*id)).filter(|node| node.state == State::Running);
        nodes.filter_map(|node| node.run.as_deref()).map(|run| run.id).take(most).collect()
    }

    /// Why a run stands still for good, if one does: its handler does not fit its history.
    pub(crate) fn stuck(&self) -> Option<&str> {
        self.nodes.values().find(|node| node.state == State::Stuck).map(|node| node.note.as_str())
    }

    /// The signals that are waited for, each with the run that waits.
    pub(super) fn signals(&self) -> Vec<(RunId, &str)> {
        let open =
            |(id, node): (&Id, &'_ Node)| node.takes_signals().then_some(*id).filter(|_| !node.state.has_ended());
        let mut ids: Vec<Id> = self.nodes.iter().filter_map(open).collect();
        ids.sort_unstable();
        let of = |id: Id| {
            let node = self.node(id)?;
            let run = self.node(node.op?.0)?.run.as_deref()?;
            Some((run.id, node.name.as_str()))
        };
        ids.into_iter().filter_map(of).collect()
    }

    /// The names from the root down to a node.
    pub(super) fn path(&self, id: Id) -> Vec<&str> {
        let mut path = Vec::new();
        let mut at = self.node(id);
        while let Some(node) = at {
            path.push(node.name.as_str());
            at = node.parent.and_then(|parent| self.node(parent));
        }
        path.reverse();
        path
    }

    /// The children that a record begins, as far as they are kept.
    pub(crate) fn kept_children(&self, entry: &Entry) -> Vec<RunId> {
        let child = |event: &Event| match event {
            Event::ChildTriggered { child, .. } | Event::ParticipantCalled { child, .. } => Some(*child),
            _ => None,
        };
        let kept = |child: &RunId| self.runs.contains_key(child);
        entry.transition.events.iter().filter_map(child).filter(kept).collect()
    }

    /// How far a run says to be; whether that is news.
    pub(super) fn progress(&mut self, run: RunId, number: u64, value: &str) -> bool {
        let Some(node) = self.runs.get(&run).and_then(|id| self.nodes.get_mut(id)) else { return false };
        let heard = node.run.as_deref_mut().is_some_and(|run| std::mem::replace(&mut run.progress, number) < number);
        if heard && !node.state.has_ended() {
            node.say(value);
        }
        heard
    }

    /// What a record says; `None` if it is of no run that is kept, or was heard of before.
    pub(crate) fn apply(&mut self, run: RunId, entry: &Entry) -> Option<Vec<Change>> {
        let id = *self.runs.get(&run)?;
        let known = self.run_mut(id)?;
        if entry.version <= known.version {
            return None;
        }
        known.version = entry.version;
        for event in &entry.transition.events {
            self.of_run_itself(id, event, entry.time);
        }
        Some(std::mem::take(&mut self.changes))
    }

    fn of_run_itself(&mut self, run: Id, event: &Event, now: Timestamp) {
        match event {
            Event::Triggered(trigger) => self.triggered(run, trigger, now),
            Event::Briefed(brief) => self.briefed(run, brief),
            Event::Started => {
                self.stand(run, State::Running, "");
                // It took as long as all of its incarnations.
                let first = |node: &&mut Node| node.run.as_deref().is_some_and(|run| run.incarnation == 0);
                if let Some(node) = self.nodes.get_mut(&run).filter(first) {
                    node.since = now;
                }
            }
            Event::Completed { output } => self.settle(run, State::Completed, &brief(output), now),
            Event::Failed { failure } => self.settle(run, State::Failed, &failure.message, now),
            Event::TimedOut { failure } => self.settle(run, State::TimedOut, &failure.message, now),
            Event::Cancelled { failure } => self.settle(run, State::Cancelled, &failure.message, now),
            Event::ContinuedAsNew(boundary) => {
                self.close_all(run, now);
                if let Some(known) = self.run_mut(run) {
                    known.ops.clear();
                    known.incarnation = boundary.incarnation;
                }
            }
            Event::CancelRequested { by, reason, .. } => self.stand(run, State::Ending, &format!("by {by}: {reason}")),
            Event::CancelDelivered { .. } => self.close_all(run, now),
            Event::Wedged { reason } => self.stand(run, State::Stuck, reason),
            Event::Paused { by, reason } => self.stand(run, State::Paused, &format!("by {by}: {reason}")),
            Event::Unwedged | Event::Unpaused { .. } => self.stand(run, State::Running, ""),
            Event::Streamed { attempt, chunk } => self.streamed(run, *attempt, chunk),
            other => self.of_call(run, other, now),
        }
    }

    /// Calls and groups.
    fn of_call(&mut self, run: Id, event: &Event, now: Timestamp) {
        match event {
            Event::ChildTriggered { op, target, child, key, mode, .. } => {
                let name = match key {
                    CallKey::Named(name) => name,
                    CallKey::Numbered { .. } => &target.name,
                };
                self.call(run, Some(*op), (name, &target.name), *child, *mode == Mode::Detach, now);
            }
            Event::ParticipantCalled { target, child, key, .. } => {
                // Where no key was given it is a digest, which tells people nothing.
                let digest = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
                let name = if digest { &target.name } else { key };
                self.call(run, None, (name, &target.name), *child, false, now);
            }
            Event::ChildRefused { op, name, failure } => {
                let node = Node::new(name, Sort::Run, State::Waiting, now);
                self.add(run, Some(*op), node);
                self.close(run, *op, State::Failed, &failure.message, now);
            }
            Event::ChildCompleted { op, output } => self.close(run, *op, State::Completed, &brief(output), now),
            Event::ChildFailed { op, failure } => self.close(run, *op, State::Failed, &failure.message, now),
            Event::ChildCancelled { op, failure } => self.close(run, *op, State::Cancelled, &failure.message, now),
            Event::ChildTimedOut { op, failure, ended: true } => {
                self.close(run, *op, State::TimedOut, &failure.message, now);
            }
            // The child goes on, and nobody waits for it any more.
            Event::ChildTimedOut { op, ended: false, .. } => self.resolve(run, *op, false, now),
            Event::GroupFormed { op, name, mode, members } => {
                self.group(run, *op, name, *mode, members, now);
            }
            other => self.of_operation(run, other, now),
        }
    }

    /// Whatever else a run does or waits for.
    fn of_operation(&mut self, run: Id, event: &Event, now: Timestamp) {
        match event {
            Event::StepScheduled { op, name, .. } => {
                self.add(run, Some(*op), Node::new(name, Sort::Step, State::Running, now));
            }
            Event::StepCompleted { op, .. } => self.close(run, *op, State::Completed, "", now),
            Event::StepAttemptFailed { op, failure, retry_at } => self.again(run, *op, failure, *retry_at),
            Event::StepFailed { op, failure } => self.close(run, *op, State::Failed, &failure.message, now),
            Event::AttemptTaken { op, attempt, worker } => self.taken(run, *op, *attempt, worker),
            Event::AttemptReturned { op, .. } => self.say(run, *op, "waits for a worker"),
            Event::TimerSet { op, at } => {
                self.add(run, Some(*op), Node::new("sleep", Sort::Timer { at: *at }, State::Waiting, now));
            }
            Event::SignalAwaited { op, name, deadline } => {
                let (name, sort) = match name.as_str() {
                    MESSAGE => ("answer", Sort::Answer { until: *deadline }),
                    name => (name, Sort::Signal { until: *deadline }),
                };
                self.add(run, Some(*op), Node::new(name, sort, State::Waiting, now));
            }
            Event::TimerFired { op } | Event::SignalDelivered { op, .. } => {
                self.close(run, *op, State::Completed, "", now);
            }
            Event::SignalTimedOut { op } => self.close(run, *op, State::TimedOut, "no signal came", now),
            Event::OperationDropped { op } => self.close(run, *op, State::Cancelled, "not needed any more", now),
            other => self.of_people(run, other, now),
        }
    }

    /// Questions and handoffs, and what was known before.
    fn of_people(&mut self, run: Id, event: &Event, now: Timestamp) {
        match event {
            Event::ApprovalRequested { op, approval } => {
                let sort = Sort::Question { until: approval.expires_at };
                self.add(run, Some(*op), Node::new(&approval.question, sort, State::Waiting, now));
                self.questions += 1;
            }
            Event::ApprovalEscalated { op } => {
                self.questions += 1;
                self.say(run, *op, "asks further persons");
            }
            Event::ApprovalDecided { op, verdict } => {
                let note = format!("{} by {}", verdict.answer, verdict.by);
                self.close(run, *op, State::Completed, &note, now);
            }
            Event::ApprovalExpired { op } => self.close(run, *op, State::TimedOut, "nobody answered", now),
            Event::ApprovalRefused { op, failure } | Event::HandoffRefused { op, failure } => {
                self.add(run, Some(*op), Node::new("ask people", Sort::Handoff, State::Waiting, now));
                self.close(run, *op, State::Failed, &failure.message, now);
            }
            Event::HandoffStarted { op, .. } => {
                self.add(run, Some(*op), Node::new("hand over", Sort::Handoff, State::Waiting, now));
            }
            Event::HandoffEnded { op, by, .. } => self.close(run, *op, State::Completed, &format!("by {by}"), now),
            Event::Recalled { op, what, .. } => {
                self.add(run, Some(*op), Node::new(what, Sort::Recalled, State::Running, now));
                self.close(run, *op, State::Completed, "", now);
            }
            Event::RecallAwaited { op, what, .. } => {
                self.add(run, Some(*op), Node::new(what, Sort::Recalled, State::Running, now));
            }
            Event::RecallDelivered { op, .. } => self.close(run, *op, State::Completed, "", now),
            // What tells programs something, and no person who waits.
            _ => {}
        }
    }

    fn triggered(&mut self, run: Id, trigger: &Trigger, now: Timestamp) {
        if run == ROOT {
            let Some(root) = self.nodes.get_mut(&ROOT) else { return };
            (root.name, root.since) = (named(&trigger.target.name), now);
            self.changes.push(Change::Began(ROOT));
        }
        if let Some(known) = self.run_mut(run) {
            known.target = named(&trigger.target.name);
            known.key = trigger.key.as_deref().map(named);
        }
    }

    fn briefed(&mut self, run: Id, brief: &Brief) {
        let Some(node) = self.nodes.get_mut(&run) else { return };
        if let Some(queue) = brief.queue.as_ref().filter(|_| node.state == State::Waiting) {
            node.say(&format!("waits in the queue {queue}"));
        }
        if let Some(known) = node.run.as_deref_mut() {
            known.agent = brief.kind == Kind::Agent;
        }
    }

    fn streamed(&mut self, run: Id, attempt: u32, chunk: &Payload) {
        let Some(node) = self.nodes.get_mut(&run) else { return };
        let Some(known) = node.run.as_deref_mut() else { return };
        if attempt > node.attempt {
            node.attempt = attempt;
            known.tail.clear();
        }
        known.stream(chunk);
    }

    /// A child begins; `names` are those of the call and of what is called.
    fn call(&mut self, run: Id, op: Option<OpNo>, names: (&str, &str), child: RunId, detached: bool, now: Timestamp) {
        // An earlier incarnation called it too.
        if let Some(known) = self.runs.get(&child).copied() {
            if let (Some(op), Some(run)) = (op, self.run_mut(run)) {
                run.ops.insert(op, Pending { node: Some(known), group: None, ended: None });
            }
            return;
        }
        let mut node = Node::new(names.0, Sort::Run, State::Waiting, now);
        node.run = Some(Box::new(Run { detached, ..Run::new(child, names.1) }));
        if let Some(node) = self.add(run, op, node) {
            self.runs.insert(child, node);
        }
    }

    fn group(&mut self, run: Id, op: OpNo, name: &str, mode: GroupMode, members: &[(String, OpNo)], now: Timestamp) {
        let wanted = match mode {
            GroupMode::All => members.len(),
            GroupMode::Collect => 0,
            GroupMode::First => 1,
            GroupMode::Quorum(of) => of as usize,
        };
        let Some(known) = self.run_mut(run) else { return };
        // Of a member that is not known any more nothing but its end can be said.
        let stand = |(_, op): &(String, OpNo)| known.ops.get(op).map_or(Some(true), |member| member.ended);
        let (ended, completed) = members
            .iter()
            .filter_map(stand)
            .fold((0, 0), |(ended, completed), well| (ended + 1, completed + usize::from(well)));
        let sort = Sort::Group { members: members.len(), ended, completed, wanted };
        let Some(group) = self.add(run, Some(op), Node::new(name, sort, State::Running, now)) else { return };
        for (name, op) in members {
            let Some(member) = self.run_mut(run).and_then(|run| run.ops.get_mut(op)) else { continue };
            member.group = Some(group);
            if let Some(node) = member.node {
                self.hang(node, group, name);
            }
        }
        self.settle_group(group, now);
    }

    /// A group has ended once all of its members have.
    fn settle_group(&mut self, group: Id, now: Timestamp) {
        let Some(Node { sort: Sort::Group { members, ended, completed, wanted }, .. }) = self.nodes.get(&group) else {
            return;
        };
        if ended >= members {
            let state = if completed >= wanted { State::Completed } else { State::Failed };
            self.settle(group, state, "", now);
        }
    }

    fn again(&mut self, run: Id, op: OpNo, failure: &Failure, retry_at: Timestamp) {
        let Some((id, node)) = self.op_mut(run, op) else { return };
        node.attempt = node.attempt.saturating_add(1);
        node.say(&format!("at {} after: {}", time(retry_at), failure.message));
        self.changes.push(Change::Again(id));
    }

    fn taken(&mut self, run: Id, op: OpNo, attempt: u32, worker: &str) {
        if let Some((_, node)) = self.op_mut(run, op) {
            node.attempt = attempt;
            node.say(&format!("worker {worker}"));
        }
    }

    fn say(&mut self, run: Id, op: OpNo, note: &str) {
        if let Some((_, node)) = self.op_mut(run, op) {
            node.say(note);
        }
    }

    fn run_mut(&mut self, id: Id) -> Option<&mut Run> {
        self.nodes.get_mut(&id)?.run.as_deref_mut()
    }

    fn op_mut(&mut self, run: Id, op: OpNo) -> Option<(Id, &mut Node)> {
        let id = self.run_mut(run)?.ops.get(&op)?.node?;
        self.nodes.get_mut(&id).map(|node| (id, node))
    }

    /// A run stands otherwise than before, and has not ended.
    fn stand(&mut self, id: Id, state: State, note: &str) {
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.state.has_ended()) {
            node.state = state;
            node.say(note);
            if matches!(state, State::Stuck | State::Paused) {
                self.changes.push(Change::Stands(id));
            }
        }
    }

    /// Something begins below a node; `None` where there is no room for it.
    fn add(&mut self, parent: Id, op: Option<OpNo>, mut node: Node) -> Option<Id> {
        if self.nodes.len() >= self.most {
            self.forget();
        }
        let id = (self.nodes.len() < self.most).then_some(self.next);
        let above = self.nodes.get_mut(&parent)?;
        if let (Some(op), Some(run)) = (op, above.run.as_deref_mut()) {
            run.ops.insert(op, Pending { node: id, group: None, ended: None });
        }
        let Some(id) = id else {
            above.unseen += 1;
            return None;
        };
        above.children.push(id);
        (node.parent, node.op) = (Some(parent), op.map(|op| (parent, op)));
        self.next += 1;
        self.nodes.insert(id, node);
        self.count(Some(parent), |above| above.live += 1);
        self.changes.push(Change::Began(id));
        Some(id)
    }

    /// An operation has ended.
    fn close(&mut self, run: Id, op: OpNo, state: State, note: &str, now: Timestamp) {
        if let Some((id, _)) = self.op_mut(run, op) {
            self.settle(id, state, note, now);
        }
        self.resolve(run, op, state == State::Completed, now);
    }

    /// The handler waits for the operation no longer.
    fn resolve(&mut self, run: Id, op: OpNo, well: bool, now: Timestamp) {
        let Some(pending) = self.run_mut(run).and_then(|run| run.ops.get_mut(&op)) else { return };
        if pending.ended.replace(well).is_some() {
            return;
        }
        let Pending { node, group, .. } = *pending;
        if let Some(Node { sort: Sort::Group { ended, completed, .. }, .. }) =
            group.and_then(|group| self.nodes.get_mut(&group))
        {
            *ended += 1;
            *completed += usize::from(well);
        }
        if let Some(group) = group {
            self.settle_group(group, now);
        }
        if let (None, Some(run)) = (node, self.run_mut(run)) {
            run.ops.remove(&op);
        }
    }

    /// Everything that the run waits for is over, but for its children, which end by themselves.
    fn close_all(&mut self, run: Id, now: Timestamp) {
        let Some(known) = self.run_mut(run) else { return };
        let mut open: Vec<(OpNo, Id)> = known
            .ops
            .iter()
            .filter(|(_, pending)| pending.ended.is_none())
            .filter_map(|(op, it)| Some((*op, it.node?)))
            .collect();
        open.sort_unstable();
        for (op, node) in open {
            if self.nodes.get(&node).is_some_and(|node| node.sort != Sort::Run) {
                self.close(run, op, State::Cancelled, "", now);
            }
        }
    }

    /// A node has ended, once.
    fn settle(&mut self, id: Id, state: State, note: &str, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.state.has_ended()) else { return };
        (node.state, node.until) = (state, Some(now));
        node.say(note);
        if matches!(node.sort, Sort::Question { .. }) {
            self.questions += 1;
        }
        if node.run.is_some() {
            self.close_all(id, now);
        }
        self.count(Some(id), |node| node.live = node.live.saturating_sub(1));
        self.changes.push(Change::Ended(id));
    }

    /// Changes a node and all above it.
    fn count(&mut self, from: Option<Id>, change: impl Fn(&mut Node)) {
        let mut at = from;
        while let Some(node) = at.and_then(|id| self.nodes.get_mut(&id)) {
            change(node);
            at = node.parent;
        }
    }

    /// Hangs a node below another one, under the name that it has there.
    fn hang(&mut self, id: Id, below: Id, name: &str) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.name = named(name);
        let (live, before) = (node.live, node.parent.replace(below));
        if let Some(above) = before.and_then(|before| self.nodes.get_mut(&before)) {
            above.children.retain(|child| *child != id);
        }
        self.count(before, |above| above.live = above.live.saturating_sub(live));
        self.count(Some(below), |above| above.live += live);
        if let Some(below) = self.nodes.get_mut(&below) {
            below.children.push(id);
        }
    }

    /// Makes room: what ended first, with everything below it, is only counted from now on.
    fn forget(&mut self) {
        let alive = |id: Option<Id>| id.and_then(|id| self.nodes.get(&id)).is_some_and(|node| node.live > 0);
        let ended = |(id, node): (&Id, &Node)| (node.live == 0 && alive(node.parent)).then_some(*id);
        let mut over: Vec<Id> = self.nodes.iter().filter_map(ended).collect();
        over.sort_unstable();
        for id in over {
            if self.nodes.len() <= self.most / 4 * 3 {
                break;
            }
            let Some(node) = self.nodes.get(&id) else { continue };
            let bad = node.state != State::Completed;
            if let Some(parent) = node.parent.and_then(|parent| self.nodes.get_mut(&parent)) {
                parent.children.retain(|child| *child != id);
                parent.forgotten += 1;
                parent.forgotten_bad += usize::from(bad);
            }
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) {
        let mut below = vec![id];
        while let Some(node) = below.pop().and_then(|id| self.nodes.remove(&id)) {
            below.extend(node.children);
            if let Some(run) = node.run {
                self.runs.remove(&run.id);
            }
            if let Some((run, op)) = node.op
                && let Some(run) = self.run_mut(run)
            {
                run.ops.remove(&op);
            }
        }
    }
}
