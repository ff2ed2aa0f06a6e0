use serde::Serialize;

use crate::engine::{Likely, TokenLogprob};

/// The probabilities of some tokens, in OpenAI's shape.
#[derive(Serialize)]
pub(super) struct Logprobs {
    content: Vec<Token>,
}

#[derive(Serialize)]
struct Token {
    #[serde(flatten)]
    token: Spelled,
    top_logprobs: Vec<Spelled>,
}

#[derive(Serialize)]
struct Spelled {
    /// With U+FFFD where it is no whole character; `bytes` has the truth.
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl Logprobs {
    /// None where none were asked for.
    pub(super) fn of(tokens: Vec<TokenLogprob>) -> Option<Self> {
        let token = |TokenLogprob { token, top }| Token {
            token: Spelled::of(token),
            top_logprobs: top.into_iter().map(Spelled::of).collect(),
        };
        (!tokens.is_empty()).then(|| Self { content: tokens.into_iter().map(token).collect() })
    }
}

impl Spelled {
    fn of(Likely { bytes, logprob, .. }: Likely) -> Self {
        // JSON has no infinity; this is as unlikely as makes no difference.
        Self { token: String::from_utf8_lossy(&bytes).into_owned(), logprob: logprob.max(-9999.0), bytes }
    }
}
