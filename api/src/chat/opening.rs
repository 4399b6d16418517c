//! Which conversation it is: the last one of this agent and person, or of a key, or another one.

use super::Wish;
use crate::error::Trouble;
use rejoin::{Conversation, ConversationFilter, ConversationInfo, Engine, Event};

/// How many conversations are looked at together.
const PAGE: usize = 100;

/// The conversation, and whether it begins with that.
pub(super) async fn open(engine: &Engine, wish: &Wish) -> Result<(Conversation, bool), Trouble> {
    let refused = |error: &dyn std::fmt::Display| Trouble::Refused(error.to_string());
    let base = wish.key.clone().unwrap_or_else(|| {
        let person = wish.person.as_deref().unwrap_or_default();
        format!("chat:{}:{person}", wish.agent)
    });
    let last = last(engine, wish, &base)?;
    if let Some((_, info)) = last.as_ref().filter(|(_, info)| !wish.anew && !info.closed) {
        check(wish, info)?;
        let other = other_metadata(engine, wish, info)?;
        match other {
            None => {
                let chat = engine.find_conversation(info.id).map_err(|error| refused(&error))?;
                return Ok((chat, false));
            }
            // Nothing was said in it, so nothing is lost by another one.
            Some(_) if info.row.messages == 0 => {}
            Some(name) => {
                let key = info.key.as_deref().unwrap_or_default();
                let what = format!("was begun with other metadata ({name}), which stays; give --anew");
                return Err(Trouble::Refused(format!("the conversation {key:?} {what}")));
            }
        }
    }
    let key = match last {
        Some((number, _)) => format!("{base}#{}", number.saturating_add(1)),
        None => base,
    };
    let mut open = engine.conversation(&wish.agent).key(key).when_busy(wish.when_busy.unwrap_or_default());
    if let Some(person) = &wish.person {
        open = open.user(person);
    }
    for (name, value) in &wish.metadata {
        open = open.metadata(name, value);
    }
    let chat = open.await.map_err(|error| refused(&error))?;
    let info = chat.info().map_err(|error| refused(&error))?;
    check(wish, &info)?;
    Ok((chat, true))
}

/// The last conversation of a key, and its number; those after the first one have it behind the key.
fn last(engine: &Engine, wish: &Wish, base: &str) -> Result<Option<(u32, ConversationInfo)>, Trouble> {
    let agent = wish.key.is_none().then(|| wish.agent.clone());
    let filter = ConversationFilter { agent, task: Some(false), ..ConversationFilter::default() };
    let (mut last, mut from) = (None::<(u32, ConversationInfo)>, None);
    loop {
        let page = engine.conversations(&filter, from.as_deref(), PAGE);
        let page = page.map_err(|error| Trouble::Refused(error.to_string()))?;
        for info in page.conversations {
            let Some(number) = info.key.as_deref().and_then(|key| number(key, base)) else { continue };
            if last.as_ref().is_none_or(|(before, _)| *before < number) {
                last = Some((number, info));
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(last),
        }
    }
}

/// Which conversation of a key has this one.
fn number(key: &str, base: &str) -> Option<u32> {
    match key.strip_prefix(base)? {
        "" => Some(1),
        rest => rest.strip_prefix('#')?.parse().ok(),
    }
}

/// Whether it is what is wanted: nothing is said to another agent, or in another name.
fn check(wish: &Wish, info: &ConversationInfo) -> Result<(), Trouble> {
    let key = info.key.as_deref().unwrap_or_default();
    let with = info.row.user.as_deref();
    let other = |what: String| Err(Trouble::Refused(format!("the conversation {key:?} {what}")));
    if info.first_agent != wish.agent {
        return other(format!("is with the agent {}; give another --key", info.first_agent));
    }
    match (with, wish.person.as_deref()) {
        (with, person) if with == person => {}
        (Some(with), _) => return other(format!("is with {with}; give --person {with}, or another --key")),
        (None, _) => return other("is with nobody who is named; give no --person, or another --key".to_owned()),
    }
    Ok(())
}

/// The name of what is wanted beside it and is another there.
fn other_metadata<'a>(engine: &Engine, wish: &'a Wish, info: &ConversationInfo) -> Result<Option<&'a str>, Trouble> {
    let history = engine.history(info.id).map_err(|error| Trouble::Refused(error.to_string()))?;
    let events = history.iter().flat_map(|entry| &entry.transition.events);
    let mut briefs = events.filter_map(|event| if let Event::Briefed(brief) = event { Some(brief) } else { None });
    let known = briefs.next().map(|brief| brief.metadata.as_slice()).unwrap_or_default();
    let has = |name: &str, value: &serde_json::Value| {
        let same = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).is_ok_and(|it| it == *value);
        known.iter().any(|(known, text)| known == name && same(text.bytes()))
    };
    Ok(wish.metadata.iter().find(|(name, value)| !has(name, value)).map(|(name, _)| name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn conversations_of_a_key_are_numbered() {
        assert_eq!(number("chat:a:ann", "chat:a:ann"), Some(1));
        assert_eq!(number("chat:a:ann#12", "chat:a:ann"), Some(12));
        assert_eq!(number("chat:a:anna", "chat:a:ann"), None);
        assert_eq!(number("chat:a:ann#2", "chat:a:bob"), None);
    }
}
