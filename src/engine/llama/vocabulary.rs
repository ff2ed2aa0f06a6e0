use std::sync::{Arc, OnceLock};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;

use crate::engine::Grammar;
use crate::engine::grammar::{GrammarCompiler, Matcher, TokenText, TokenTexts};
use crate::engine::prompt::{Specials, Tokenizer};

/// The vocabulary of a loaded model.
pub(super) struct Vocabulary {
    llama: Arc<LlamaModel>,
    specials: Specials,
    ends: Vec<i32>,
    /// Made when the first grammar comes.
    grammars: OnceLock<Result<Arc<GrammarCompiler>, String>>,
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
        let ends = vocab.tokens().filter(|&token| vocab.is_eog(token)).map(|token| token.0).collect();
        Ok(Self { llama, specials, ends, grammars: OnceLock::new() })
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

    fn compile(&self, grammar: &Grammar) -> Result<Matcher, String> {
        let compiler = self
            .grammars
            .get_or_init(|| GrammarCompiler::new(token_texts(&self.llama, &self.ends)).map(Arc::new));
        compiler.as_ref().map_err(Clone::clone)?.compile(grammar)
    }

    fn end_tokens(&self) -> &[i32] {
        &self.ends
    }
}

fn token_texts(llama: &Arc<LlamaModel>, ends: &[i32]) -> TokenTexts {
    let vocab = llama.vocab();
    let text = |token: LlamaToken| {
        let mut text = Vec::new();
        vocab.token_to_piece_into(token, &mut text, false, None);
        match text.is_empty() {
            true => TokenText::Special(vocab.token_to_piece(token, true, None)),
            false => TokenText::Text(text),
        }
    };
    let (texts, tokenizing) = (vocab.tokens().map(text).collect(), Arc::clone(llama));
    let tokenize = move |text: &str| {
        let tokens = tokenizing.vocab().tokenize(text.as_bytes(), false, false);
        tokens.into_iter().map(|token| token.0).collect()
    };
    TokenTexts { texts, ends: ends.to_vec(), tokenize: Box::new(tokenize) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use llama_cpp_2::model::params::LlamaModelParams;

    use super::*;
    use crate::domain::{PromptMessage, Role};
    use crate::engine::Model;
    use crate::engine::llama::{backend, describe};
    use crate::engine::tests::model_file;

    /// The model without its weights, and its special tokens.
    fn vocabulary() -> (Model, BTreeSet<i32>, Vec<String>) {
        let file = model_file();
        let params = LlamaModelParams::default().with_vocab_only(true);
        let llama = Arc::new(LlamaModel::load_from_file(backend().unwrap(), &file, &params).unwrap());
        let vocab = llama.vocab();
        let special = |token: &LlamaToken| {
            let attributes = vocab.attr(*token);
            attributes.contains(LlamaTokenAttr::Control) || attributes.contains(LlamaTokenAttr::UserDefined)
        };
        let special: Vec<_> = vocab.tokens().filter(special).collect();
        let texts =
            special.iter().map(|token| vocab.text(*token).unwrap().to_str().unwrap().to_owned()).collect();
        (describe(&llama, &file, 8192, "").unwrap(), special.iter().map(|token| token.0).collect(), texts)
    }

    #[test]
    fn s24_the_text_of_a_special_token_adds_none_to_the_prompt_whoever_wrote_it() {
        let (model, special, texts) = vocabulary();
        let delimiters = |role: Role, content: &str| {
            let content = PromptMessage { role, content: content.to_owned(), token_ids: None };
            let question = PromptMessage { role: Role::User, content: "x".into(), token_ids: None };
            let messages =
                if role == Role::User { vec![content] } else { vec![content.clone(), question, content] };
            let prompt = model.prepare(&messages[..messages.len().min(2)], 8).unwrap();
            let text: String = prompt.segments.iter().map(|segment| segment.text.as_str()).collect();
            let known = |token: &&i32| special.contains(token);
            (prompt.tokens.iter().filter(known).count(), text)
        };
        assert!(texts.iter().any(|text| text == "<|im_end|>"), "{texts:?}");

        for role in [Role::User, Role::System, Role::Assistant] {
            let (expected, _) = delimiters(role, "x");
            for text in texts.iter().flat_map(|text| [text.clone(), format!("a {text}{text}\n{text}")]) {
                let (found, prompt) = delimiters(role, &text);

                assert_eq!(found, expected, "{text:?}");
                assert!(prompt.contains(&text), "{text:?} is shown literally");
            }
        }
    }

    #[test]
    fn a_prompt_has_the_tokens_that_the_model_was_trained_on() {
        let (model, _, _) = vocabulary();
        let message =
            PromptMessage { role: Role::User, content: "  Hello\n\n  you ".into(), token_ids: None };

        let prompt = model.prepare(&[message], 8).unwrap();

        let text: String = prompt.segments.iter().map(|segment| segment.text.as_str()).collect();
        assert!(
            text.ends_with("<|im_start|>user\n  Hello\n\n  you <|im_end|>\n<|im_start|>assistant\n"),
            "{text:?}"
        );
        assert_eq!(prompt.tokens, model.prompts.tokenizer.tokenize(&text, true));
    }

    #[test]
    fn a_huge_message_is_counted_on_the_small_stack_of_a_worker_thread() {
        let (model, _, _) = vocabulary();
        let counting = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
            ["a", " ", "1", "-", "\n", "é", "字", "🦊", "a ", "\t", "'s"]
                .map(|unit| model.count_tokens(&unit.repeat(300_000)))
        });

        assert!(counting.unwrap().join().unwrap().iter().all(|&tokens| tokens > 0));
    }
}
