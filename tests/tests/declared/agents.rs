//! Agents of a stage that trigger workflows by themselves.

use super::{MAIN, agents, begin, project, runs_of};
use rejoin::testkit::Simulation;
use rejoin::time::seconds;
use rejoin::{Builder, Context, Failure, Job, RunHandle, RunStatus, Task};
use rejoin_tests::lives::builder;
use serde_json::{Value, json};

const TRIER: Job<Task, Value> = Job::tasks("trier");

/// Triggers what its task names, and says what came of that.
async fn try_it(ctx: Context, task: Task) -> Result<Value, Failure> {
    let tried = ctx.call_json(&task.description, &json!({})).timeout(seconds(60)).await;
    Ok(match tried {
        Ok(value) => json!(format!("gives {value}")),
        Err(failure) => json!(format!("{}{failure}", if failure.is_timeout() { "late, " } else { "" })),
    })
}

const PROJECT: &str = "
agents:
  echo: { rust: true }
  trier: { rust: true, grants: [child, slow] }
";
const CHILD: &str = "workflow: child\nnodes: { it: { fail: sold-out, message: none left } }\n";
const SLOW: &str = "workflow: slow\nnodes: { it: { signal: go, then: end } }\noutput: '= it'\n";

fn app(main: &str) -> Builder {
    let files = [PROJECT, CHILD, SLOW, main];
    agents(project(&files).install(builder(), |_| 1)).job(&TRIER, try_it)
}

fn result(mut simulation: Simulation, run: RunHandle<Value>) -> Value {
    simulation.block_on(run.result()).expect("an end").expect("it completes")
}

#[test]
fn spec_f1_only_the_agent_that_triggers_waits() {
    let main = "
workflow: main
stages:
  work:
    assign: [{ agent: trier, task: slow, may: [trigger] }, { agent: echo, task: done }]
    then: end
output: { tried: '= work.by.trier', echo: '= work.by.echo' }
";
    let (mut simulation, run) = begin(app(main), json!({}));
    simulation.settle();
    let status = |simulation: &Simulation, name: &str| runs_of(simulation, name)[0].row.status;
    assert_eq!(status(&simulation, "echo"), RunStatus::Completed, "it has worked on");
    assert_eq!(status(&simulation, "trier"), RunStatus::Suspended);
    assert_eq!(status(&simulation, MAIN.name()), RunStatus::Suspended);
    let slow = simulation.engine().run::<Value>(runs_of(&simulation, "slow")[0].id);
    simulation.block_on(async move { slow.signal("go", &7).await }).unwrap().unwrap();
    assert_eq!(result(simulation, run), json!({ "tried": "gives 7", "echo": "done" }));
}

#[test]
fn spec_f3_failure_and_timeout_come_back_to_the_agent_as_errors() {
    let main = "
workflow: main
stages:
  work:
    assign:
      - { agent: trier, as: failed, task: child, may: [trigger] }
      - { agent: trier, as: late, task: slow, may: [trigger] }
    then: end
output: { failed: '= work.by.failed', late: '= work.by.late' }
";
    let (simulation, run) = begin(app(main), json!({}));
    let told = result(simulation, run);
    assert_eq!(told["failed"], "sold-out: none left");
    assert!(told["late"].as_str().unwrap().starts_with("late, "), "{told}");
}
