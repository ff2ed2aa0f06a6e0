use std::cmp::Ordering;

use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use crate::domain::SamplingParams;

/// Above this, sorting the list costs as much as the whole vocabulary does.
const MOST: usize = 1_000;
/// Logits that are passed over at once where none of them is high enough; compiled to vector instructions.
const BLOCK: usize = 64;

/// The few tokens of a vocabulary among which the choice falls for certain.
///
/// Where `top_k` narrows the choice, llama.cpp copies and sorts a vocabulary for each token. What the samplers before it do to a logit
/// is known: a bias changes its own token, a penalty lowers those that occurred lately. So the `top_k` that are the likeliest in the
/// end are among the likeliest `top_k` + biases + penalized of now, and the biased ones.
pub(super) struct Shortlist {
    most: usize,
    biased: Vec<i32>,
    candidates: LlamaTokenDataArray,
}

impl Shortlist {
    /// None where the parameters look at the whole vocabulary. `window` is how many of the last tokens the penalties look at.
    pub(super) fn new(params: &SamplingParams, window: usize, greedy: bool) -> Option<Self> {
        let top_k = usize::try_from(if greedy { 1 } else { params.top_k }).ok().filter(|&top_k| top_k > 0)?;
        let others = params.mirostat != 0 || params.top_n_sigma > 0.0;
        if others && !greedy || params.dry_multiplier > 0.0 {
            return None;
        }
        let penalties = [params.repeat_penalty - 1.0, params.frequency_penalty, params.presence_penalty];
        if penalties.iter().any(|penalty| *penalty < 0.0) {
            return None; // It raises what occurred.
        }
        let penalized = if penalties.iter().any(|penalty| *penalty > 0.0) { window } else { 0 };
        let biased: Vec<i32> = params.biases().map(|(token, _)| token).collect();
        let most = top_k + penalized + biased.len();
        let candidates = LlamaTokenDataArray::new(Vec::with_capacity(2 * most + biased.len()), false);
        (most <= MOST).then_some(Self { most, biased, candidates })
    }

    /// The tokens for these logits, one for each token of the vocabulary. None without a number among them.
    pub(super) fn of(&mut self, logits: &[f32]) -> Option<&mut LlamaTokenDataArray> {
        let (most, list) = (self.most, &mut self.candidates.data);
        list.clear();
        let mut least = f32::NEG_INFINITY;
        for (block, part) in logits.chunks(BLOCK).enumerate() {
            if !part.iter().fold(false, |any, &logit| any | (logit > least)) {
                continue;
            }
            for (id, &logit) in (block * BLOCK..).zip(part) {
                if logit > least {
                    list.push(candidate(id, logit));
                    if list.len() == 2 * most {
                        least = cut(list, most);
                    }
                }
            }
        }
        if list.len() > most {
            cut(list, most);
        }
        for id in self.biased.iter().filter_map(|&token| usize::try_from(token).ok()) {
            if let Some(&logit) = logits.get(id)
                && !list.iter().any(|listed| listed.id() == candidate(id, logit).id())
            {
                list.push(candidate(id, logit));
            }
        }
        // In the order of the vocabulary: of equal ones, the first is taken, as llama.cpp does.
        list.sort_unstable_by_key(|listed| listed.id());
        (self.candidates.selected, self.candidates.sorted) = (None, false);
        (!self.candidates.data.is_empty()).then_some(&mut self.candidates)
    }
}

/// Keeps the likeliest `most` of more than that; returns the logit of the last one.
fn cut(list: &mut Vec<LlamaTokenData>, most: usize) -> f32 {
    list.select_nth_unstable_by(most - 1, likelier);
    list.truncate(most);
    list[most - 1].logit()
}

fn likelier(one: &LlamaTokenData, other: &LlamaTokenData) -> Ordering {
    other.logit().total_cmp(&one.logit()).then(one.id().cmp(&other.id()))
}

fn candidate(id: usize, logit: f32) -> LlamaTokenData {
    // A vocabulary is far smaller than the range of its ids.
    LlamaTokenData::new(LlamaToken(id as i32), logit, 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(list: &LlamaTokenDataArray) -> Vec<i32> {
        list.data.iter().map(|candidate| candidate.id().0).collect()
    }

    proptest! {
        #[test]
        fn the_likeliest_and_the_biased_are_listed(
            logits in prop::collection::vec(-4_i32..4, 1..600), top_k in 1_i32..60, bias in 0_i32..600,
        ) {
            // Few different values: ties everywhere.
            let logits: Vec<f32> = logits.into_iter().map(|logit| logit as f32).collect();
            let bias = bias % logits.len() as i32;
            let params = SamplingParams { top_k, logit_bias: [(bias.to_string(), 1.0)].into(), ..SamplingParams::default() };
            let mut shortlist = Shortlist::new(&params, 64, false).unwrap();

            let listed = ids(shortlist.of(&logits).unwrap());

            let mut expected: Vec<i32> = (0..logits.len() as i32).collect();
            expected.sort_by(|&one, &other| logits[other as usize].total_cmp(&logits[one as usize]));
            expected.truncate(top_k as usize + 1);
            expected.push(bias);
            expected.sort();
            expected.dedup();
            prop_assert_eq!(listed, expected);
        }
    }

    #[test]
    fn parameters_that_look_at_all_tokens_have_no_list() {
        let default = SamplingParams { top_k: 40, ..SamplingParams::default() };
        let whole = [
            SamplingParams { top_k: 0, ..default.clone() },
            SamplingParams { mirostat: 2, ..default.clone() },
            SamplingParams { top_n_sigma: 1.0, ..default.clone() },
            SamplingParams { dry_multiplier: 0.8, ..default.clone() },
            SamplingParams { presence_penalty: -0.1, ..default.clone() },
            SamplingParams { repeat_penalty: 0.9, ..default.clone() },
        ];

        assert!(Shortlist::new(&default, 64, false).is_some());
        assert!(whole.iter().all(|params| Shortlist::new(params, 64, false).is_none()));
        assert!(Shortlist::new(&SamplingParams { repeat_penalty: 1.1, ..default }, 4_096, false).is_none());
    }

    #[test]
    fn what_is_no_number_is_never_listed() {
        let mut shortlist = Shortlist::new(&SamplingParams::default(), 64, true).unwrap();

        assert_eq!(ids(shortlist.of(&[f32::NAN, 1.0, 1.0, f32::NEG_INFINITY]).unwrap()), [1]);
        assert!(shortlist.of(&[f32::NAN, f32::NEG_INFINITY]).is_none());
    }
}
