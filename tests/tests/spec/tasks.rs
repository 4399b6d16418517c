//! D1 to D5, F2: tasks that workflows assign to agents, and what comes of them.

use super::conversations::transcript;
use super::{code, run, said};
use rejoin::testkit::{Simulation, World};
use rejoin::time::minutes;
use rejoin::{
    ActionSort, ActionStatus, Agent, Builder, Context, ConversationFilter, Document, Failure, Job, RunId, Task,
    TriggerRequest, Usage, Workflow,
};
use rejoin_tests::lives::{MAIN, builder, start};
use serde_json::{Value, json};

const FINANCE: Job<Task, Value> = Job::tasks("finance");
const APPROVE: Workflow<String, String> = Workflow::named("approve-invoice").metadata(&["invoice_id"]);

/// An agent that approves invoices, and says so in a text.
fn finance(app: Builder) -> Builder {
    app.agent(Agent::named("finance").grant("approve-invoice"))
        .job(&FINANCE, |ctx: Context, task: Task| async move {
            let chosen = ctx.step("model", move || Ok::<_, Failure>(task.description.len())).await?;
            ctx.record_usage(Usage { input_tokens: chosen as u64, output_tokens: 7, cost_micros: 1 });
            // The model makes an invoice up; that argument is dropped.
            let done = ctx.tool_call("approve-invoice", None, json!("INV-666")).await?;
            ctx.artefact("receipt", &json!({ "of": done }))?;
            Ok(json!(format!("approved: {}", done.as_str().unwrap_or_default())))
        })
        .workflow(&APPROVE, |ctx: Context, _: String| async move { ctx.metadata::<String>("invoice_id") })
}

#[test]
fn spec_d1_a_task_comes_back_with_its_result_and_what_was_done_for_it() {
    let app = finance(builder()).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let done =
            ctx.task("finance", "Process this invoice.").metadata("invoice_id", "INV-1").timeout(minutes(5)).await?;
        Ok(serde_json::to_string(&done)?)
    });
    let (result, simulation) = run(app);
    let done: rejoin::TaskResult = serde_json::from_str(&result.unwrap()).unwrap();
    assert_eq!(done.text(), "approved: INV-1");
    assert_eq!(done.artefacts["receipt"]["of"], "INV-1");
    assert_eq!((done.usage.input_tokens, done.usage.output_tokens, done.usage.cost_micros), (21, 7, 1));
    assert_eq!(done.metadata["invoice_id"], "INV-1");
    let actions: Vec<_> = done.actions.iter().map(|it| (it.sort, it.name.as_str(), it.status)).collect();
    let expected =
        [(ActionSort::Step, "model", ActionStatus::Done), (ActionSort::Call, "approve-invoice", ActionStatus::Done)];
    assert_eq!(actions, expected);
    // It is a conversation, and nobody's inbox shows it.
    let chat = simulation.engine().find_conversation(done.conversation).unwrap();
    let lines = transcript(&chat);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("Process this invoice.") && lines[1] == "finance: approved: INV-1", "{lines:?}");
    let list = |task| {
        let filter = ConversationFilter { task, ..Default::default() };
        simulation.engine().conversations(&filter, None, 10).unwrap().conversations
    };
    assert_eq!((list(Some(true))[0].id, list(Some(false)).len()), (done.conversation, 0));
    assert_eq!(simulation.engine().actions(done.run).unwrap(), done.actions);
}

#[test]
fn spec_d2_a_task_goes_on_in_the_conversation_of_another() {
    const READER: Job<Task, Value> = Job::tasks("reader");
    let app = builder()
        .job(&READER, |ctx: Context, task: Task| async move {
            let thread = ctx.conversation().expect("a task is a conversation");
            let count = ctx.step("read", move || thread.messages().map(|messages| messages.len())).await?;
            Ok(json!(format!("{}: {count}", task.description)))
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            let first = ctx.task("reader", "one").await?;
            let second = ctx.task("reader", "two").conversation(first.conversation).await?;
            assert_eq!(first.conversation, second.conversation);
            let apart = ctx.task("reader", "three").await?;
            assert_ne!(first.conversation, apart.conversation);
            // Two at the same time wait for each other.
            let again = |what| ctx.task("reader", what).conversation(first.conversation);
            let (four, five) = rejoin::join((again("four").into_future(), again("five").into_future())).await;
            Ok([first.text(), second.text(), apart.text(), four?.text(), five?.text()].join(", "))
        });
    assert_eq!(said(app), "one: 1, two: 3, three: 1, four: 5, five: 7");
}

