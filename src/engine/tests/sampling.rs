use super::*;
use crate::domain::FinishReason;

const QUESTION: &str = "Tell me a story about a fox.";
/// A reply that a small model goes on with for ever, whatever kernels compute it.
const ENDLESS: &str = "no no no no no no no no no no no no";

fn greedy() -> SamplingParams {
    SamplingParams { temperature: 0.0, max_tokens: 24, ..SamplingParams::default() }
}

/// Nothing but temperature, so that every parameter under test is alone.
fn wild() -> SamplingParams {
    let bare = SamplingParams { top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplingParams::default() };
    SamplingParams { temperature: 2.0, seed: 7, max_tokens: 24, ..bare }
}

async fn ask(question: &str, params: SamplingParams) -> (String, Finished) {
    let (reply, finished) = read(send(&real().await, UserId::new(), question, params)).await;
    (reply, finished.unwrap())
}

async fn answer(params: SamplingParams) -> String {
    ask(QUESTION, params).await.0
}

async fn endless(params: SamplingParams) -> String {
    let engine = real().await;
    let begun = [says(Role::User, "Say no."), says(Role::Assistant, ENDLESS)];
    let prompt = engine.model().unwrap().prepare(&begun, 64).unwrap();
    let place = engine.reserve(UserId::new()).unwrap();
    let (reply, finished) = read(place.submit(prompt, Task::from(params)).unwrap()).await;
    finished.unwrap();
    reply
}

#[tokio::test]
async fn temperature_zero_repeats_whatever_the_seed() {
    let first = answer(SamplingParams { seed: 1, ..greedy() }).await;

    assert_eq!(first, answer(SamplingParams { seed: 2, ..greedy() }).await);
    assert_ne!(first, answer(wild()).await);
}

#[tokio::test]
async fn a_seed_repeats_and_another_one_differs() {
    let (first, finished) = ask(QUESTION, SamplingParams { seed: -1, ..wild() }).await;

    assert_eq!(first, answer(SamplingParams { seed: finished.seed.into(), ..wild() }).await);
    assert_ne!(first, answer(SamplingParams { seed: i64::from(finished.seed / 2 + 1), ..wild() }).await);
}

#[tokio::test]
async fn a_seed_repeats_also_when_the_prompt_is_still_in_memory() {
    // An engine of its own, for another test's request would take the memory.
    let (engine, user) = (Engine::start(real_config(), EngineOptions::default()).unwrap(), UserId::new());
    ready(&engine).await;
    let question = QUESTION.repeat(20);
    let params = SamplingParams { max_tokens: 60, ..wild() };

    let (first, cold) = read(send(&engine, user, &question, params.clone())).await;
    let (second, warm) = read(send(&engine, user, &question, params)).await;

    assert_eq!(first, second);
    assert_eq!(cold.unwrap().timings.reused_tokens, 0);
    assert!(warm.unwrap().timings.reused_tokens > 0);
}

#[tokio::test]
async fn max_tokens_ends_with_length() {
    let (_, finished) = ask(QUESTION, SamplingParams { max_tokens: 5, ..greedy() }).await;

    assert_eq!((finished.reason, finished.usage.completion_tokens), (FinishReason::Length, 5));
}

#[tokio::test]
async fn a_stop_string_stops_and_does_not_leak() {
    let whole = answer(greedy()).await;
    let words: Vec<_> = whole.split(' ').collect();
    let stop = format!("{} {}", &words[3][1..], &words[4][..1]);

    let (cut, finished) = ask(QUESTION, SamplingParams { stop: vec![stop.clone()], ..greedy() }).await;

    assert_eq!(finished.reason, FinishReason::Stop);
    assert_eq!(cut, whole[..whole.find(&stop).unwrap()]);
}

