//! What an administrator does with plugins.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::prompt::request;
use super::render::for_plugins;
use super::services::Counter;
use super::{Chat, ChatError};
use crate::domain::{Invalid, PromptMessage, Role, User};
use crate::plugins::{
    Draft, PluginDetail, PluginInfo, Plugins, Rehearsal, Rehearsed, RenderedSegment, Template, Tested,
};
use crate::store::{Store, StoreError};

/// A conversation that an administrator makes up.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// In place of the operator's system prompt; may be empty.
    pub system_prompt: String,
    /// Blocks that begin with `user:` or `assistant:`. A text without is the user's.
    pub conversation: String,
    /// What the model would answer; blank for the conversation's last block, if that is the assistant's.
    pub answer: String,
}

/// Takes over what administrators turned on and off before the last start.
///
/// # Errors
/// The database cannot be read.
pub async fn restore_plugin_states(plugins: &Plugins, store: &Store) -> Result<(), StoreError> {
    for (id, enabled) in store.plugin_states().await? {
        plugins.switch(&id, enabled);
    }
    Ok(())
}

impl Chat {
    /// Every plugin as its files are now: those that a message meets, in their order, then the others.
    pub async fn plugins(&self) -> Vec<PluginInfo> {
        self.plugins.current().await;
        self.plugins.in_order()
    }

    /// One plugin as its files are now.
    pub async fn plugin(&self, id: &str) -> Result<PluginDetail, ChatError> {
        self.plugins.current().await;
        Ok(self.plugins.detail(id).ok_or(StoreError::NotFound)?)
    }

    /// Turns a plugin on or off, from the next message on and for good.
    pub async fn switch_plugin(&self, id: &str, enabled: bool) -> Result<(), ChatError> {
        self.plugin(id).await?;
        self.store.set_plugin_state(id, enabled).await?;
        self.plugins.switch(id, enabled);
        tracing::info!(plugin = id, enabled, "switched by an administrator");
        Ok(())
    }

    /// Lets a plugin that rests work again, on trial.
    pub async fn wake_plugin(&self, id: &str) -> Result<(), ChatError> {
        self.plugin(id).await?;
        self.plugins.wake(id);
        tracing::info!(plugin = id, "tried again by an administrator");
        Ok(())
    }

    /// Runs the tests of a plugin; the inner error says why it does not load.
    pub async fn test_plugin(&self, id: &str) -> Result<Result<Vec<Tested>, String>, ChatError> {
        self.plugin(id).await?;
        Ok(self.plugins.test(id).await.ok_or(StoreError::NotFound)?)
    }

    /// Passes a conversation through every plugin, with this one also where it is disabled, and without the model.
    pub async fn rehearse(&self, user: &User, id: &str, script: Script) -> Result<Rehearsed, ChatError> {
        self.plugin(id).await?;
        for (what, text) in [
            ("system prompt", &script.system_prompt),
            ("conversation", &script.conversation),
            ("answer", &script.answer),
        ] {
            let (most, length) = (self.config.max_message_chars, text.chars().count());
            if length > most {
                let sentence = format!("The {what} has at most {most} characters; this one has {length}.");
                return Err(Invalid(sentence).into());
            }
        }
        let (history, message, reply) = cast(&script)?;
        let rehearsal = Rehearsal {
            history,
            message,
            reply,
            user: user.name.to_string(),
            system_prompt: script.system_prompt,
            params: self.generation.clone(),
            template: self.template(),
            titled: true,
        };
        let tokens = Arc::new(Counter(self.engine.clone()));
        let rehearsed = self.plugins.rehearse(id, &rehearsal, Some(tokens)).await;
        Ok(rehearsed.ok_or(StoreError::NotFound)?)
    }

    /// The model's chat template; without a loaded model it is an error that says so.
    fn template(&self) -> Option<Template> {
        let (engine, limits) = (self.engine.clone(), self.limits.clone());
        Some(Arc::new(move |draft: Draft| {
            let asked = request(draft, None, &limits, &BTreeMap::new());
            let model = engine.model().map_err(|error| error.to_string())?;
            let prompt = model.prepare(&asked.messages, asked.params.max_tokens);
            let segments = prompt.map_err(|error| error.to_string())?.segments.into_iter();
            Ok(segments
                .map(|segment| RenderedSegment { origin: for_plugins(segment.origin), text: segment.text })
                .collect())
        }))
    }
}

/// History, message and answer of a script.
fn cast(script: &Script) -> Result<(Vec<PromptMessage>, String, Option<String>), Invalid> {
    let mut messages = blocks(&script.conversation);
    let answer = Some(script.answer.trim()).filter(|answer| !answer.is_empty()).map(str::to_owned);
    let last = messages.pop_if(|last| last.role == Role::Assistant).map(|last| last.content);
    if answer.is_some() && last.is_some() {
        let sentence = "The conversation ends with an answer, and another one stands in the answer's own box. \
                        Clear one of them.";
        return Err(Invalid(sentence.into()));
    }
    match messages.pop() {
        Some(message) => Ok((messages, message.content, answer.or(last))),
        None => Err(Invalid("Write what the user says.".into())),
    }
}

/// The messages of a text in which each begins with its role. Neighbours of one role are one message.
fn blocks(text: &str) -> Vec<PromptMessage> {
    let mut messages: Vec<PromptMessage> = Vec::new();
    for line in text.lines() {
        let (role, rest) = match line.split_once(':') {
            Some((role, rest)) if role.trim().eq_ignore_ascii_case("user") => (Some(Role::User), rest),
            Some((role, rest)) if role.trim().eq_ignore_ascii_case("assistant") => {
                (Some(Role::Assistant), rest)
            }
            _ => (None, line),
        };
        let said = match role {
            Some(_) => rest.trim_start(),
            None => rest,
        };
        match messages.last_mut() {
            Some(last) if role.is_none_or(|role| role == last.role) => {
                last.content.push('\n');
                last.content.push_str(said);
            }
            _ => messages.push(PromptMessage {
                role: role.unwrap_or(Role::User),
                content: said.to_owned(),
                token_ids: None,
            }),
        }
    }
    for message in &mut messages {
        message.content = message.content.trim().to_owned();
    }
    messages.retain(|message| !message.content.is_empty());
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(conversation: &str, answer: &str) -> Script {
        Script { conversation: conversation.into(), answer: answer.into(), ..Script::default() }
    }

    #[test]
    fn a_conversation_is_read_in_blocks_and_ends_with_the_users_message() {
        let (history, message, reply) =
            cast(&script("User: one\nmore: of it\n\nassistant: two\nuser:\nthree\n\nand four\n", "five"))
                .unwrap();

        let history: Vec<_> = history.iter().map(|said| (said.role, said.content.as_str())).collect();
        assert_eq!(history, [(Role::User, "one\nmore: of it"), (Role::Assistant, "two")]);
        assert_eq!((message.as_str(), reply.as_deref()), ("three\n\nand four", Some("five")));
    }

    #[test]
    fn a_last_block_of_the_assistants_is_the_answer_unless_there_are_two() {
        let (history, message, reply) = cast(&script("hello\nassistant: hi", " ")).unwrap();

        assert_eq!((history.len(), message.as_str(), reply.as_deref()), (0, "hello", Some("hi")));
        assert!(cast(&script("hello\nassistant: hi", "ho")).is_err());
        assert!(cast(&script(" \n", "")).is_err());
        assert!(cast(&script("assistant: hi", "")).is_err());
    }
}
