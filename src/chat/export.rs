//! Everything of a person's as one JSON text, page by page: at no time more than one page of it is in memory.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::{Chat, ChatError};
use crate::domain::{
    ApiKey, Conversation, ConversationId, Message, MessageId, Preset, Role, User, UserId, now,
};
use crate::store::{Extent, KvEntry, KvKey, Store, StoreError};

/// The version of the format; `README.md` describes it.
pub(super) const VERSION: u32 = 1;
/// Conversations that are read at once.
const CONVERSATIONS: u32 = 50;
/// Messages that are read at once. Each may be some megabytes long.
const MESSAGES: u32 = 8;
/// Entries of plugins that are read at once. Each may be as large as a plugin may keep anything.
const ENTRIES: u32 = 4;

/// An export on its way: ask for the next piece until there is none.
#[derive(Clone)]
pub struct Export {
    store: Store,
    user: UserId,
    step: Step,
    /// Conversations that were read and not told yet.
    conversations: VecDeque<Conversation>,
    /// Whether something stands before the next item of the list.
    begun: bool,
    /// One conversation is all of it.
    only_one: bool,
}

#[derive(Clone)]
enum Step {
    Head(Box<User>),
    HeadOfOne,
    Conversations(ConversationId),
    Messages(ConversationId, MessageId),
    Entries(KvKey),
    /// Of a conversation that people read, and the messages behind it.
    Title(String, ConversationId, VecDeque<MessageId>),
    Branch(ConversationId, VecDeque<MessageId>),
    End,
}

impl Chat {
    /// Everything that is kept of a person: conversations with all their messages, what plugins keep for them, settings,
    /// switches, and what is known about their keys. No secret, no hash.
    pub fn export(&self, user: &User) -> Export {
        let step = Step::Head(Box::new(user.clone()));
        Export {
            store: self.store.clone(),
            user: user.id,
            step,
            conversations: VecDeque::new(),
            begun: false,
            only_one: false,
        }
    }

    /// One conversation with all its versions, in the same form.
    pub async fn export_one(&self, user: &User, id: ConversationId) -> Result<Export, ChatError> {
        let conversation = self.conversation(user, id).await?;
        let conversations = VecDeque::from([conversation]);
        let (store, step) = (self.store.clone(), Step::HeadOfOne);
        Ok(Export { store, user: user.id, step, conversations, begun: false, only_one: true })
    }

    /// What is shown of a conversation, for people to read.
    pub async fn as_markdown(&self, user: &User, id: ConversationId) -> Result<Export, ChatError> {
        let Conversation { title, head, .. } = self.conversation(user, id).await?;
        let ids = match head {
            Some(head) => self.store.branch_ids(user.id, id, head).await?.into(),
            None => VecDeque::new(),
        };
        let (store, step) = (self.store.clone(), Step::Title(format!("# {title}\n"), id, ids));
        Ok(Export {
            store,
            user: user.id,
            step,
            conversations: VecDeque::new(),
            begun: false,
            only_one: true,
        })
    }
}

impl Export {
    /// Reads everything once, so that what cannot be read is known before the first piece is sent.
    ///
    /// # Errors
    /// The database.
    pub async fn check(&self) -> Result<(), ChatError> {
        let mut all = self.clone();
        while all.next().await?.is_some() {}
        Ok(())
    }

    /// The next piece of the text; none behind its end.
    ///
    /// # Errors
    /// The database. What was told so far is then no whole JSON, and whoever reads it notices.
    pub async fn next(&mut self) -> Result<Option<String>, ChatError> {
        match std::mem::replace(&mut self.step, Step::End) {
            Step::Head(user) => {
                self.step = Step::Conversations(ConversationId::UNKNOWN);
                Ok(Some(self.head(&user).await?))
            }
            Step::HeadOfOne => {
                self.step = Step::Conversations(ConversationId::UNKNOWN);
                let now = now();
                Ok(Some(format!("{{\"fireside_export\":{VERSION},\"exported_at\":{now},\"conversations\":[")))
            }
            Step::Conversations(after) => self.conversation(after).await.map(Some),
            Step::Messages(conversation, after) => self.messages(conversation, after).await.map(Some),
            Step::Entries(after) => self.entries(after).await.map(Some),
            Step::Title(title, conversation, ids) => {
                self.step = Step::Branch(conversation, ids);
                Ok(Some(title))
            }
            Step::Branch(conversation, ids) => self.branch(conversation, ids).await,
            Step::End => Ok(None),
        }
    }