#[test]
fn spec_d2_an_unknown_or_foreign_conversation_is_refused_before_the_start() {
    let app = finance(builder()).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let unknown = ctx.task("finance", "go on").conversation(RunId([9; 16])).metadata("invoice_id", "1").await;
        let own = ctx.task("finance", "go on").conversation(ctx.run_id()).metadata("invoice_id", "1").await;
        let codes =
            [unknown, own].map(|result| result.map_or_else(|failure| failure.code().to_owned(), |_| "ok".into()));
        let message = ctx.task("finance", "x").conversation(RunId([9; 16])).await.expect_err("refused");
        Ok(format!("{}: {}", codes.join(" "), message.message()))
    });
    let said = said(app);
    assert!(said.starts_with("missing missing: there is no conversation 09090909"), "{said}");
}

#[test]
fn spec_d2_documents_go_along_by_their_content_and_ten_at_most() {
    const READER: Job<Task, Value> = Job::tasks("reader");
    let app = builder()
        .job(&READER, |ctx: Context, _: Task| async move {
            let documents = ctx.documents();
            let bytes = ctx
                .step("read", move || {
                    let read = |document: &Document| Ok(format!("{}={}", document.name(), document.read()?.len()));
                    documents.iter().map(read).collect::<Result<Vec<String>, Failure>>()
                })
                .await?;
            Ok(json!(bytes.join(" ")))
        })
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            let documents = ctx.documents();
            ctx.sleep(minutes(n.into())).await?;
            let task = |many: usize| {
                let task = ctx.task("reader", "read");
                documents.iter().cycle().take(many).fold(task, rejoin::Assign::document)
            };
            let two = task(2).await?.text();
            let eleven = task(11).await.expect_err("too many");
            Ok(format!("{two}; {}: {}", eleven.code(), eleven.message()))
        });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let keep = async move {
        let one = engine.keep_document("terms.txt", b"all terms").await?;
        let again = engine.keep_document("terms-2.txt", b"all terms").await?;
        let other = engine.keep_document("prices.csv", b"a,1\nb,2").await?;
        let large = engine.keep_document("large", &vec![0; 3 << 20]).await.expect_err("too large");
        assert_eq!(one.address(), again.address());
        Ok::<_, rejoin::TriggerError>((vec![one, other], large))
    };
    let (documents, large) = simulation.block_on(keep).unwrap().unwrap();
    assert!(large.to_string().contains("over the limit"), "{large}");
    let trigger = |simulation: &mut Simulation, n| {
        let (engine, given) = (simulation.engine(), documents.clone());
        let begin = async move { given.iter().fold(engine.trigger(&MAIN, n), TriggerRequest::document).await };
        simulation.block_on(begin).unwrap()
    };
    let run = trigger(&mut simulation, 0).unwrap();
    let late = trigger(&mut simulation, 9).unwrap();
    let result = simulation.block_on(run.result()).unwrap().unwrap();
    let expected = "terms.txt=9 prices.csv=7; too-many: the run has reached its limit of 10 documents";
    assert_eq!(result, expected);
    // One that is not there any more is refused by name.
    let engine = simulation.engine();
    let gone = documents[0].clone();
    simulation.block_on(async move { engine.delete_document(&gone).await }).unwrap().unwrap();
    let failed = rejoin_tests::lives::failure(simulation.block_on(late.result()).unwrap());
    assert!(failed.code() == "missing" && failed.message().contains("terms.txt"), "{failed}");
    let refused = trigger(&mut simulation, 0).err().expect("it is gone");
    assert!(refused.to_string().contains("terms.txt"), "{refused}");
}

