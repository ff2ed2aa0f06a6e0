use serde::{Deserialize, Serialize};

use super::{ConversationId, Invalid, MessageId, UnixMillis};

/// Who speaks, in the words of the chat templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The operator.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageStatus {
    /// The server is writing it now.
    Generating,
    /// It is whole.
    Complete,
    /// A person stopped it; the text so far is kept.
    Stopped,
    /// It could not be finished; `error` says why.
    Failed,
    /// The server ended in the middle of it; the text so far is kept.
    Interrupted,
}

/// Why the model stopped, in the words of the OpenAI API where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// It ended by itself or at a stop string.
    Stop,
    /// `max_tokens` or the context was used up.
    Length,
    /// It was cancelled.
    Cancelled,
    /// A plugin answered in its place.
    Plugin,
}

/// Implements the pair `as_str`/`parse` with which an enum of words is stored.
macro_rules! stored_word {
    ($name:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $name {
            /// The word stored in the database.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The inverse of `as_str`.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

stored_word!(Role { System => "system", User => "user", Assistant => "assistant" });
stored_word!(MessageStatus {
    Generating => "generating",
    Complete => "complete",
    Stopped => "stopped",
    Failed => "failed",
    Interrupted => "interrupted",
});
stored_word!(FinishReason {
    Stop => "stop",
    Length => "length",
    Cancelled => "cancelled",
    Plugin => "plugin",
});

/// Tokens that a reply cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, the chat template's included.
    pub prompt_tokens: u32,
    /// Tokens that the model produced.
    pub completion_tokens: u32,
}

/// Something a reader should know about how a reply came about: a plugin that failed, turns that were left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The plugin's id, or `fireside` where the host itself speaks.
    pub source: String,
    /// One sentence.
    pub text: String,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Names it.
    pub id: MessageId,
    /// Where it stands.
    pub conversation_id: ConversationId,
    /// What it answers; none for the first message. Two messages with one parent are versions of each other.
    pub parent_id: Option<MessageId>,
    /// Who wrote it.
    pub role: Role,
    /// Its text: what the person typed or the model said, after the plugins.
    pub content: String,
    /// How far it has come.
    pub status: MessageStatus,
    /// Why the model stopped; none while it runs and for a person's message.
    pub finish_reason: Option<FinishReason>,
    /// The sentence shown when it failed.
    pub error: Option<String>,
    /// What the reader should know about it.
    pub marks: Vec<Mark>,
    /// What it cost; none until it ends.
    pub usage: Option<Usage>,
    /// The seed that was really used.
    pub seed: Option<u32>,
    /// The tokens that the model produced, while `content` is exactly their text; else none.
    pub token_ids: Option<Vec<i32>>,
    /// When it was made.
    pub created_at: UnixMillis,
}

impl Message {
    /// Most bytes of what one says, wherever it comes from: twice what the longest message may be that a person can type.
    pub const MOST_BYTES: usize = 8 << 20;
}

/// A message on its way into a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptMessage {
    /// Who speaks.
    pub role: Role,
    /// The text; never parsed for special tokens.
    pub content: String,
    /// The model's own tokens of `content`, so that what it said is not tokenized again.
    pub token_ids: Option<Vec<i32>>,
}

/// What a person sent: not blank, not longer than the operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserText(String);

impl UserText {
    /// Accepts a message as typed. Line ends become `\n`, blank lines around it go, NUL characters go;
    /// indentation of its first line stays. `max_chars` is `[default.chat] max_message_chars`.
    pub fn parse(text: &str, max_chars: usize) -> Result<Self, Invalid> {
        let text = plain(text);
        let text = text.trim_end();
        let start = text.find(|c: char| !c.is_whitespace()).unwrap_or(0);
        Self::within(text[text[..start].rfind('\n').map_or(0, |at| at + 1)..].to_owned(), max_chars)
    }

    /// Accepts a text with the space around it: what goes on behind it follows exactly there. Otherwise as [`UserText::parse`].
    pub fn exactly(text: &str, max_chars: usize) -> Result<Self, Invalid> {
        Self::within(plain(text), max_chars)
    }

    fn within(text: String, max_chars: usize) -> Result<Self, Invalid> {
        match text.chars().count() {
            _ if text.trim().is_empty() => {
                Err(Invalid("Write something first: the message is empty.".into()))
            }
            n if n > max_chars => {
                Err(Invalid(format!("The message has {n} characters; at most {max_chars} are allowed.")))
            }
            _ => Ok(Self(text)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, for keeping.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Line ends as one character, without NUL.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").replace(['\r', '\0'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_answer_keeps_the_space_at_its_end() {
        assert_eq!(UserText::exactly(" One,\r\n\r\n", 10).unwrap().as_str(), " One,\n\n");
        assert!(UserText::exactly(" \n", 10).is_err());
        assert!(UserText::exactly("ééééé", 4).is_err());
    }

    #[test]
    fn a_message_keeps_its_indentation_and_loses_blank_lines_around_it() {
        let text = UserText::parse("\r\n\n    fn main() {}\r\n    // end\n\n", 100).unwrap();

        assert_eq!(text.as_str(), "    fn main() {}\n    // end");
    }

    #[test]
    fn blank_and_too_long_messages_are_refused_with_the_counts() {
        assert!(UserText::parse(" \n \0", 10).is_err());
        assert_eq!(
            UserText::parse("ééééé", 4).unwrap_err().to_string(),
            "The message has 5 characters; at most 4 are allowed."
        );
    }
}
