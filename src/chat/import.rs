//! Reading back what [`super::Export`] wrote, one conversation at a time: at no time more than one of them is in memory.

mod words;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use self::words::{NO_EXPORT, in_words, refusal};
use super::storage::{Running, Storage};
use super::{Chat, ChatError, export};
use crate::domain::{
    ConversationId, FinishReason, Invalid, Mark, Message, MessageId, MessageStatus, Parameters, Role, Shelf,
    Title, UnixMillis, Usage, User, UserId, now,
};
use crate::store::{Imported, Store};

/// Most bytes of one conversation in the file, and of anything between two of them.
const MAX_CONVERSATION_BYTES: usize = 64 << 20;

/// How much came over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Conversations.
    pub conversations: u64,
    /// Those of them that were here already.
    pub copies: u64,
    /// Messages in all of them.
    pub messages: u64,
}

/// Stands behind the title of a copy, so that the list tells it from what was here before.
const COPY: &str = " (imported)";

/// A conversation as the file tells it. What else it tells belongs to the server that wrote it.
#[derive(Deserialize)]
struct ConversationTold {
    title: String,
    created_at: UnixMillis,
    updated_at: UnixMillis,
    #[serde(default)]
    shelf: Shelf,
    #[serde(default)]
    head: Option<MessageId>,
    #[serde(default)]
    parameters: Parameters,
    messages: Vec<MessageTold>,
}

#[derive(Deserialize)]
struct MessageTold {
    id: MessageId,
    parent: Option<MessageId>,
    role: Role,
    content: String,
    status: MessageStatus,
    finish_reason: Option<String>,
    error: Option<String>,
    #[serde(default)]
    marks: Vec<Mark>,
    usage: Option<Usage>,
    seed: Option<u32>,
    created_at: UnixMillis,
}

impl Chat {
    /// Takes the conversations of an export over as new ones of the person's, one after the other.
    ///
    /// # Errors
    /// A sentence that says where the file is wrong, and what was taken over before.
    pub async fn import(&self, user: &User, file: PathBuf) -> Result<Taken, ChatError> {
        let running = self.imports.begin(user.id).await?;
        self.sums.forget(user.id);
        let room = self.storage(user).await?;
        let (store, user, max_title_chars) = (self.store.clone(), user.id, self.config.max_title_chars);
        let import = move || -> Result<Taken, ChatError> {
            let unreadable = |error: io::Error| Invalid(format!("The file cannot be read: {error}."));
            let file = io::BufReader::new(std::fs::File::open(file).map_err(unreadable)?);
            let here = Handle::current().block_on(store.titles(user))?;
            let (taken, why, failed) = (Taken::default(), Some(NO_EXPORT.to_owned()), None);
            let mut sink = Sink { store, user, max_title_chars, here, taken, why, failed, running, room };
            let read = read(file, &mut sink);
            match (sink.failed, read) {
                (Some(error), _) => Err(error),
                (None, Ok(())) => Ok(sink.taken),
                (None, Err(error)) => {
                    let why = sink.why.filter(|_| error.is_data() || error.is_syntax());
                    Err(Invalid(sink.taken.before(&why.unwrap_or_else(|| in_words(&error)))).into())
                }
            }
        };
        let imported = tokio::task::spawn_blocking(import).await.map_err(|_| ChatError::Panicked)?;
        self.sums.forget(user);
        imported
    }
}

impl Taken {
    fn before(&self, why: &str) -> String {
        match self.conversations {
            0 => format!("Nothing was taken over: {why}."),
            1 => format!("One conversation was taken over, then something was wrong: {why}."),
            n => format!("{n} conversations were taken over, then something was wrong: {why}."),
        }
    }
}

/// Where conversations go as they are read.
struct Sink {
    store: Store,
    user: UserId,
    max_title_chars: usize,
    /// What the person had before: titles, with the times when they were made.
    here: HashSet<(String, UnixMillis)>,
    taken: Taken,
    /// Why the file is none that can be read; none from where it is known to be one.
    why: Option<String>,
    /// The database refused; it is no fault of the file's.
    failed: Option<ChatError>,
    running: Running,
    room: Storage,
}

impl Sink {
    /// Why there is no room for a conversation that is as it should be.
    fn too_much(&mut self, told: &ConversationTold) -> Option<String> {
        if told.messages.iter().any(|message| message.content.len() > Message::MOST_BYTES) {
            let (title, most) = (&told.title, Message::MOST_BYTES >> 20);
            return Some(format!("a message in “{title}” is longer than {most} MiB"));
        }
        self.room.used += told.messages.iter().map(|message| message.content.len() as u64).sum::<u64>();
        let full = self.room.check().err()?;
        Some(full.to_string().trim_end_matches('.').to_owned())
    }

