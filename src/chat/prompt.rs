//! History into the messages of a draft.

use crate::config::ChatConfig;
use crate::domain::{Message, MessageId, PromptMessage, Role};

/// The operator's system prompt, where there is one.
pub(super) fn system(config: &ChatConfig) -> Option<PromptMessage> {
    let content = config.system_prompt.trim().to_owned();
    (!content.is_empty()).then_some(PromptMessage { role: Role::System, content, token_ids: None })
}

/// The system prompt and what was said before `reply`.
///
/// Roles alternate, because many chat templates insist on it: a reply without text is left out, and neighbours of
/// one role become one message.
pub(super) fn messages(config: &ChatConfig, branch: Vec<Message>, reply: MessageId) -> Vec<PromptMessage> {
    let mut messages: Vec<PromptMessage> = system(config).into_iter().collect();
    for said in branch.into_iter().take_while(|message| message.id != reply) {
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
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConversationId, MessageStatus};

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

    #[test]
    fn a_reply_that_failed_without_text_leaves_alternating_roles() {
        let config = ChatConfig { system_prompt: "Be kind.".into(), ..ChatConfig::default() };
        let reply = said(Role::Assistant, "");
        let branch =
            vec![said(Role::User, "one"), said(Role::Assistant, ""), said(Role::User, "two"), reply.clone()];

        let messages = messages(&config, branch, reply.id);

        let texts: Vec<_> = messages.iter().map(|m| (m.role, m.content.as_str())).collect();
        assert_eq!(texts, [(Role::System, "Be kind."), (Role::User, "one\n\ntwo")]);
        assert_eq!(messages[1].token_ids, None);
    }
}
