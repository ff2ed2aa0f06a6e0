//! Replies of a given form: what a form may be, and which tokens it allows next.
//!
//! A [`Grammar`] is compiled for one vocabulary ([`GrammarCompiler`]) before its request is queued. While the reply is
//! written, a thread of its own works out which tokens may come next ([`Constraint`]).

mod compiler;
mod constraint;
mod demands;
mod gbnf;
mod narrow;

pub(super) use compiler::{GrammarCompiler, TokenText, TokenTexts};
pub(super) use constraint::{Allowed, Constraint};
pub(super) use llguidance::Matcher;

use super::EngineError;
use crate::domain::OutOfRange;

/// Stack of a thread that reads or follows a grammar, in bytes: both go by recursion.
const STACK: usize = 8 << 20;

/// Longest grammar or schema, in bytes.
const LONGEST: usize = 32 * 1024;

/// Deepest nesting of brackets.
const DEEPEST: usize = 48;

/// The beginning of a grammar that is written in Lark, as llama.cpp's programs mark it.
const LARK: &str = "%llguidance";

/// What a reply must look like, whatever the model would like to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grammar {
    /// A grammar in GBNF, llama.cpp's own notation, whose rule `root` is the whole reply; or in Lark, whose rule `start` is,
    /// where the text begins with `%llguidance`.
    Rules(String),
    /// A JSON schema; the reply is a JSON value that it describes.
    JsonSchema(String),
}

impl Grammar {
    /// Any JSON object.
    pub fn json_object() -> Self {
        Self::JsonSchema(r#"{"type": "object"}"#.into())
    }

    /// Any text that a regular expression matches as a whole.
    pub fn regex(regex: &str) -> Self {
        let (mut text, mut characters) = (String::new(), regex.chars());
        while let Some(character) = characters.next() {
            match character {
                '/' => text += r"\/",
                '\n' => text += r"\n",
                '\\' => text.extend(['\\'].into_iter().chain(characters.next())),
                other => text.push(other),
            }
        }
        Self::Rules(format!("{LARK} {{}}\nstart: /{text}/"))
    }

    /// One of these texts.
    pub fn choice(texts: &[String]) -> Self {
        let texts: Vec<_> =
            texts.iter().map(|text| serde_json::Value::from(text.as_str()).to_string()).collect();
        Self::Rules(format!("{LARK} {{}}\nstart: {}", texts.join(" | ")))
    }

    /// Refuses what would cost too much to read.
    ///
    /// # Errors
    /// [`EngineError::Parameter`] with its name and what is allowed.
    pub fn check(&self) -> Result<(), EngineError> {
        let text = self.text();
        if text.len() > LONGEST {
            return Err(self.wrong(format!("may have {LONGEST} bytes, not {}", text.len())));
        }
        if self.depth() > DEEPEST {
            return Err(self.wrong(format!("may nest brackets {DEEPEST} deep, not deeper")));
        }
        Ok(())
    }

    /// How deep brackets are nested outside texts in quotes.
    fn depth(&self) -> usize {
        let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
        for byte in self.text().bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = !quoted,
                // Quotes count only within a line: one that stands alone, in a comment or a class, hides nothing below it.
                b'\n' => quoted = false,
                _ if quoted => {}
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        deepest
    }

    /// The error of a grammar that cannot be used.
    pub(super) fn wrong(&self, why: String) -> EngineError {
        let key = match self {
            Self::Rules(_) => "grammar",
            Self::JsonSchema(_) => "json_schema",
        };
        EngineError::Parameter(OutOfRange { key, why })
    }

    fn text(&self) -> &str {
        match self {
            Self::Rules(text) | Self::JsonSchema(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_too_deep_is_refused_before_it_is_read() {
        let long = Grammar::Rules("a".repeat(LONGEST + 1)).check().unwrap_err();
        let deep = Grammar::JsonSchema("[".repeat(10_000)).check().unwrap_err();

        assert_eq!(long.to_string(), "grammar may have 32768 bytes, not 32769.");
        assert!(deep.to_string().starts_with("json_schema may nest"), "{deep}");
        assert!(Grammar::json_object().check().is_ok());
    }
}
