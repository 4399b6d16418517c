//! From a text to an expression's tree. The library parses; what it knows beyond this language is refused here.

use super::functions::{Function, KNOWN};
use super::node::{Each, Node, Order, Sort};
use super::numbers::Arithmetic;
use super::{Flaw, guarded};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue, SourceInfo, operators};
use serde_json::Value;
use std::ops::Range;

/// How much text an expression may have.
const TEXT: usize = 4 << 10;

/// How deep brackets may stand in each other.
const BRACKETS: u16 = 32;

/// How deep the tree may be: so many terms may stand in a row.
const DEPTH: usize = 64;

/// Reads the expression in this text.
pub(super) fn read(text: &str) -> Result<Node, Flaw> {
    if text.len() > TEXT {
        return Err(Flaw::of(text, format!("an expression has at most {TEXT} bytes: compute it in a step of its own")));
    }
    if text.trim().is_empty() {
        return Err(Flaw::of(text, "there is no expression"));
    }
    guarded(|| parse(text)).unwrap_or_else(|message| Err(Flaw::of(text, message)))
}

fn parse(text: &str) -> Result<Node, Flaw> {
    // Without macros: comprehensions stay the calls that they are written as.
    let parser = cel::Env::default().with_optional_support(false).parser().max_recursion_depth(BRACKETS);
    let (root, places) = parser.parse_with_source_info(text).map_err(|found| first(text, &found))?;
    Reader { text, places }.node(root, 0)
}

/// The first of the parser's errors, which is the one that the others follow from.
fn first(text: &str, found: &cel::ParseErrors) -> Flaw {
    let Some(error) = found.errors.first() else { return Flaw::of(text, "this is not an expression") };
    if error.msg.contains("Recursion limit") {
        return Flaw::of(text, format!("brackets stand more than {BRACKETS} deep"));
    }
    // It goes on with all that could stand there, which is nearly everything.
    let message = error.msg.split(" expecting ").next().unwrap_or_default();
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message).replace("'<EOF>'", "the end");
    let (line, column) = error.pos;
    Flaw { message, span: position(text, line, column).unwrap_or(0..text.len()) }
}

/// The word at a line and a column, both counted from one, columns in characters.
fn position(text: &str, line: isize, column: isize) -> Option<Range<usize>> {
    let before = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    let rest = text.get(start..)?;
    let start = start + rest.char_indices().nth(column).map_or(rest.len(), |(place, _)| place);
    let word = text[start..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - start);
    let one = text[start..].chars().next().map_or(0, char::len_utf8);
    Some(start..start + word.max(one))
}

struct Reader<'t> {
    text: &'t str,
    places: SourceInfo,
}

type Read<T = Node> = Result<T, Flaw>;

