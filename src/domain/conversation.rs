use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConversationId, Invalid, MessageId, UnixMillis, UserId};

/// A conversation: a tree of messages, of which the branch that ends at `head` is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// As in the address bar.
    pub id: ConversationId,
    /// Whose it is. Nobody else can see it.
    pub user_id: UserId,
    /// Shown in the sidebar.
    pub title: Title,
    /// Where it stands there.
    pub shelf: Shelf,
    /// The last message of the branch that is shown; none while it is blank.
    pub head: Option<MessageId>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last written in; the sidebar is ordered by it.
    pub updated_at: UnixMillis,
}

/// Where a conversation stands among the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shelf {
    /// Above them.
    Pinned,
    /// By its time.
    #[default]
    Listed,
    /// Put away: found by a search and in the archive only.
    Archived,
}

impl Shelf {
    /// As it is stored, and as forms name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Listed => "listed",
            Self::Archived => "archived",
        }
    }

    /// The shelf of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pinned, Self::Listed, Self::Archived].into_iter().find(|shelf| shelf.as_str() == text)
    }
}

/// A conversation's name: one line, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// What a conversation is called until something was said in it.
    pub const BLANK: &'static str = "New conversation";

    /// Accepts a title that a person typed; `max_chars` is `[default.chat] max_title_chars`.
    pub fn parse(text: &str, max_chars: usize) -> Result<Self, Invalid> {
        let title = one_line(text);
        match title.chars().count() {
            0 => Err(Invalid("A title needs at least one visible character.".into())),
            n if n > max_chars => {
                Err(Invalid(format!("A title has at most {max_chars} characters; this one has {n}.")))
            }
            _ => Ok(Self(title)),
        }
    }

    /// A first title made of the first words of the first message, cut at a word where that is possible.
    pub fn from_first_words(message: &str, max_chars: usize) -> Self {
        let line = one_line(message);
        if line.is_empty() {
            return Self::default();
        }
        let limit = max_chars.min(48);
        if line.chars().count() <= limit {
            return Self(line);
        }
        let head: String = line.chars().take(limit.saturating_sub(1)).collect();
        let cut = head.rfind(' ').filter(|at| *at >= head.len() / 2).unwrap_or(head.len());
        Self(format!("{}…", head[..cut].trim_end()))
    }

    /// A title that somebody made who knows no limit, on one line and cut to `max_chars`; none without a visible character.
    pub fn shortened(text: &str, max_chars: usize) -> Option<Self> {
        let line = one_line(text);
        if line.chars().count() <= max_chars {
            return (!line.is_empty()).then_some(Self(line));
        }
        let head: String = line.chars().take(max_chars.saturating_sub(1)).collect();
        Some(Self(format!("{}…", head.trim_end())))
    }

    /// A title read back from the store.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The title as shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Title {
    fn default() -> Self {
        Self(Self::BLANK.to_owned())
    }
}

impl fmt::Display for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs of white space and control characters become one space.
pub(super) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_title_is_cut_at_a_word() {
        let title =
            Title::from_first_words("How do I\n\nkeep a sourdough starter alive over a long holiday?", 80);

        assert_eq!(title.as_str(), "How do I keep a sourdough starter alive over a…");
    }

    #[test]
    fn a_made_title_has_one_line_and_is_cut_to_the_limit() {
        let shortened = |text| Title::shortened(text, 10).map(|title| title.to_string());

        assert_eq!(shortened(" On\n\nbread ").as_deref(), Some("On bread"));
        assert_eq!(shortened("On bread and butter").as_deref(), Some("On bread…"));
        assert_eq!(shortened(" \n "), None);
    }

    #[test]
    fn a_title_without_a_visible_character_is_refused() {
        assert!(Title::parse(" \n\t ", 80).is_err());
        assert!(Title::parse(&"x".repeat(81), 80).is_err());
        assert_eq!(Title::parse(" a\n b ", 80).unwrap().as_str(), "a b");
    }
}
