use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use super::shortlist::Shortlist;
use crate::engine::grammar::Allowed;

/// Chooses the tokens of one reply.
pub(super) struct Chooser {
    chain: LlamaSampler,
    shortlist: Option<Shortlist>,
}

impl Chooser {
    pub(super) fn new(chain: LlamaSampler, shortlist: Option<Shortlist>) -> Self {
        Self { chain, shortlist }
    }

    /// The next token, for the logits of all tokens and what the reply's grammar `allowed`; none if there is nothing to choose
    /// from.
    ///
    /// First the choice falls as without a grammar: most tokens of a model that knows the format are right. Only where it is
    /// wrong, the whole vocabulary is looked at. That changes no probability: what is refused is drawn again among the rest.
    pub(super) fn choose(&mut self, logits: &[f32], allowed: Option<&Allowed>) -> Option<i32> {
        let listed = self.shortlist.as_mut().and_then(|list| list.of(logits));
        let token = match listed {
            Some(candidates) => select(&mut self.chain, candidates),
            None => select(&mut self.chain, &mut candidates(logits, |_| true)),
        };
        let Some(allowed) = allowed else { return token };
        token.filter(|&token| allowed.allows(token)).or_else(|| {
            let mut rest = candidates(logits, |token| allowed.allows(token));
            select(&mut self.chain, &mut rest).filter(|&token| allowed.allows(token))
        })
    }

    /// Notes that a token was taken, for what penalties look at.
    pub(super) fn accept(&mut self, token: i32) {
        self.chain.accept(LlamaToken(token));
    }
}

fn candidates(logits: &[f32], allows: impl Fn(i32) -> bool) -> LlamaTokenDataArray {
    // A vocabulary is far smaller than the range of its ids.
    let all = (0_i32..).zip(logits).filter(|&(token, _)| allows(token));
    LlamaTokenDataArray::new(
        all.map(|(token, &logit)| LlamaTokenData::new(LlamaToken(token), logit, 0.0)).collect(),
        false,
    )
}

fn select(chain: &mut LlamaSampler, candidates: &mut LlamaTokenDataArray) -> Option<i32> {
    if candidates.data.is_empty() {
        return None;
    }
    chain.apply(candidates);
    candidates.selected_token().map(|token| token.0)
}
