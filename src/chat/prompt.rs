//! History into the messages of a draft, and a draft into what the engine gets.

use std::collections::BTreeMap;

use super::{host_mark, reasoning};
use crate::config::{LimitsConfig, Lowered};
use crate::domain::{Mark, Message, PromptMessage, Role, SamplingParams};
use crate::engine::Grammar;
use crate::plugins::{AskedBy, Draft};

/// What becomes of a draft.
pub(super) struct Request {
    /// For the chat template. A last message of the assistant's is continued.
    pub(super) messages: Vec<PromptMessage>,
    pub(super) params: SamplingParams,
    pub(super) grammar: Option<Grammar>,
    /// What the reply begins with, as far as its reader has not got it.
    pub(super) opening: String,
    /// What was above the operator's limits.
    pub(super) lowered: Vec<Lowered>,
    /// What the reader should know.
    pub(super) marks: Vec<Mark>,
}

/// The draft of a request; a last message of the assistant's is what the reply begins with.
pub(super) fn draft(
    mut messages: Vec<PromptMessage>,
    params: SamplingParams,
    grammar: Option<Grammar>,
) -> Draft {
    let prefill = prefill(&mut messages);
    let (grammar, json_schema) = match grammar {
        None => (None, None),
        Some(Grammar::Rules(text)) => (Some(text), None),
        Some(Grammar::JsonSchema(text)) => (None, Some(text)),
    };
    Draft { messages, params, grammar, json_schema, prefill }
}

/// What the engine gets, within the operator's limits. Of what the reply begins with its reader has got `given`; `asked` tells
/// which plugin set what.
pub(super) fn request(
    draft: Draft,
    given: Option<&str>,
    limits: &LimitsConfig,
    asked: &BTreeMap<String, AskedBy>,
) -> Request {
    let Draft { mut messages, mut params, grammar, json_schema, prefill: begun } = draft;
    let begun = begun.or_else(|| prefill(&mut messages)).unwrap_or_default();
    let opening = begun.strip_prefix(given.unwrap_or_default()).unwrap_or(&begun).to_owned();
    if !begun.is_empty() {
        messages.push(PromptMessage { role: Role::Assistant, content: begun, token_ids: None });
    }
    let lowered = limits.clamp(&mut params);
    let by = |key| asked.get(key).map(|by| by.plugin.as_str());
    let marks = lowered.iter().map(|lowered| host_mark(lowered.sentence(by(lowered.key)))).collect();
    let grammar = grammar.map(Grammar::Rules).or(json_schema.map(Grammar::JsonSchema));
    Request { messages, params, grammar, opening, lowered, marks }
}

/// Takes a last message of the assistant's away, unless it is the only one.
fn prefill(messages: &mut Vec<PromptMessage>) -> Option<String> {
    let said = messages.pop_if(|last| last.role == Role::Assistant)?;
    if messages.is_empty() {
        messages.push(said);
        return None;
    }
    Some(said.content).filter(|text| !text.is_empty())
}

/// The message of a system prompt, where there is one.
pub(super) fn system(prompt: &str) -> Option<PromptMessage> {
    let content = prompt.trim().to_owned();
    (!content.is_empty()).then_some(PromptMessage { role: Role::System, content, token_ids: None })
}

