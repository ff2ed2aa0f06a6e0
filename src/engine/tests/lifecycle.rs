use std::io::Write;

use super::*;
use crate::domain::FinishReason;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_missing_model_is_refused_at_once() {
    let error = Engine::start(
        LlmConfig { model: "nowhere.gguf".into(), ..LlmConfig::default() },
        EngineOptions::default(),
    )
    .err()
    .unwrap();

    assert!(matches!(error, EngineError::Failed(sentence) if sentence.contains("nowhere.gguf")));
}

#[tokio::test]
async fn f08_a_truncated_model_fails_with_a_sentence_that_names_it() {
    let whole = std::fs::read(model_file()).unwrap();
    for length in [100, 1_000_000, whole.len() / 2] {
        let mut file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
        file.write_all(&whole[..length]).unwrap();
        let engine = Engine::start(
            LlmConfig { model: file.path().into(), ..LlmConfig::default() },
            EngineOptions::default(),
        )
        .unwrap();

        assert!(engine.stopped(PATIENCE).await);

        let name = file.path().display().to_string();
        assert!(matches!(engine.state(), EngineState::Failed(sentence) if sentence.contains(&name)));
        assert!(matches!(engine.reserve(UserId::new()), Err(EngineError::Failed(_))));
    }
}

#[tokio::test]
async fn shutting_down_ends_what_runs_and_what_waits_and_refuses_the_rest() {
    let engine = echo(LlmConfig { n_parallel: 1, ..echo_config() }).await;
    let mut runs =
        send(&engine, UserId::new(), r#"{"pieces": ["a"], "delay_ms": 60000}"#, SamplingParams::default());
    while !matches!(runs.next().await, Event::Prefill { .. }) {}
    let waits = send(&engine, UserId::new(), "b", SamplingParams::default());

    engine.shutdown();

    assert!(engine.stopped(PATIENCE).await);
    for generation in [runs, waits] {
        assert_eq!(read(generation).await.1.unwrap().reason, FinishReason::Cancelled);
    }
    assert!(matches!(engine.reserve(UserId::new()), Err(EngineError::Stopping)));
}

#[tokio::test]
async fn shutting_down_while_the_model_loads_stops_the_loading() {
    let engine = Engine::start(real_config(), EngineOptions::default()).unwrap();

    engine.shutdown();

    assert!(engine.stopped(PATIENCE).await);
    assert!(matches!(engine.state(), EngineState::Stopped));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_thread() {
    let engine = echo(echo_config()).await;
    let mut state = engine.watch();

    drop(engine);

    assert!(state.wait_for(|state| matches!(state, EngineState::Stopped)).await.is_ok());
}
