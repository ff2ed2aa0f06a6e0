//! What a form allows: every way through it that is tried gives an answer of this form, and none holds the server up.

mod answers;
mod gbnf;
mod hostile;

use llguidance::toktrie::TokenId;

use super::*;
use crate::engine::grammar::Matcher;

/// Most tokens of an answer.
const LONGEST: usize = 300;

/// A grammar as the model of the tests follows it.
async fn compile(grammar: Grammar) -> Result<Matcher, EngineError> {
    let model = real().await.model()?;
    tokio::task::spawn_blocking(move || model.compile(&grammar)).await.unwrap()
}

/// How a walk ended.
#[derive(Debug, PartialEq)]
enum Answer {
    Whole(String),
    /// Too long.
    Cut(String),
    /// A limit was met.
    Refused(String),
}

/// Goes through a form at random. Where a text or list may end it mostly does.
fn walk(mut matcher: Matcher, seed: u64) -> Answer {
    let environment = matcher.tok_env().unwrap();
    let (trie, mut random) = (environment.tok_trie(), Random(seed));
    let mut answer = Vec::new();
    let text = |answer: &[u8]| String::from_utf8_lossy(answer).into_owned();
    for step in 0..LONGEST {
        if matcher.is_stopped() && !matcher.is_error() {
            return Answer::Whole(text(&answer));
        }
        let mut tokens = matcher.compute_ff_tokens();
        if tokens.is_empty() {
            let mask = match matcher.compute_mask() {
                Ok(mask) => mask,
                Err(error) => return Answer::Refused(error.to_string()),
            };
            let allowed = mask.to_list();
            let is_end = |token: &TokenId| trie.eos_tokens().contains(token);
            if allowed.iter().any(is_end) && (random.below(3) == 0 || allowed.iter().all(is_end)) {
                return Answer::Whole(text(&answer));
            }
            let closes = |token: &&TokenId| {
                step > 20 && matches!(trie.token(**token), b"\"" | b"}" | b"]" | b"\"}" | b"\"]")
            };
            let closing: Vec<_> = allowed.iter().filter(closes).copied().collect();
            let open: Vec<_> = allowed.iter().filter(|token| !is_end(token)).copied().collect();
            let choice = if closing.is_empty() { open } else { closing };
            tokens = vec![choice[random.below(choice.len())]];
        }
        if let Err(error) = matcher.consume_tokens(&tokens) {
            return Answer::Refused(error.to_string());
        }
        answer.extend(trie.decode(&tokens));
    }
    Answer::Cut(text(&answer))
}

/// Numbers that a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, choice: &'a [T]) -> &'a T {
        &choice[self.below(choice.len())]
    }
}
