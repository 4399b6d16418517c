//! Crashes at every commit of definitions.

use super::{AGENTS, app};
use rejoin::testkit::{Ledger, crash_everywhere};
use serde_json::json;

#[test]
fn spec_f4_a_review_that_triggers_a_workflow_survives_a_crash_at_every_commit() {
    let child = "workflow: publish\ninput: { text: string }\nnodes: { it: { end: { url: 'x/{{ input.text }}' } } }\n";
    let main = r#"
workflow: main
start: draft
stages:
  draft:
    assign:
      - { agent: judge, task: '{"outcome":"approve","text":"it"}' }
      - { agent: echo, task: 'side by side' }
    route:
      approve: { workflow: publish, input: { text: '= draft.text' }, continue: both }
nodes:
  both:
    parallel:
      one: { trigger: double, input: { n: 4 } }
      many: { each: '= [1, 2, 3]', at_most: 2, do: { trigger: double, input: { n: '= item' } } }
    then: end
output: '= [publish.url, both.one, both.many]'
"#;
    let app = move |_: &Ledger| app(&[AGENTS, main, child]);
    let summary = crash_everywhere(app, &super::MAIN, json!({}));
    assert!(summary.crashes > summary.commits);
}