    fn take(&mut self, told: ConversationTold) -> Result<(), String> {
        if let Some(why) = self.too_much(&told) {
            self.why = Some(why);
            return Err("refused".into());
        }
        let mut imported = conversation(told, self.max_title_chars)?;
        if self.here.contains(&(imported.title.to_string(), imported.created_at)) {
            let room = self.max_title_chars.saturating_sub(COPY.len());
            let title = Title::shortened(imported.title.as_str(), room).unwrap_or(imported.title);
            imported.title = Title::stored(format!("{title}{COPY}"));
            self.taken.copies += 1;
        }
        let written = &self.running.written;
        // This is no thread of the runtime's.
        if let Err(error) = Handle::current().block_on(self.store.import(self.user, &imported, written)) {
            self.failed = Some(error.into());
            return Err("the database refused".into());
        }
        self.taken.conversations += 1;
        self.taken.messages += imported.messages.len() as u64;
        Ok(())
    }
}

/// Reads an export.
fn read(file: impl Read, sink: &mut Sink) -> serde_json::Result<()> {
    let left = Rc::new(Cell::new(MAX_CONVERSATION_BYTES));
    let mut json = serde_json::Deserializer::from_reader(Bounded { inner: file, left: left.clone() });
    let top = Top { sink, left };
    top.deserialize(&mut json).and_then(|()| json.end())
}

/// Refuses a file of which one piece is too large, before it is in memory.
struct Bounded<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            let limit = MAX_CONVERSATION_BYTES >> 20;
            return Err(io::Error::other(format!("a conversation has at most {limit} MiB")));
        }
        let at_most = buffer.len().min(left);
        let read = self.inner.read(&mut buffer[..at_most])?;
        self.left.set(left - read);
        Ok(read)
    }
}

struct Top<'a> {
    sink: &'a mut Sink,
    left: Rc<Cell<usize>>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an export of Fireside")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut version = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "fireside_export" => {
                    version = Some(map.next_value::<u32>()?);
                    self.sink.why = refusal(version);
                }
                "conversations" if version == Some(export::VERSION) => {
                    map.next_value_seed(Conversations { sink: &mut *self.sink, left: &self.left })?;
                }
                "conversations" => break,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            self.left.set(MAX_CONVERSATION_BYTES);
        }
        match self.sink.why {
            Some(_) => Err(M::Error::custom("refused")),
            None => Ok(()),
        }
    }
}

struct Conversations<'a> {
    sink: &'a mut Sink,
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Conversations<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Conversations<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of conversations")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while let Some(told) = list.next_element::<ConversationTold>()? {
            self.sink.take(told).map_err(S::Error::custom)?;
            self.left.set(MAX_CONVERSATION_BYTES);
        }
        Ok(())
    }
}

/// A conversation with new ids, its messages in the order in which they follow each other.
fn conversation(told: ConversationTold, max_title_chars: usize) -> Result<Imported, String> {
    let (id, count, now) = (ConversationId::new(), told.messages.len(), now());
    let mut following: HashMap<Option<MessageId>, Vec<MessageTold>> = HashMap::new();
    for message in told.messages {
        following.entry(message.parent).or_default().push(message);
    }
    let mut new_ids = HashMap::with_capacity(count);
    let mut messages = Vec::with_capacity(count);
    let mut open = vec![None];
    while let Some(parent) = open.pop() {
        for message in following.remove(&parent).unwrap_or_default() {
            let (old, new) = (message.id, MessageId::new());
            if new_ids.insert(old, new).is_some() {
                return Err("two messages have the same id".into());
            }
            let parent = parent.and_then(|parent| new_ids.get(&parent).copied());
            messages.push(self::message(message, new, id, parent, now));
            open.push(Some(old));
        }
    }
    if messages.len() < count {
        return Err("a message follows none of its conversation".into());
    }
    let last = messages.last().map(|message| message.id);
    let head = told.head.and_then(|head| new_ids.get(&head).copied()).or(last);
    let title = Title::shortened(&told.title, max_title_chars).unwrap_or_default();
    let (created_at, updated_at) = (told.created_at.clamp(0, now), told.updated_at.clamp(0, now));
    let (shelf, parameters) = (told.shelf, told.parameters);
    Ok(Imported { id, title, shelf, created_at, updated_at, messages, head, parameters })
}

fn message(
    told: MessageTold,
    id: MessageId,
    conversation_id: ConversationId,
    parent_id: Option<MessageId>,
    now: UnixMillis,
) -> Message {
    Message {
        id,
        conversation_id,
        parent_id,
        role: told.role,
        content: told.content.replace('\0', ""),
        status: match told.status {
            MessageStatus::Generating => MessageStatus::Interrupted,
            status => status,
        },
        finish_reason: told.finish_reason.as_deref().and_then(FinishReason::parse),
        error: told.error,
        marks: told.marks,
        usage: told.usage,
        seed: told.seed,
        token_ids: None,
        created_at: told.created_at.clamp(0, now),
    }
}