/// The system prompt and what was said before `reply`, replies without their reasoning; last what it says already, where it is
/// written on.
///
/// Roles alternate, because many chat templates insist on it: a reply without text is left out, and neighbours of
/// one role become one message.
pub(super) fn messages(system_prompt: &str, branch: Vec<Message>, reply: &Message) -> Vec<PromptMessage> {
    let mut messages: Vec<PromptMessage> = system(system_prompt).into_iter().collect();
    for mut said in branch.into_iter().take_while(|message| message.id != reply.id) {
        if said.role == Role::Assistant {
            let answer = reasoning::answer(&said.content);
            if answer.len() < said.content.len() {
                (said.content, said.token_ids) = (answer.to_owned(), None);
            }
        }
        if said.content.is_empty() {
            continue;
        }
        match messages.last_mut() {
            Some(last) if last.role == said.role => {
                last.content.push_str("\n\n");
                last.content.push_str(&said.content);
                last.token_ids = None;
            }
            _ => messages.push(PromptMessage {
                role: said.role,
                content: said.content,
                token_ids: said.token_ids,
            }),
        }
    }
    if !reply.content.is_empty() {
        let (content, token_ids) = (reply.content.clone(), reply.token_ids.clone());
        messages.push(PromptMessage { role: Role::Assistant, content, token_ids });
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConversationId, MessageId, MessageStatus};

    fn said(role: Role, content: &str) -> Message {
        Message {
            id: MessageId::new(),
            conversation_id: ConversationId::UNKNOWN,
            parent_id: None,
            role,
            content: content.into(),
            status: MessageStatus::Complete,
            finish_reason: None,
            error: None,
            marks: Vec::new(),
            usage: None,
            seed: None,
            token_ids: Some(vec![1]),
            created_at: 0,
        }
    }

    fn prompt_message(role: Role, content: &str) -> PromptMessage {
        PromptMessage { role, content: content.into(), token_ids: None }
    }

    #[test]
    fn what_a_reply_begins_with_is_told_as_far_as_its_reader_has_not_got_it() {
        let messages = vec![prompt_message(Role::User, "hi"), prompt_message(Role::Assistant, "Sure,")];
        let asked =
            draft(messages.clone(), SamplingParams::default(), Some(Grammar::Rules("root ::= \"x\"".into())));
        let with = |prefill: &str| Draft { prefill: Some(prefill.into()), ..asked.clone() };
        let (limits, nobody) = (LimitsConfig::default(), BTreeMap::new());

        let (unchanged, longer, other) = (
            request(asked.clone(), Some("Sure,"), &limits, &nobody),
            request(with("Sure, here"), Some("Sure,"), &limits, &nobody),
            request(with("No."), Some("Sure,"), &limits, &nobody),
        );

        assert_eq!((asked.messages.len(), asked.prefill.as_deref()), (1, Some("Sure,")));
        assert_eq!([unchanged.opening, longer.opening, other.opening], ["", " here", "No."]);
        assert_eq!(unchanged.messages, messages);
        assert_eq!(longer.messages[1].content, "Sure, here");
        assert_eq!(unchanged.grammar, Some(Grammar::Rules("root ::= \"x\"".into())));
    }

    #[test]
    fn a_reply_that_failed_without_text_leaves_alternating_roles() {
        let reply = said(Role::Assistant, "");
        let branch =
            vec![said(Role::User, "one"), said(Role::Assistant, ""), said(Role::User, "two"), reply.clone()];

        let messages = messages("Be kind.", branch, &reply);

        let texts: Vec<_> = messages.iter().map(|m| (m.role, m.content.as_str())).collect();
        assert_eq!(texts, [(Role::System, "Be kind."), (Role::User, "one\n\ntwo")]);
        assert_eq!(messages[1].token_ids, None);
    }

    #[test]
    fn reasoning_is_left_out_of_replies_but_for_the_one_that_is_written_on() {
        let reply = said(Role::Assistant, "<think>So");
        let branch = vec![
            said(Role::User, "<think>one</think>"),
            said(Role::Assistant, "<think>Hm.</think>\n\nOne."),
            said(Role::User, "two"),
            reply.clone(),
        ];

        let messages = messages("", branch, &reply);

        let texts: Vec<_> = messages.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(texts, ["<think>one</think>", "One.", "two", "<think>So"]);
        assert_eq!([&messages[0].token_ids, &messages[1].token_ids], [&Some(vec![1]), &None]);
    }

    #[test]
    fn a_reply_that_is_written_on_is_the_last_message() {
        let reply = said(Role::Assistant, "One, ");

        let messages = messages("", vec![said(Role::User, "Count!"), reply.clone()], &reply);

        let texts: Vec<_> = messages.iter().map(|m| (m.role, m.content.as_str())).collect();
        assert_eq!(texts, [(Role::User, "Count!"), (Role::Assistant, "One, ")]);
    }
}
