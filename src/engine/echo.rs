//! A scripted model: no weights, the same queue and the same rules above it.
//!
//! It answers with the last that was said to it, word by word: what the person wrote, or what a plugin or the operator put
//! behind it. A message that is a JSON object with `pieces` is a script:
//! `{"pieces": ["a", [240, 159], "\n"], "delay_ms": 20, "repeat": 3, "fail": "sentence"}`.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::Grammar;
use super::backend::{self, Backend, Prefill, Request, Step};
use super::grammar::Matcher;
use super::logprobs::TokenLogprob;
use super::model::Model;
use super::prompt::{ChatTemplate, Origin, PromptBuilder, Specials, Tokenizer};
use crate::config::LlmConfig;
use crate::domain::ConversationId;

const TEMPLATE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ";
const N_CTX: u32 = 8192;
/// Words that are read at once, as many as tokens of a real model on a CPU.
const PIECE: usize = 64;

/// The echo model's description; an error is a sentence.
pub(super) fn model(config: &LlmConfig) -> Result<Model, String> {
    let n_ctx = if config.n_ctx == 0 { N_CTX } else { config.n_ctx };
    let tokenizer = Words { specials: Specials::new([]).map_err(|error| error.to_string())? };
    let template = ChatTemplate::compile(TEMPLATE, "", "").map_err(|error| error.to_string())?;
    Ok(Model {
        name: "echo".into(),
        architecture: "echo".into(),
        n_ctx,
        n_ctx_train: n_ctx,
        n_vocab: i32::MAX.unsigned_abs(),
        size: 0,
        shared: Vec::new(),
        prompts: PromptBuilder { tokenizer: Box::new(tokenizer), template, n_ctx: n_ctx as usize },
    })
}

/// Counts words between white space; a word's number says nothing about the word.
struct Words {
    specials: Specials,
}

impl Tokenizer for Words {
    fn tokenize(&self, text: &str, _special: bool) -> Vec<i32> {
        (0..).zip(text.split_whitespace()).map(|(number, _)| number).collect()
    }

    fn spell(&self, _tokens: &[i32]) -> Option<Vec<u8>> {
        None
    }

    fn specials(&self) -> &Specials {
        &self.specials
    }

    fn compile(&self, _: &Grammar) -> Result<Matcher, String> {
        Err("is not for the scripted model".into())
    }

    fn first_token(&self) -> Option<i32> {
        None
    }
}

/// Plays scripts.
pub(super) struct Echo {
    pub(super) n_ctx: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    pieces: Vec<Piece>,
    /// Before each piece.
    #[serde(default)]
    delay_ms: u32,
    /// Times that the pieces are played.
    #[serde(default = "once")]
    repeat: u32,
    /// Fails after the last piece, with this sentence.
    #[serde(default)]
    fail: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    /// For characters that are split over tokens.
    Bytes(Vec<u8>),
}

fn once() -> u32 {
    1
}

/// A script being played.
pub(super) struct Playing {
    script: Script,
    /// When the next piece may come.
    due: Instant,
    prompt_tokens: usize,
    /// Of these, tokens that were read.
    read: usize,
    played: usize,
}

impl Script {
    fn of(message: &str) -> Result<Self, String> {
        let object = serde_json::from_str::<serde_json::Map<_, _>>(message).ok();
        if object.is_some_and(|object| object.contains_key("pieces")) {
            return serde_json::from_str(message)
                .map_err(|error| format!("The echo script is wrong: {error}."));
        }
        let mut pieces = vec![String::new()];
        let mut in_word = false;
        for letter in message.chars() {
            if letter.is_whitespace() && in_word {
                pieces.push(String::new());
            }
            in_word = !letter.is_whitespace();
            if let Some(piece) = pieces.last_mut() {
                piece.push(letter);
            }
        }
        Ok(Self { pieces: pieces.into_iter().map(Piece::Text).collect(), delay_ms: 0, repeat: 1, fail: None })
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.into())
    }

    fn piece(&self, number: usize) -> Option<&[u8]> {
        let round = number.checked_div(self.pieces.len())?;
        let piece = self.pieces.get(number % self.pieces.len()).filter(|_| round < self.repeat as usize)?;
        Some(match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Bytes(bytes) => bytes,
        })
    }
}

impl Backend for Echo {
    type Sequence = Playing;

    fn piece(&self, _: &Playing) -> backend::Piece {
        backend::Piece { tokens: PIECE, for_one: PIECE }
    }

    fn missing(&self, request: &Request) -> usize {
        request.prompt.token_count()
    }

    fn open(&mut self, request: &Request) -> Result<Playing, String> {
        let segments = request.prompt.segments.iter();
        let its_own = |origin| matches!(origin, Origin::Template | Origin::Assistant);
        let message = segments.rev().find(|segment| !its_own(segment.origin));
        let script = Script::of(message.map_or("", |segment| segment.text.as_str()))?;
        let prompt_tokens = request.prompt.token_count();
        Ok(Playing { script, due: Instant::now(), prompt_tokens, read: 0, played: 0 })
    }

    fn prefill(&mut self, playing: &mut Playing, limit: usize) -> Result<Prefill, String> {
        let read = limit.min(playing.prompt_tokens - playing.read);
        playing.read += read;
        playing.due = Instant::now() + playing.script.delay();
        Ok(Prefill { done: playing.read, reused: 0, read })
    }

    fn stage(&mut self, playing: &mut Playing) -> Result<bool, String> {
        Ok(playing.prompt_tokens + playing.played < self.n_ctx)
    }

    fn compute(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn sample(&mut self, playing: &mut Playing, bytes: &mut Vec<u8>) -> Result<Step, String> {
        let Some(piece) = playing.script.piece(playing.played) else {
            return playing.script.fail.clone().map_or(Ok(Step::End), Err);
        };
        if playing.due > Instant::now() {
            return Ok(Step::Pause(playing.due));
        }
        bytes.extend_from_slice(piece);
        let id = i32::try_from(playing.played).unwrap_or(i32::MAX);
        playing.played += 1;
        playing.due = Instant::now() + playing.script.delay();
        Ok(Step::Token(id))
    }

    fn logprobs(&mut self, _: &Playing, _: usize) -> Option<TokenLogprob> {
        None
    }

    fn close(&mut self, _: Playing) {}

    fn forget(&mut self, _: ConversationId) {}

    fn read_ahead(&mut self) -> bool {
        false
    }

    fn tidy(&mut self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(message: &str) -> Vec<String> {
        let script = Script::of(message).unwrap();
        (0..)
            .map_while(|at| script.piece(at))
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect()
    }

    #[test]
    fn a_message_is_said_back_word_by_word_and_byte_for_byte() {
        assert_eq!(pieces("  Hello  big\nworld "), ["  Hello", "  big", "\nworld", " "]);
        assert_eq!(pieces(r#"{"a": 1}"#), [r#"{"a":"#, " 1}"]);
    }

    #[test]
    fn a_script_is_played_as_often_as_it_says() {
        assert_eq!(pieces(r#"{"pieces": ["a", [10], " "], "repeat": 2}"#), ["a", "\n", " ", "a", "\n", " "]);
        assert_eq!(pieces(r#"{"pieces": []}"#), [""; 0]);
    }

    #[test]
    fn a_wrong_script_says_what_is_wrong() {
        let error = Script::of(r#"{"pieces": [], "dealy_ms": 1}"#).unwrap_err();

        assert!(error.starts_with("The echo script is wrong: unknown field `dealy_ms`"), "{error}");
    }
}
