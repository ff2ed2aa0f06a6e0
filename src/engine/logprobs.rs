/// A token of a reply, and how likely it was.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token that was chosen.
    pub token: Likely,
    /// The likeliest tokens at its place, the likeliest first; as many as were asked for.
    pub top: Vec<Likely>,
}

/// A token with its probability, as the model has it before any parameter changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Likely {
    /// Its number.
    pub id: i32,
    /// What it spells; not always whole characters.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability.
    pub logprob: f32,
}

/// The chosen token and the `top` likeliest, from the model's logits; `spell` says what a token spells.
pub(super) fn logprobs(
    logits: &[f32],
    chosen: i32,
    top: usize,
    spell: impl Fn(i32) -> Vec<u8>,
) -> TokenLogprob {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    let log_sum = largest + sum.ln() as f32;
    let likely = |at: usize| {
        // A vocabulary has at most 2^31 tokens.
        let id = i32::try_from(at).unwrap_or(i32::MAX);
        Likely {
            id,
            bytes: spell(id),
            logprob: logits.get(at).map_or(f32::NEG_INFINITY, |logit| logit - log_sum),
        }
    };
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let by_logit = |left: &usize, right: &usize| logits[*right].total_cmp(&logits[*left]);
    let top = top.min(order.len());
    if top > 0 {
        order.select_nth_unstable_by(top - 1, by_logit);
    }
    order.truncate(top);
    order.sort_unstable_by(by_logit);
    TokenLogprob {
        token: likely(usize::try_from(chosen).unwrap_or(usize::MAX)),
        top: order.into_iter().map(likely).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_and_the_likeliest_come_first() {
        let logits = [1.0, 3.0, 2.0, 0.0];

        let found = logprobs(&logits, 2, 4, |id| vec![id as u8]);

        let ids: Vec<_> = found.top.iter().map(|token| token.id).collect();
        let sum: f32 = found.top.iter().map(|token| token.logprob.exp()).sum();
        assert_eq!(ids, [1, 2, 0, 3]);
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert_eq!(found.token, found.top[1]);
    }

    #[test]
    fn none_but_the_chosen_one_when_no_others_are_asked_for() {
        let found = logprobs(&[0.0, 0.0], 1, 0, |_| Vec::new());

        assert!(found.top.is_empty());
        assert!((found.token.logprob - 0.5_f32.ln()).abs() < 1e-6);
    }
}
