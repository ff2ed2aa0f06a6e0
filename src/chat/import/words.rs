//! Why a file could not be taken over, in plain words.

use serde_json::error::Category;

use crate::chat::export;

pub(super) const NO_EXPORT: &str = "this is no file of Fireside's. Choose one that “Download everything” gave you, here or on another \
    Fireside, or “Download as JSON” in the menu of a conversation";

/// What is wrong with a file that was an export.
pub(super) fn in_words(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof if (error.line(), error.column()) == (1, 0) => "the file is empty".into(),
        Category::Eof => {
            "the file breaks off in the middle. Download it again: its last character is a “}”".into()
        }
        Category::Syntax => format!("the file is no JSON, or was damaged ({error}). Download it again"),
        Category::Data => {
            format!("something in the file is not as Fireside writes it ({error}). Download it again")
        }
        Category::Io => error.to_string(),
    }
}

/// Why an export of this version cannot be read.
pub(super) fn refusal(version: Option<u32>) -> Option<String> {
    match version {
        Some(export::VERSION) => None,
        Some(other) => Some(format!(
            "the file is of version {other}, and this server reads version {}. Take it over on a server that is as new as \
             the one that wrote it",
            export::VERSION
        )),
        None => Some(NO_EXPORT.into()),
    }
}