impl Reader<'_> {
    fn node(&self, from: IdedExpr, depth: usize) -> Read {
        let id = from.id;
        if depth > DEPTH {
            return self
                .flaw(id, format!("this stands more than {DEPTH} deep: put it in parentheses, or take it apart"));
        }
        match from.expr {
            Expr::Literal(literal) => self.literal(id, literal),
            Expr::Ident(name) if name.starts_with('.') => {
                self.flaw(id, "a name begins with a letter: leave the dot out")
            }
            Expr::Ident(name) => Ok(Node::Variable(name)),
            Expr::Select(select) => Ok(Node::Field(self.boxed(*select.operand, depth)?, select.field)),
            Expr::List(list) => Ok(Node::List(self.nodes(list.elements, depth)?)),
            Expr::Map(map) => self.map(map.entries, depth),
            Expr::Call(call) => match operator(&call.func_name, call.args.len()) {
                Some(operator) if call.target.is_none() => self.operator(id, operator, call.args, depth),
                _ => self.call(id, call, depth),
            },
            Expr::Struct(_) => self.flaw(id, "there are no messages: write a map, as in {\"key\": value}"),
            Expr::Comprehension(_) | Expr::Unspecified => self.flaw(id, "this is not an expression"),
        }
    }

    fn boxed(&self, from: IdedExpr, depth: usize) -> Read<Box<Node>> {
        self.node(from, depth + 1).map(Box::new)
    }

    fn nodes(&self, from: Vec<IdedExpr>, depth: usize) -> Read<Vec<Node>> {
        from.into_iter().map(|item| self.node(item, depth + 1)).collect()
    }

    fn literal(&self, id: u64, literal: LiteralValue) -> Read {
        Ok(Node::Literal(match literal {
            LiteralValue::Null => Value::Null,
            LiteralValue::Boolean(holds) => Value::Bool(*holds.inner()),
            LiteralValue::Int(whole) => (*whole.inner()).into(),
            LiteralValue::UInt(whole) => (*whole.inner()).into(),
            LiteralValue::String(text) => text.into_inner().into(),
            LiteralValue::Double(float) => match serde_json::Number::from_f64(*float.inner()) {
                Some(number) => Value::Number(number),
                None => return self.flaw(id, "this number is too large"),
            },
            LiteralValue::Bytes(_) => return self.flaw(id, "there are no bytes: leave the b out, for a string"),
        }))
    }

    fn map(&self, entries: Vec<IdedEntryExpr>, depth: usize) -> Read {
        let mut fields = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.expr {
                EntryExpr::MapEntry(field) => {
                    fields.push((self.node(field.key, depth + 1)?, self.node(field.value, depth + 1)?));
                }
                EntryExpr::StructField(_) => return self.flaw(entry.id, "a key of a map is a string, in quotes"),
            }
        }
        Ok(Node::Map(fields))
    }

    fn operator(&self, id: u64, operator: Operator, arguments: Vec<IdedExpr>, depth: usize) -> Read {
        let mut arguments = arguments.into_iter();
        let mut next = || match arguments.next() {
            Some(argument) => self.boxed(argument, depth),
            None => self.flaw(id, "an operand is missing"),
        };
        Ok(match operator {
            Operator::Not => Node::Not(next()?),
            Operator::Negated => Node::Negated(next()?),
            Operator::If => Node::If(next()?, next()?, next()?),
            Operator::Two(node) => node(next()?, next()?),
        })
    }

    fn call(&self, id: u64, call: CallExpr, depth: usize) -> Read {
        let CallExpr { func_name, target, args } = call;
        match (func_name.as_str(), target) {
            ("has", None) => self.has(id, args, depth),
            ("all" | "exists" | "exists_one" | "existsOne" | "map" | "filter", Some(over)) => {
                self.each(id, &func_name, *over, args, depth)
            }
            (_, target) => {
                let Some(function) = Function::find(&func_name, target.is_some(), args.len()) else {
                    let message = format!("there is no such function `{func_name}`: there are {KNOWN}");
                    let flaw = self.flaw(id, message);
                    return flaw.map_err(|flaw| self.with_name(flaw, &func_name));
                };
                let arguments = target.map(|target| *target).into_iter().chain(args).collect();
                Ok(Node::Call(function, self.nodes(arguments, depth)?))
            }
        }
    }

    fn has(&self, id: u64, arguments: Vec<IdedExpr>, depth: usize) -> Read {
        let [Expr::Select(select)] = expressions(arguments).try_into().unwrap_or([Expr::Unspecified]) else {
            return self.flaw(id, "`has` asks for one field, as in has(input.title)");
        };
        Ok(Node::Has(self.boxed(*select.operand, depth)?, select.field))
    }

    fn each(&self, id: u64, how: &str, over: IdedExpr, arguments: Vec<IdedExpr>, depth: usize) -> Read {
        let mut arguments = arguments.into_iter();
        let (Some(Expr::Ident(name)), Some(first), second, None) =
            (arguments.next().map(|name| name.expr), arguments.next(), arguments.next(), arguments.next())
        else {
            return self
                .flaw(id, format!("`{how}` takes a name and what to compute, as in input.items.{how}(item, item.ok)"));
        };
        let over = self.node(over, depth + 1)?;
        let first = self.node(first, depth + 1)?;
        let sort = match (how, second) {
            ("map", None) => Sort::Map(None, first),
            ("map", Some(second)) => Sort::Map(Some(first), self.node(second, depth + 1)?),
            (_, Some(_)) => return self.flaw(id, format!("`{how}` takes a name and one condition")),
            ("all", None) => Sort::All(first),
            ("exists", None) => Sort::Exists(first),
            ("filter", None) => Sort::Filter(first),
            _ => Sort::ExistsOne(first),
        };
        Ok(Node::Each(Box::new(Each { over, name, sort })))
    }

    /// Something that this language does not have, at the place where it stands.
    fn flaw<T>(&self, id: u64, message: impl Into<String>) -> Read<T> {
        let place = self.places.offset_for(id).map(|(first, last)| first as usize..last as usize + 1);
        let span = place.filter(|span| self.text.get(span.clone()).is_some_and(|part| !part.is_empty()));
        Err(Flaw { message: message.into(), span: span.unwrap_or(0..self.text.len()) })
    }

    /// A call stands where its bracket does; it is about the name before that.
    fn with_name(&self, flaw: Flaw, name: &str) -> Flaw {
        let before = self.text[..flaw.span.start].trim_end();
        match before.strip_suffix(name) {
            Some(rest) => Flaw { span: rest.len()..before.len(), ..flaw },
            None => flaw,
        }
    }
}