    async fn head(&self, user: &User) -> Result<String, ChatError> {
        let key = |key: &ApiKey| json!({ "name": key.name.to_string(), "created_at": key.created_at, "last_used_at": key.last_used_at });
        let keys: Vec<Value> = self.store.list_api_keys(self.user).await?.iter().map(key).collect();
        let choices = self.store.person_choices(self.user, None).await?;
        let account = json!({
            "name": user.name.to_string(), "role": user.role, "created_at": user.created_at, "api_keys": keys,
        });
        let plugins = json!({ "settings": choices.settings, "off": choices.off });
        let parameters = json!(self.store.parameters(self.user, None).await?.person);
        let preset =
            |preset: &Preset| json!({ "name": preset.name.to_string(), "parameters": preset.parameters });
        let presets: Vec<Value> = self.store.presets(self.user).await?.iter().map(preset).collect();
        let presets = Value::from(presets);
        Ok(format!(
            "{{\"fireside_export\":{VERSION},\"exported_at\":{},\"account\":{account},\"plugins\":{plugins},\
             \"parameters\":{parameters},\"presets\":{presets},\"conversations\":[",
            now()
        ))
    }

    /// The beginning of the next conversation, or of what follows the last.
    async fn conversation(&mut self, after: ConversationId) -> Result<String, ChatError> {
        if self.conversations.is_empty() && !self.only_one {
            self.conversations =
                self.store.conversations_after(self.user, after, CONVERSATIONS).await?.into();
        }
        let Some(conversation) = self.conversations.pop_front() else {
            if self.only_one {
                return Ok("]}\n".into());
            }
            self.step = Step::Entries(KvKey::default());
            self.begun = false;
            return Ok("],\"plugin_data\":[".into());
        };
        let id = conversation.id;
        self.step = Step::Messages(id, MessageId::UNKNOWN);
        let comma = self.comma();
        self.begun = false;
        let off = match self.store.off_in_conversation(self.user, id).await {
            // Deleted meanwhile.
            Err(StoreError::NotFound) => BTreeSet::new(),
            off => off?,
        };
        let head = json!({
            "id": id,
            "title": conversation.title.as_str(),
            "created_at": conversation.created_at,
            "updated_at": conversation.updated_at,
            "shelf": conversation.shelf,
            "head": conversation.head,
            "plugins_off": off,
            "parameters": self.store.parameters(self.user, Some(id)).await?.conversation,
        });
        let head = head.to_string();
        Ok(format!("{comma}{},\"messages\":[", head.strip_suffix('}').unwrap_or(&head)))
    }

    async fn messages(
        &mut self,
        conversation: ConversationId,
        after: MessageId,
    ) -> Result<String, ChatError> {
        let messages = self.store.messages_after(self.user, conversation, after, MESSAGES).await?;
        let Some(last) = messages.last() else {
            self.step = Step::Conversations(conversation);
            self.begun = true;
            return Ok("]}".into());
        };
        self.step = Step::Messages(conversation, last.id);
        Ok(messages.iter().map(|message| format!("{}{}", self.comma(), told(message))).collect())
    }

    /// The next messages of a branch, as people read them.
    async fn branch(
        &mut self,
        conversation: ConversationId,
        mut ids: VecDeque<MessageId>,
    ) -> Result<Option<String>, ChatError> {
        let next: Vec<MessageId> = ids.drain(..ids.len().min(MESSAGES as usize)).collect();
        let Some(last) = next.last() else { return Ok(None) };
        let extent = Extent { messages: MESSAGES.min(next.len() as u32), ..Extent::WHOLE };
        let messages = self.store.stretch(self.user, conversation, *last, extent).await?;
        self.step = Step::Branch(conversation, ids);
        let told = |message: &Message| {
            let who = if message.role == Role::User { "You" } else { "Assistant" };
            format!("\n## {who}\n\n{}\n", message.content.trim_matches('\n'))
        };
        Ok(Some(messages.iter().map(told).collect()))
    }

    async fn entries(&mut self, after: KvKey) -> Result<String, ChatError> {
        let entries = self.store.kv_after(self.user, &after, ENTRIES).await?;
        let Some(last) = entries.last() else { return Ok("]}\n".into()) };
        self.step = Step::Entries(last.key.clone());
        Ok(entries.into_iter().map(|entry| format!("{}{}", self.comma(), kept(entry))).collect())
    }

    fn comma(&mut self) -> &'static str {
        match std::mem::replace(&mut self.begun, true) {
            true => ",",
            false => "",
        }
    }
}

fn told(message: &Message) -> Value {
    json!({
        "id": message.id,
        "parent": message.parent_id,
        "role": message.role,
        "content": message.content,
        "status": message.status,
        "finish_reason": message.finish_reason.map(|reason| reason.as_str()),
        "error": message.error,
        "marks": message.marks,
        "usage": message.usage.map(|usage| json!({
            "prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens,
        })),
        "seed": message.seed,
        "created_at": message.created_at,
    })
}

fn kept(entry: KvEntry) -> Value {
    let KvEntry { key, conversation, value, expires_at } = entry;
    // It was stored as JSON; what is not is told as the text that it is.
    let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
    json!({
        "plugin": key.plugin, "conversation": conversation, "key": key.key, "value": value, "expires_at": expires_at,
    })
}
