use super::*;
use proptest::prelude::*;
use serde_json::json;

fn scope() -> Scope {
    let scope = json!({
        "input": { "n": 3, "price": 2.5, "big": u64::MAX, "name": "ann", "items": [3, 1, 2], "none": null, "ok": true },
        "draft": { "title": "On ships", "tags": ["a", "b"], "parts": [{ "size": 1 }, { "size": 2 }] },
    });
    of(scope)
}

fn of(value: Value) -> Scope {
    let Value::Object(fields) = value else { panic!("a scope has names") };
    fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn value(text: &str) -> Value {
    Expression::parse(text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}")).value(&scope()).unwrap()
}

fn error(text: &str) -> String {
    let failure = Expression::parse(text).unwrap().value(&scope()).unwrap_err();
    assert_eq!(failure.code(), "expression");
    failure.to_string()
}

fn rendered(text: &str) -> String {
    Template::parse(text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}")).render(&scope()).unwrap()
}

fn paths(reads: BTreeSet<Vec<String>>) -> Vec<String> {
    reads.into_iter().map(|path| path.join(".")).collect()
}

#[test]
fn expressions_give_values() {
    for (text, wanted) in [
        ("input.n + 1", json!(4)),
        ("input.n * input.price", json!(7.5)),
        ("-7 / 2", json!(-3)),
        ("-7 % 2", json!(-1)),
        ("input.big", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.0", json!(1.0)),
        ("1 == 1.0 && 9007199254740993 != 9007199254740992.0", json!(true)),
        ("18446744073709551615u < 18446744073709551616.0", json!(true)),
        ("\"a\" + input.name", json!("aann")),
        ("[1] + input.items", json!([1, 3, 1, 2])),
        ("{\"b\": 1, \"a\": input.n}", json!({ "a": 3, "b": 1 })),
        ("draft[\"title\"]", json!("On ships")),
        ("input.items[1]", json!(1)),
        ("input.items[1.0]", json!(1)),
        ("input.items.map(x, x * 2)", json!([6, 2, 4])),
        ("input.items.map(x, x > 1, x * 2)", json!([6, 4])),
        ("input.items.filter(x, x > 1)", json!([3, 2])),
        ("input.items.all(x, x > 0)", json!(true)),
        ("input.items.exists(x, x > 2)", json!(true)),
        ("input.items.exists_one(x, x > 1)", json!(false)),
        ("draft.map(key, key)", json!(["parts", "tags", "title"])),
        ("draft.parts.map(part, draft.tags.map(tag, tag + string(part.size)))", json!([["a1", "b1"], ["a2", "b2"]])),
        ("has(input.none) && !has(input.nothing)", json!(true)),
        ("\"a\" in draft.tags && \"title\" in draft", json!(true)),
        (
            "draft.title.startsWith(\"On\") && draft.title.endsWith(\"ips\") && draft.title.contains(\"n s\")",
            json!(true),
        ),
        ("size(\"äö\") + draft.tags.size() + size({})", json!(4)),
        ("int(\"7\") + int(2.9)", json!(9)),
        ("double(1)", json!(1.0)),
        ("string(1.5) + string(true)", json!("1.5true")),
        ("bool(\"true\") ? 1 : 2", json!(1)),
        ("input.ok || input.missing", json!(true)),
        ("input.missing || input.ok", json!(true)),
        ("[0, 1].exists(x, 1 / x == 1)", json!(true)),
    ] {
        assert_eq!(value(text), wanted, "{text}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    for (text, wanted) in [
        ("input.missing", "there is no `missing` in `input`"),
        ("nothing + 1", "there is no `nothing`"),
        ("input.name + 1", "a string and a number cannot be added"),
        ("input.items[7]", "a list of 3 has no element 7"),
        ("input.items[-1]", "no element -1"),
        ("input.n.x", "a number has no field `x`"),
        ("1 / 0", "divides by zero"),
        ("1.0 / 0.0", "divides by zero"),
        ("1e308 * 10.0", "infinite"),
        ("double(\"NaN\")", "infinite, or none at all"),
        ("input.big + 1", "beyond 64 bits"),
        ("int(1e30)", "beyond 64 bits"),
        ("{1: 2}", "a key of a map is a string, not a number"),
        ("{\"a\": 1, \"a\": 2}", "has `a` twice"),
        ("[] < []", "stand in no order"),
        ("1 ? 2 : 3", "true or false is wanted, not a number"),
        ("input.n.map(x, x)", "no elements to go through"),
        ("input.missing && true", "there is no `missing`"),
    ] {
        let message = error(text);
        assert!(message.contains(wanted) && message.contains(&format!("`{text}`")), "{text}: {message}");
    }
}

#[test]
fn only_true_and_false_hold() {
    let holds = |text: &str| Expression::parse(text).unwrap().holds(&scope());
    assert!(holds("input.n == 3").unwrap());
    assert!(!holds("input.n > 3").unwrap());
    assert_eq!(holds("input.n").unwrap_err().code(), "expression");
}

#[test]
fn flaws_say_where_they_are() {
    for (text, message, at) in [
        ("a +", "the end", ""),
        ("\"ü\" + foo(1)", "no such function `foo`", "foo"),
        ("a.b.matches(\"x\")", "no such function `matches`", "matches"),
        ("ü + 1", "token recognition", "ü"),
        ("\"ü\" + $", "token recognition", "$"),
        ("b'a'", "no bytes", "b'a'"),
        ("a\n  + @", "token recognition", "@"),
        ("timestamp(\"2020-01-01T00:00:00Z\")", "no such function `timestamp`", "timestamp"),
        ("a.?b", "unsupported syntax", "."),
        ("type(1)", "no such function `type`", "type"),
        ("[1].map(x.y, 2)", "`map` takes a name", "("),
        (" ", "there is no expression", " "),
    ] {
        let flaw = Expression::parse(text).unwrap_err();
        assert!(flaw.message.contains(message), "{text}: {flaw:?}");
        assert_eq!(&text[flaw.span.clone()], at, "{text}: {flaw:?}");
    }
}

#[test]
fn reads_are_what_comes_from_outside() {
    let reads = |text: &str| paths(Expression::parse(text).unwrap().reads());
    assert_eq!(reads("draft.title + input"), ["draft.title", "input"]);
    assert_eq!(reads("input.items.map(x, x.y + size(z[\"a\"].b))"), ["input.items", "z.a.b"]);
    assert_eq!(reads("x.filter(x, x.y)"), ["x"]);
    assert_eq!(reads("has(a.b) ? c[d.e].f : {g: -h}"), ["a.b", "c", "d.e", "g", "h"]);

    let reads = |text: &str| paths(Template::parse(text).unwrap().reads());
    assert_eq!(
        reads("{{ draft.title }} {% for x in input.items %}{{ x.y }}{{ loop.index }}{% endfor %}"),
        ["draft.title", "input.items"]
    );
    assert_eq!(reads("{% if a.b %}{{ c|default(d) }}{% endif %}"), ["a.b", "c", "d"]);
}

/// The longest texts of their kind, read where there is little stack.
#[test]
fn long_and_deep_texts_are_refused_or_work() {
    let nested = |open: &str, close: &str, count| format!("{}1{}", open.repeat(count), close.repeat(count));
    let expressions = [
        format!("1{}", "+1".repeat(2047)),
        format!("true{}", "&&true".repeat(600)),
        format!("a{}", ".a".repeat(2047)),
        format!("a{}", "[0]".repeat(1300)),
        "!".repeat(4095) + "a",
        "(".repeat(4096),
        nested("(", ")", 32),
        nested("(", ")", 2000),
        nested("[", "]", 2000),
        nested("f(", ")", 1300),
        nested("(a?a:", ")", 600),
        format!("[{}]", "1,".repeat(2000)),
        "x".repeat(4097),
    ];
    let templates = [
        format!("{{{{ a{} }}}}", ".a".repeat(250)),
        format!("{{{{ a{} }}}}", ".a".repeat(30_000)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(990)),
        "{% if a %}".repeat(4000),
        "{{ a }}".repeat(4000),
        format!("{{{{ {}a }}}}", "not ".repeat(120)),
        format!("{{{{ {}a{} }}}}", "(".repeat(250), ")".repeat(250)),
        "x".repeat(70_000),
    ];
    let read = move || {
        let read = expressions.iter().filter(|text| Expression::parse(text).is_ok()).count();
        (read, templates.iter().filter(|text| Template::parse(text).is_ok()).count())
    };
    let small = std::thread::Builder::new().stack_size(1 << 20).spawn(read).unwrap();
    assert_eq!(small.join().unwrap(), (4, 3));
}

#[test]
fn evaluation_is_bounded() {
    let mut scope = scope();
    scope.insert("many".into(), Value::from_iter(0..3000).into());
    scope.insert("long".into(), Value::from("x".repeat(1 << 19)).into());
    let gives = |text: &str| Expression::parse(text).unwrap().value(&scope).map_err(|failure| failure.to_string());
    assert_eq!(gives("size(many.map(x, x * 2))"), Ok(json!(3000)));
    for text in [
        "many.map(x, many.map(y, many.map(z, 1)))",
        "many.exists(x, many.exists(y, x + y < 0)) || true",
        "many.all(x, many == many.map(y, y))",
        "many.map(x, long + long)",
        "many.map(x, many)",
        "many.map(x, long.contains(\"y\"))",
        "[long + long + long]",
        &format!("[\"abcdefgh\"]{}", ".map(x, x + x)".repeat(60)),
        &format!("[[1]]{}", ".map(x, x + x)".repeat(60)),
    ] {
        let message = gives(text).unwrap_err();
        assert!(message.contains("more than"), "{text}: {message}");
    }
}

#[test]
fn templates_give_texts() {
    for (text, wanted) in [
        ("Dear {{ input.name|upper }}, {{ input.n + 1 }}", "Dear ANN, 4"),
        ("{% for x in input.items %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}", "3, 1, 2"),
        ("{{ draft.tags|join('-') }} {{ draft.parts|map(attribute='size')|join }}", "a-b 12"),
        ("{{ draft.parts|tojson }}", r#"[{"size":1},{"size":2}]"#),
        ("{{ '<&>'|tojson }} {{ '<&>' }}", "\"<&>\" <&>"),
        ("{{ input.missing|default('none') }}", "none"),
        ("{# {% set x = 1 %} #}{{ input.big }}", "18446744073709551615"),
        ("{{ 'a}}b' }}{{ {'a': {'b': 1}}.a.b }}", "a}}b1"),
        ("{{ draft.title|truncate(2) }}", "On"),
        ("{{ input.n }} {{ input|length }} {{ input['name'] }}", "3 7 ann"),
        ("{{ input.missing is defined }} {{ input|length }}", "false 7"),
        ("{{ draft.parts[1].size }} {{ draft.parts.0.size }} {{ draft.parts|length }}", "2 1 2"),
        ("{{ draft.parts }} {{ input.ok }} {{ input.none }}", r#"[{"size":1},{"size":2}] true null"#),
        ("{% for part in draft.parts %}{{ part.size }}{{ draft.title }}{% endfor %}", "1On ships2On ships"),
    ] {
        assert_eq!(rendered(text), wanted, "{text}");
    }
}

#[test]
fn templates_do_not_grow() {
    for text in [
        "{% set x = 1 %}",
        "{%- with x = 1 %}{% endwith %}",
        "{% macro f() %}{% endmacro %}",
        "{% include 'a' %}",
        "{% raw %}{% endraw %}",
        "{% filter upper %}{% endfilter %}",
        "{% for x in y recursive %}{{ loop(x) }}{% endfor %}",
        "{# {{ \" #}{% set x = \"\" %}",
        "{{ {'a':{}}['{#'] }}{% set x = 1 %}{# #}",
        "{{ 'a' * 100 }}",
        "{{ [x] ~ '' }}",
        "{{ x[1:] }}",
        "{{ x",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
    for text in ["{{ 1|pprint }}", "{{ range(5) }}", "{{ 1 is sameas(1) }}", "{{ debug() }}", "{{ [1]|map('upper') }}"]
    {
        let given = Template::parse(text).map(|template| template.render(&scope()));
        assert!(!matches!(given, Ok(Ok(_))), "{text}: {given:?}");
    }
}

#[test]
fn rendering_is_bounded_and_strict() {
    let mut scope = scope();
    scope.insert("many".into(), Value::from_iter(0..3000).into());
    scope.insert("long".into(), Value::from("x".repeat(1 << 19)).into());
    for (text, wanted) in [
        ("{{ input.missing }}", "there is no `input.missing`"),
        ("{{ nothing }}", "there is no `nothing`"),
        ("{% for x in many %}{% for y in many %}{{ y }}{% endfor %}{% endfor %}", "more than"),
        ("{% for x in many %}{{ long }}{% endfor %}", "more than 1048576 bytes"),
        ("{{ long|replace('x', long) }}", "more than 1048576 bytes"),
        ("{{ many|join(long) }}", "more than 1048576 bytes"),
        ("{{ (long + long + long)|tojson }}", "more than 1048576 bytes"),
        ("{% for x in many %}{{ long|upper|length }}{% endfor %}", "more than 100000 steps"),
        ("{% for x in many %}{{ many|sort|first }}{% endfor %}", "more than 100000 steps"),
        (
            "{% for x in many %}{% for y in many %}{% if long + 'y' == long %}{% endif %}{% endfor %}{% endfor %}",
            "more than",
        ),
        ("{{ 1 // 0 }}", "line 1"),
    ] {
        let failure = Template::parse(text).unwrap().render(&scope).unwrap_err();
        assert_eq!(failure.code(), "expression");
        assert!(failure.to_string().contains(wanted), "{text}: {failure}");
    }
}

#[test]
fn mappings_compute_what_says_so() {
    let mapping = Mapping::parse(&json!({
        "count": "= input.n + 1",
        "text": "Dear {{ input.name }}",
        "list": [1, "plain", "==literal {{ x }}", { "deep": "=draft.tags" }],
    }));
    let mapping = mapping.unwrap();
    let wanted =
        json!({ "count": 4, "text": "Dear ann", "list": [1, "plain", "=literal {{ x }}", { "deep": ["a", "b"] }] });
    assert_eq!(mapping.value(&scope()).unwrap(), wanted);
    assert_eq!(paths(mapping.reads()), ["draft.tags", "input.n", "input.name"]);
}

#[test]
fn mappings_know_what_they_surely_give() {
    let kinds = [
        json!("=1"),
        json!("{{ 1 }}"),
        json!("a"),
        json!("==1"),
        json!(1),
        json!(true),
        json!(null),
        json!(["=1"]),
        json!({}),
    ];
    let kinds = kinds.map(|value| Mapping::parse(&json!({ "it": value })).unwrap().fields().unwrap()[0].1);
    let [none, rest @ ..] = kinds;
    assert_eq!(none, None);
    assert_eq!(
        rest.map(Option::unwrap),
        ["string", "string", "string", "number", "boolean", "null", "array", "object"]
    );
}

#[test]
fn mappings_tell_all_their_flaws() {
    let flaws = Mapping::parse(&json!({ "a": ["= 1 + $", "ok"], "b": "{% set x = 1 %}" })).unwrap_err();
    let [(first, sign), (second, tag)] = flaws.as_slice() else { panic!("{flaws:?}") };
    assert_eq!((first.join("."), sign.span.clone()), ("a.0".to_owned(), 6..7));
    assert_eq!(second.join("."), "b");
    assert!(tag.message.contains("no tag `set`"));

    let deep = (0..40).fold(json!("= 1"), |inner, _| json!([inner]));
    assert!(Mapping::parse(&deep).unwrap_err()[0].1.message.contains("deep"));

    let large = Mapping::parse(&Value::Array(vec![json!("{{ long }}"); 3])).unwrap();
    let scope = of(json!({ "long": "x".repeat(1 << 19) }));
    assert!(large.value(&scope).unwrap_err().to_string().contains("more than"));
}

/// What texts are made of: right ones, nearly right ones, and rubbish.
fn pieces(from: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(from), 1..24).prop_map(|pieces| pieces.concat())
}

const CEL: &[&str] = &[
    "input",
    ".n",
    ".items",
    "draft",
    ".tags",
    ".title",
    "x",
    "1",
    "-",
    "0",
    "2.5",
    "9223372036854775807",
    "\"ä\"",
    "'b'",
    "+",
    " - ",
    "*",
    "/",
    "%",
    "==",
    "<",
    ">=",
    " in ",
    "&&",
    "||",
    "!",
    "?",
    ":",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ".map(x, ",
    ".filter(x, ",
    ".all(x, ",
    ".exists(x, ",
    "size(",
    "int(",
    "string(",
    "has(",
    "true",
    "null",
    " ",
    "\\",
    "ü",
];

const JINJA: &[&str] = &[
    "{{ ",
    " }}",
    "{% for x in ",
    "{% endfor %}",
    "{% if ",
    " %}",
    "{% else %}",
    "{% endif %}",
    "{#",
    "#}",
    "input",
    ".items",
    ".name",
    "draft",
    "x",
    "loop",
    ".index",
    "|join",
    "|tojson",
    "|length",
    "|first",
    "|sort",
    "|round",
    "|default(1)",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "1",
    "-",
    "+",
    "/",
    "%",
    "//",
    " in ",
    " not ",
    " is ",
    "defined",
    "==",
    ",",
    ":",
    "text ä\n",
];

/// A whole expression, so that most of them mean something.
fn whole() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "input.n",
        "input.items",
        "input.name",
        "input.price",
        "draft.tags",
        "draft.parts",
        "1",
        "-2",
        "0",
        "2.5",
        "true",
        "null",
        "\"a\"",
        "[]",
        "[1, 2]",
        "input.missing",
        "x",
        "x.size",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "in", "&&", "||"]);
        let each = prop::sample::select(vec!["map", "filter", "all", "exists", "exists_one"]);
        let call = prop::sample::select(vec!["size", "int", "double", "string", "!", "-"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(left, how, right)| format!("({left} {how} {right})")),
            (inner.clone(), each, inner.clone()).prop_map(|(over, how, body)| format!("{over}.{how}(x, {body})")),
            (call, inner.clone()).prop_map(|(how, of)| format!("{how}({of})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(of, index)| format!("{of}[{index}]")),
            inner.prop_map(|item| format!("[{item}, {{\"k\": {item}}}]")),
        ]
    })
}

/// A value of the scope as the library has it.
fn theirs(value: &Value) -> cel::Value {
    match value {
        Value::Number(number) if number.is_i64() => cel::Value::Int(number.as_i64().unwrap()),
        Value::Array(items) => items.iter().map(theirs).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), theirs(value)));
            fields.collect::<std::collections::HashMap<_, _>>().into()
        }
        other => cel::to_value(other).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_expression_is_refused_or_gives_the_same_twice(text in prop_oneof![pieces(CEL), whole()]) {
        match Expression::parse(&text) {
            Ok(expression) => {
                expression.reads();
                prop_assert_eq!(expression.value(&scope()), expression.value(&scope()));
            }
            Err(flaw) => prop_assert!(text.get(flaw.span.clone()).is_some(), "{:?}", flaw),
        }
    }

    #[test]
    fn any_template_is_refused_or_gives_the_same_twice(text in pieces(JINJA)) {
        match Template::parse(&text) {
            Ok(template) => prop_assert_eq!(template.render(&scope()), template.render(&scope())),
            Err(flaw) => prop_assert!(text.get(flaw.span.clone()).is_some(), "{:?}", flaw),
        }
    }

    /// Where the library's own evaluation gives a value, it is this one.
    #[test]
    fn expressions_give_what_cel_gives(text in whole()) {
        let mut context = cel::Context::default();
        for (name, value) in scope() {
            context.add_variable_from_value(&*name, theirs(&value));
        }
        let Ok(program) = cel::Program::compile(&text) else { return Ok(()) };
        let Ok(Ok(value)) = guarded(|| program.execute(&context)) else { return Ok(()) };
        let Ok(json) = value.json() else { return Ok(()) };
        let ours = Expression::parse(&text).unwrap().value(&scope());
        prop_assert_eq!(ours, Ok(json), "{}", text);
    }
}