/// An agent that answers with this first, and with what fits once it is told what is wrong.
fn careless(first: Value, stubborn: bool) -> Builder {
    const CARELESS: Job<Task, Value> = Job::tasks("careless");
    builder()
        .job(&CARELESS, move |_: Context, task: Task| {
            let first = first.clone();
            async move {
                Ok(match task.complaint {
                    Some(complaint) if !stubborn => json!({ "total": 7, "why": complaint.problems }),
                    _ => first,
                })
            }
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            let schema = json!({
                "type": "object",
                "properties": { "total": { "type": "integer" } },
                "required": ["total"],
            });
            let done = ctx.task("careless", "add up").output(schema).repairs(1).await;
            match done {
                Ok(done) => Ok(format!("{} {}", done.output["total"], done.output["why"])),
                Err(failure) => Ok(format!("{} {}", failure.code(), failure.details())),
            }
        })
}

#[test]
fn spec_d3_an_answer_that_does_not_fit_goes_back_with_what_is_wrong() {
    let said = said(careless(json!({ "total": "seven" }), false));
    assert_eq!(said, r#"7 ["/total: \"seven\" is not of type \"integer\""]"#);
}

#[test]
fn spec_d3_after_the_last_repair_it_fails_and_the_raw_answer_is_kept() {
    let said = said(careless(json!("about seven"), true));
    assert!(said.starts_with("output-invalid ") && said.contains(r#""answer":"about seven""#), "{said}");
}

#[test]
fn spec_d3_a_schema_that_is_none_is_refused_before_anything_starts() {
    let app = finance(builder()).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let bad = [json!({ "type": 3 }), json!({ "$ref": "https://example.com" }), json!([])];
        let mut codes = Vec::new();
        for schema in bad {
            codes.push(code(ctx.task("finance", "x").output(schema).await.map(|done| done.text())));
        }
        Ok(codes.join(" "))
    });
    let (result, simulation) = run(app);
    assert_eq!(result.unwrap(), "bad-schema bad-schema bad-schema");
    assert!(super::runs_of(&simulation, "finance").is_empty());
}

#[test]
fn spec_d4_a_reset_of_a_password_is_for_the_user_of_the_metadata() {
    const ITSM: Job<Task, Value> = Job::tasks("itsm");
    const RESET: Workflow<Value, String> = Workflow::named("reset-password").metadata(&["user_email"]);
    let app = builder()
        .agent(Agent::named("itsm").grant("reset-password"))
        .job(&ITSM, |ctx: Context, _: Task| async move {
            let arguments = json!({ "user_email": "eve@example.com", "note": "please" });
            ctx.tool_call("reset-password", None, arguments).await
        })
        .workflow(&RESET, |ctx: Context, input: Value| async move {
            Ok(format!("{} {input}", ctx.metadata::<String>("user_email")?))
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            let done = ctx.task("itsm", "They cannot log in.").metadata("user_email", "ann@example.com").await?;
            Ok(done.text())
        });
    assert_eq!(said(app), r#"ann@example.com {"note":"please"}"#);
}

#[test]
fn spec_d1_an_audit_assigns_a_task_that_leads_to_another() {
    const AUDIT: Job<Task, Value> = Job::tasks("auditor");
    const COLLECTOR: Job<Task, Value> = Job::tasks("collector");
    const COLLECT: Workflow<String, Value> = Workflow::named("collect-evidence");
    let app = builder()
        .agent(Agent::named("auditor").grant("collect-evidence"))
        .job(&AUDIT, |ctx: Context, _: Task| async move {
            let files = ctx.call(&COLLECT, "access logs".to_owned()).await?;
            let filed = ctx.step("upload", move || Ok::<_, Failure>(format!("filed {files}"))).await?;
            Ok(json!(filed))
        })
        .job(&COLLECTOR, |_: Context, _: Task| async move { Ok(json!({ "files": ["a.pdf", "b.pdf"] })) })
        .workflow(&COLLECT, |ctx: Context, what: String| async move {
            let schema = json!({ "type": "object", "required": ["files"] });
            Ok(ctx.task("collector", format!("Collect {what}.")).output(schema).await?.output["files"].clone())
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move { Ok(ctx.task("auditor", "Audit.").await?.text()) });
    assert_eq!(said(app), r#"filed ["a.pdf","b.pdf"]"#);
}