#[tokio::test]
async fn logit_bias_bans_a_token_and_forces_one() {
    let ids = ask(QUESTION, greedy()).await.1.token_ids.unwrap();
    let bias = |bias: f32| SamplingParams { logit_bias: [(ids[0].to_string(), bias)].into(), ..greedy() };

    let banned = ask(QUESTION, bias(-100.0)).await.1.token_ids.unwrap();
    let forced = ask(QUESTION, bias(100.0)).await.1.token_ids.unwrap();

    assert!(!banned.contains(&ids[0]));
    assert!(forced.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn a_bias_on_a_token_that_the_model_does_not_have_is_refused() {
    let engine = real().await;
    let model = engine.model().unwrap();
    let params = SamplingParams { logit_bias: [(model.n_vocab.to_string(), 1.0)].into(), ..greedy() };
    let prompt = model.prepare(&[says(Role::User, "Hi")], 8).unwrap();

    let error = engine.reserve(UserId::new()).unwrap().submit(prompt, params).err().unwrap();

    assert!(error.to_string().starts_with("logit_bias has no token"), "{error}");
}

#[tokio::test]
async fn parameters_that_leave_one_candidate_equal_greedy() {
    let expected = answer(greedy()).await;

    assert_eq!(expected, answer(SamplingParams { top_k: 1, ..wild() }).await, "top_k");
    assert_eq!(expected, answer(SamplingParams { top_p: 0.0, ..wild() }).await, "top_p");
    assert_eq!(expected, answer(SamplingParams { min_p: 1.0, ..wild() }).await, "min_p");
    assert_eq!(expected, answer(SamplingParams { top_n_sigma: 1e-6, ..wild() }).await, "top_n_sigma");
    assert_eq!(
        expected,
        answer(SamplingParams { mirostat: 2, mirostat_tau: 0.0, ..wild() }).await,
        "mirostat_tau"
    );
    assert_eq!(expected, answer(SamplingParams { temperature: 1e-30, ..wild() }).await, "temperature");
}

#[tokio::test]
async fn typical_sampling_narrows_the_choice_also_beside_bans_and_cuts() {
    let narrow = |seed| SamplingParams { typical_p: 0.0, seed, ..wild() };
    let crowded =
        SamplingParams { logit_bias: [("5".to_owned(), -100.0)].into(), top_n_sigma: 2.0, ..narrow(1) };

    assert_eq!(answer(narrow(1)).await, answer(narrow(2)).await);
    assert_ne!(answer(narrow(1)).await, answer(wild()).await);
    assert_eq!(answer(crowded.clone()).await, answer(SamplingParams { seed: 2, ..crowded }).await);
}

#[tokio::test]
async fn xtc_takes_the_likeliest_tokens_away() {
    let careful = SamplingParams { temperature: 0.01, ..wild() };
    let xtc = SamplingParams { xtc_probability: 1.0, xtc_threshold: 0.05, ..careful.clone() };

    let without = answer(careful).await;

    assert_ne!(without, answer(xtc.clone()).await, "xtc_probability");
    assert_eq!(without, answer(SamplingParams { xtc_threshold: 0.6, ..xtc }).await, "xtc_threshold");
}

#[tokio::test]
async fn mirostat_in_both_versions_follows_its_target_and_rate() {
    for mirostat in [1, 2] {
        let usual = SamplingParams { mirostat, ..wild() };

        let text = answer(usual.clone()).await;

        assert_ne!(text, answer(wild()).await, "mirostat {mirostat}");
        assert_ne!(
            text,
            answer(SamplingParams { mirostat_tau: 1.0, ..usual.clone() }).await,
            "tau {mirostat}"
        );
        assert_ne!(text, answer(SamplingParams { mirostat_eta: 1.0, ..usual }).await, "eta {mirostat}");
    }
}

#[tokio::test]
async fn each_penalty_changes_a_story_and_only_within_its_window() {
    // Long enough to say "the" and "fox" and "." again where other words are nearly as likely.
    let long = || SamplingParams { max_tokens: 60, ..greedy() };
    let plain = answer(long()).await;
    let penalties = [
        SamplingParams { repeat_penalty: 5.0, ..long() },
        SamplingParams { presence_penalty: 2.0, ..long() },
        SamplingParams { frequency_penalty: 2.0, ..long() },
    ];
    for params in penalties {
        let punished = answer(SamplingParams { repeat_last_n: -1, ..params.clone() }).await;

        assert_ne!(plain, punished, "{params:?}");
        assert_eq!(plain, answer(SamplingParams { repeat_last_n: 0, ..params }).await);
    }
}

#[tokio::test]
async fn dry_breaks_repetition_and_each_of_its_parameters_counts() {
    let plain = endless(greedy()).await;
    let dry = SamplingParams { dry_multiplier: 5.0, ..greedy() };

    let punished = endless(dry.clone()).await;

    assert_ne!(plain, punished);
    assert_eq!(plain, endless(SamplingParams { dry_allowed_length: 1000, ..dry.clone() }).await);
    assert_eq!(plain, endless(SamplingParams { dry_penalty_last_n: 0, ..dry.clone() }).await);
    assert_eq!(plain, endless(SamplingParams { dry_multiplier: 1e-6, dry_base: 1.0, ..dry.clone() }).await);
    let breakers = vec![" no".to_owned()];
    assert_eq!(plain, endless(SamplingParams { dry_sequence_breakers: breakers, ..dry }).await);
}

#[tokio::test]
async fn a_short_list_of_candidates_changes_no_choice() {
    let narrow = SamplingParams { top_k: 40, top_p: 0.95, min_p: 0.02, temperature: 1.0, ..wild() };
    let biased = SamplingParams {
        logit_bias: [("28".to_owned(), 4.0), ("30".to_owned(), -100.0)].into(),
        ..narrow.clone()
    };
    let penalized = SamplingParams { repeat_penalty: 1.3, frequency_penalty: 0.4, ..biased.clone() };
    for params in [narrow, biased, penalized] {
        for seed in 1..6 {
            let params = SamplingParams { seed, ..params.clone() };
            // Cuts nothing off, but looks at every token.
            let whole = SamplingParams { top_n_sigma: 100.0, ..params.clone() };
            assert_eq!(answer(params).await, answer(whole).await, "seed {seed}");
        }
    }
}
