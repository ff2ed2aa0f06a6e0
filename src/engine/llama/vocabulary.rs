use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;

use crate::engine::prompt::{Specials, Tokenizer};

/// The vocabulary of a loaded model.
pub(super) struct Vocabulary {
    llama: Arc<LlamaModel>,
    specials: Specials,
}

impl Vocabulary {
    /// An error is a sentence.
    pub(super) fn new(llama: Arc<LlamaModel>) -> Result<Self, String> {
        let vocab = llama.vocab();
        let texts = vocab.tokens().filter_map(|token| {
            let attributes = vocab.attr(token);
            let user_defined = attributes.contains(LlamaTokenAttr::UserDefined);
            let special = user_defined
                || attributes.contains(LlamaTokenAttr::Control)
                || attributes.contains(LlamaTokenAttr::Unknown);
            let text = vocab.text(token).filter(|_| special)?;
            Some((text.to_string_lossy().into_owned(), user_defined))
        });
        let specials = Specials::new(texts)
            .map_err(|error| format!("The special tokens of this model cannot be searched for: {error}."))?;
        Ok(Self { llama, specials })
    }

    /// What the tokens for the beginning and the end of a text look like in a template; empty where there is none.
    pub(super) fn frame_texts(&self) -> (String, String) {
        let vocab = self.llama.vocab();
        let text = |token: LlamaToken| match self.known(token.0) {
            true => String::from_utf8_lossy(&vocab.token_to_piece(token, true, None)).into_owned(),
            false => String::new(),
        };
        (text(vocab.bos()), text(vocab.eos()))
    }

    /// Asking llama.cpp about a token that it does not have ends the process.
    fn known(&self, token: i32) -> bool {
        (0..self.llama.n_vocab()).contains(&token)
    }
}

impl Tokenizer for Vocabulary {
    fn tokenize(&self, text: &str, special: bool) -> Vec<i32> {
        if text.is_empty() {
            return Vec::new();
        }
        self.llama
            .vocab()
            .tokenize(text.as_bytes(), false, special)
            .into_iter()
            .map(|token| token.0)
            .collect()
    }

    fn spell(&self, tokens: &[i32]) -> Option<Vec<u8>> {
        let vocab = self.llama.vocab();
        let mut text = Vec::new();
        for &token in tokens {
            if !self.known(token) {
                return None;
            }
            let before = text.len();
            vocab.token_to_piece_into(LlamaToken(token), &mut text, false, None);
            if text.len() == before {
                return None;
            }
        }
        Some(text)
    }

    fn specials(&self) -> &Specials {
        &self.specials
    }

    fn first_token(&self) -> Option<i32> {
        let vocab = self.llama.vocab();
        Some(vocab.bos().0).filter(|&bos| vocab.should_add_bos() && self.known(bos))
    }
}
