use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use super::shortlist::Shortlist;

/// Chooses the tokens of one reply.
///
/// A grammar is asked only about the token that was chosen, and about the whole vocabulary only when it refuses that one, as
/// llama.cpp's own programs do: most tokens of a model that knows the format are right, and asking about all takes milliseconds.
pub(super) struct Chooser {
    chain: LlamaSampler,
    shortlist: Option<Shortlist>,
    grammar: Option<LlamaSampler>,
}

impl Chooser {
    pub(super) fn new(
        chain: LlamaSampler,
        shortlist: Option<Shortlist>,
        grammar: Option<LlamaSampler>,
    ) -> Self {
        Self { chain, shortlist, grammar }
    }

    /// The next token, from an outcome of the last computation. An error is a sentence.
    pub(super) fn choose(
        &mut self,
        model: &LlamaModel,
        context: &LlamaContext<'_>,
        output: i32,
    ) -> Result<LlamaToken, String> {
        let listed = self.shortlist.as_mut().and_then(|list| list.of(context.get_logits_ith(output)));
        let mut token = match listed {
            Some(candidates) => select(&mut self.chain, candidates),
            None => select(&mut self.chain, &mut context.token_data_array_ith(output)),
        };
        let Some(grammar) = &mut self.grammar else {
            let token = token.ok_or("The model says nothing that could be chosen from.")?;
            self.chain.accept(token);
            return Ok(token);
        };
        token = token.filter(|&token| allows(grammar, token));
        if token.is_none() {
            let mut candidates = context.token_data_array_ith(output);
            grammar.apply(&mut candidates);
            candidates.data.retain(|candidate| candidate.logit() > f32::NEG_INFINITY);
            if !candidates.data.is_empty() {
                token = select(&mut self.chain, &mut candidates).filter(|&token| allows(grammar, token));
            }
        }
        let token = token.ok_or("The grammar leaves the model nothing to say.")?;
        self.chain.accept(token);
        // The end of the reply is no part of the grammar; whether it may come here was asked above.
        if !model.vocab().is_eog(token) {
            grammar.try_accept(token).map_err(|_| "The grammar cannot be followed any further.")?;
        }
        Ok(token)
    }
}

fn select(chain: &mut LlamaSampler, candidates: &mut LlamaTokenDataArray) -> Option<LlamaToken> {
    chain.apply(candidates);
    candidates.selected_token()
}

fn allows(grammar: &mut LlamaSampler, token: LlamaToken) -> bool {
    let mut one = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 1.0, 0.0)], false);
    grammar.apply(&mut one);
    one.data.first().is_some_and(|candidate| candidate.logit() > f32::NEG_INFINITY)
}