fn expressions(from: Vec<IdedExpr>) -> Vec<Expr> {
    from.into_iter().map(|item| item.expr).collect()
}

/// What the parser calls by a name that nobody can write.
enum Operator {
    Not,
    Negated,
    If,
    Two(fn(Box<Node>, Box<Node>) -> Node),
}

fn operator(name: &str, operands: usize) -> Option<Operator> {
    Some(match (name, operands) {
        (operators::LOGICAL_NOT, 1) => Operator::Not,
        (operators::NEGATE, 1) => Operator::Negated,
        (operators::CONDITIONAL, 3) => Operator::If,
        (operators::LOGICAL_AND, 2) => Operator::Two(Node::Both),
        (operators::LOGICAL_OR, 2) => Operator::Two(Node::Either),
        (operators::ADD, 2) => Operator::Two(|left, right| Node::Computed(Arithmetic::Add, left, right)),
        (operators::SUBSTRACT, 2) => Operator::Two(|left, right| Node::Computed(Arithmetic::Subtract, left, right)),
        (operators::MULTIPLY, 2) => Operator::Two(|left, right| Node::Computed(Arithmetic::Multiply, left, right)),
        (operators::DIVIDE, 2) => Operator::Two(|left, right| Node::Computed(Arithmetic::Divide, left, right)),
        (operators::MODULO, 2) => Operator::Two(|left, right| Node::Computed(Arithmetic::Remainder, left, right)),
        (operators::EQUALS, 2) => Operator::Two(Node::Equal),
        (operators::NOT_EQUALS, 2) => Operator::Two(|left, right| Node::Not(Box::new(Node::Equal(left, right)))),
        (operators::LESS, 2) => Operator::Two(|left, right| Node::Ordered(Order::Less, left, right)),
        (operators::LESS_EQUALS, 2) => Operator::Two(|left, right| Node::Ordered(Order::LessOrEqual, left, right)),
        (operators::GREATER, 2) => Operator::Two(|left, right| Node::Ordered(Order::Greater, left, right)),
        (operators::GREATER_EQUALS, 2) => {
            Operator::Two(|left, right| Node::Ordered(Order::GreaterOrEqual, left, right))
        }
        (operators::IN, 2) => Operator::Two(Node::In),
        (operators::INDEX, 2) => Operator::Two(Node::Index),
        _ => return None,
    })
}
