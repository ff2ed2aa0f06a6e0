use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;

use super::shortlist::Shortlist;
use crate::domain::SamplingParams;

/// Below this, dividing by the temperature overflows; it means "always the likeliest" anyway.
const LEAST_TEMPERATURE: f32 = 1e-4;
/// A bias that the OpenAI API calls a ban.
const BAN: f32 = -100.0;
/// Candidates kept whatever the parameters say.
const MIN_KEEP: usize = 1;
/// Tokens that mirostat 1 looks at, as in its paper and in llama.cpp.
const MIROSTAT_M: i32 = 100;

/// llama.cpp's samplers in llama.cpp's order, fed with the end of the prompt so that repetition counts from there.
/// `params` have been checked, biases against the vocabulary too.
pub(super) fn chain(
    model: &LlamaModel,
    params: &SamplingParams,
    seed: u32,
    prompt: &[i32],
    n_ctx: usize,
) -> LlamaSampler {
    let repeat_last_n = window(params.repeat_last_n, n_ctx);
    let dry_last_n = window(params.dry_penalty_last_n, n_ctx);
    let mut samplers = Vec::new();
    let biases: Vec<_> =
        params.biases().map(|(token, bias)| LlamaLogitBias::new(LlamaToken(token), strength(bias))).collect();
    if !biases.is_empty() {
        samplers.push(LlamaSampler::logit_bias(model.n_vocab(), &biases));
    }
    samplers.push(LlamaSampler::penalties(
        model.n_vocab(),
        repeat_last_n,
        params.repeat_penalty,
        params.frequency_penalty,
        params.presence_penalty,
    ));
    if params.dry_multiplier > 0.0 && dry_last_n > 0 {
        samplers.push(LlamaSampler::dry(
            model,
            params.dry_multiplier,
            params.dry_base,
            params.dry_allowed_length,
            dry_last_n,
            &params.dry_sequence_breakers,
        ));
    }
    samplers.extend(choice(model, params, seed));
    let remembered = usize::try_from(repeat_last_n.max(dry_last_n)).unwrap_or(0);
    let end = &prompt[prompt.len().saturating_sub(remembered)..];
    LlamaSampler::chain(samplers, true).with_tokens(end.iter().map(|&token| LlamaToken(token)))
}

/// What the chain of the same parameters need not look beyond.
pub(super) fn shortlist(params: &SamplingParams, n_ctx: usize) -> Option<Shortlist> {
    let window = usize::try_from(window(params.repeat_last_n, n_ctx)).unwrap_or(0);
    Shortlist::new(params, window, params.temperature < LEAST_TEMPERATURE)
}

/// What cuts the candidates down and picks one.
fn choice(model: &LlamaModel, params: &SamplingParams, seed: u32) -> Vec<LlamaSampler> {
    if params.temperature < LEAST_TEMPERATURE {
        return vec![LlamaSampler::greedy()];
    }
    let temperature = LlamaSampler::temp(params.temperature);
    let (tau, eta) = (params.mirostat_tau, params.mirostat_eta);
    match params.mirostat {
        1 => return vec![temperature, LlamaSampler::mirostat(model.n_vocab(), seed, tau, eta, MIROSTAT_M)],
        2 => return vec![temperature, LlamaSampler::mirostat_v2(seed, tau, eta)],
        _ => {}
    }
    let mut samplers = vec![LlamaSampler::top_n_sigma(params.top_n_sigma), LlamaSampler::top_k(params.top_k)];
    if params.typical_p < 1.0 {
        // Typical sampling takes logarithms of probabilities: those that are 0, by a ban or by top_n_sigma, go first.
        samplers.push(LlamaSampler::min_p(f32::MIN_POSITIVE, MIN_KEEP));
        samplers.push(LlamaSampler::typical(params.typical_p, MIN_KEEP));
    }
    samplers.push(LlamaSampler::top_p(params.top_p, MIN_KEEP));
    samplers.push(LlamaSampler::min_p(params.min_p, MIN_KEEP));
    samplers.push(LlamaSampler::xtc(params.xtc_probability, params.xtc_threshold, MIN_KEEP, seed));
    samplers.push(temperature);
    samplers.push(LlamaSampler::dist(seed));
    samplers
}

fn strength(bias: f32) -> f32 {
    if bias <= BAN { f32::NEG_INFINITY } else { bias }
}

/// -1 means the whole context; llama.cpp allocates what it is told.
fn window(last_n: i32, n_ctx: usize) -> i32 {
    let n_ctx = i32::try_from(n_ctx).unwrap_or(i32::MAX);
    if last_n < 0 { n_ctx } else { last_n.min(n_ctx) }
}
