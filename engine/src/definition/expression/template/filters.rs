//! The filters and tests of templates. Each makes no more than a text may have, and what all of them read is paid for.

use super::super::RESULT;
use super::super::budget::{Budget, Limited};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value, filters, tests};

/// Adds them to the language.
pub(super) fn add(language: &mut Environment<'static>) {
    language.add_filter("upper", upper);
    language.add_filter("lower", lower);
    language.add_filter("trim", trim);
    language.add_filter("truncate", truncate);
    language.add_filter("replace", replace);
    language.add_filter("join", join);
    language.add_filter("map", map);
    language.add_filter("tojson", tojson);
    language.add_filter("length", |state: &mut State<'_, '_>, value: &Value| filters::length(all(state, value)?));
    language.add_filter("last", |state: &mut State<'_, '_>, value: Value| filters::last(all(state, &value)?.clone()));
    language.add_filter("reverse", |state: &mut State<'_, '_>, value: &Value| filters::reverse(all(state, value)?));
    language.add_filter("min", metered(filters::min));
    language.add_filter("max", metered(filters::max));
    language.add_filter("sort", metered(filters::sort));
    language.add_filter("unique", metered(filters::unique));
    language.add_filter("default", filters::default);
    language.add_filter("first", filters::first);
    language.add_filter("items", filters::items);
    language.add_filter("round", filters::round);
    language.add_filter("abs", filters::abs);
    language.add_test("defined", tests::is_defined);
    language.add_test("undefined", tests::is_undefined);
    language.add_test("none", tests::is_none);
    language.add_test("string", tests::is_string);
    language.add_test("number", tests::is_number);
    language.add_test("boolean", tests::is_boolean);
    language.add_test("mapping", tests::is_mapping);
    language.add_test("sequence", tests::is_sequence);
    language.add_test("odd", tests::is_odd);
    language.add_test("even", tests::is_even);
    language.add_test("startingwith", tests::is_startingwith);
    language.add_test("endingwith", tests::is_endingwith);
}

/// One of the library's filters.
type Plain = fn(&State<'_, '_>, Value, Kwargs) -> Result<Value, Error>;

/// The filter, paid for.
fn metered(
    filter: Plain,
) -> impl Fn(&mut State<'_, '_>, Value, Kwargs) -> Result<Value, Error> + Send + Sync + 'static {
    move |state: &mut State<'_, '_>, value: Value, options: Kwargs| {
        all(state, &value)?;
        filter(state, value, options)
    }
}

/// Pays for going through a text.
fn paid<'t>(state: &mut State<'_, '_>, text: &'t str) -> Result<&'t str, Error> {
    let budget = state.get_or_insert_extension_with(Budget::full);
    budget.bytes(text.len()).map_err(|_| Error::from(ErrorKind::OutOfFuel))?;
    Ok(text)
}

/// Pays for going through a value.
fn all<'v>(state: &mut State<'_, '_>, value: &'v Value) -> Result<&'v Value, Error> {
    match value.as_str() {
        Some(text) => paid(state, text).map(|_| value),
        None => {
            let budget = state.get_or_insert_extension_with(Budget::full);
            let paid = budget.steps(value.len().unwrap_or(1));
            paid.map(|()| value).map_err(|_| Error::from(ErrorKind::OutOfFuel))
        }
    }
}

fn upper(state: &mut State<'_, '_>, text: &str) -> Result<String, Error> {
    Ok(paid(state, text)?.to_uppercase())
}

fn lower(state: &mut State<'_, '_>, text: &str) -> Result<String, Error> {
    Ok(paid(state, text)?.to_lowercase())
}

fn trim(state: &mut State<'_, '_>, text: &str) -> Result<String, Error> {
    Ok(paid(state, text)?.trim().to_owned())
}

/// The first characters of a text.
fn truncate(state: &mut State<'_, '_>, text: &str, length: usize) -> Result<String, Error> {
    Ok(paid(state, text)?.chars().take(length).collect())
}

fn replace(state: &mut State<'_, '_>, text: &str, from: &str, to: &str) -> Result<String, Error> {
    let found = paid(state, text)?.matches(from).count();
    within(text.len().saturating_add(found.saturating_mul(to.len())))?;
    let replaced = text.replace(from, to);
    paid(state, &replaced)?;
    Ok(replaced)
}

/// Texts and numbers, one behind the other.
fn join(state: &mut State<'_, '_>, values: &Value, between: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (place, value) in all(state, values)?.try_iter()?.enumerate() {
        if place > 0 {
            joined.push_str(between.unwrap_or_default());
        }
        match value.as_str() {
            Some(text) => joined.push_str(text),
            None if value.is_number() => joined.push_str(&value.to_string()),
            None => return Err(invalid(format!("join takes texts and numbers, not a {}", value.kind()))),
        }
        within(joined.len())?;
    }
    paid(state, &joined)?;
    Ok(joined)
}

/// One field of each element: `items|map(attribute="name")`.
fn map(state: &mut State<'_, '_>, values: &Value, options: Kwargs) -> Result<Vec<Value>, Error> {
    let field: &str = options.get("attribute")?;
    options.assert_all_used()?;
    all(state, values)?.try_iter()?.map(|value| value.get_attr(field)).collect()
}

/// As JSON, in one line, and not made safe for HTML.
fn tojson(state: &mut State<'_, '_>, value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let mut json = Limited::default();
    serde_json::to_writer(&mut json, value).map_err(|_| too_much())?;
    let json = String::from_utf8(json.0).map_err(|_| too_much())?;
    paid(state, &json)?;
    Ok(json)
}

fn within(bytes: usize) -> Result<(), Error> {
    if bytes > RESULT { Err(too_much()) } else { Ok(()) }
}

fn too_much() -> Error {
    invalid(format!("it makes more than {RESULT} bytes"))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
