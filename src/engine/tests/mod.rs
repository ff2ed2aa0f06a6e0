//! The room as its users see it: with the scripted model, and with a real one.

mod disorder;
mod forms;
mod kinds;
mod lifecycle;
mod memory;
mod queueing;
mod real;
mod sampling;
mod shape;
mod tiny;
mod together;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::*;
use crate::domain::{PromptMessage, Role, SamplingParams};

/// The model of the tests: the default one, of which they know what it does.
pub(super) fn model_file() -> PathBuf {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/default/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(file.is_file(), "{} is missing: ./test fetches it", file.display());
    file
}

fn real_config() -> LlmConfig {
    // One thread: several engines compute at once here, and llama.cpp's threads wait for each other by spinning.
    // A long pause is allowed, so that a busy machine cuts prompts as an idle one does.
    LlmConfig { model: model_file(), n_ctx: 2048, n_threads: 1, max_stall_ms: 60_000, ..LlmConfig::default() }
}

fn echo_config() -> LlmConfig {
    LlmConfig { backend: Backend::Echo, ..LlmConfig::default() }
}

/// One real engine for all tests of a process.
async fn real() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine =
        ENGINE.get_or_init(|| Engine::start(real_config(), EngineOptions::default()).unwrap()).clone();
    ready(&engine).await;
    engine
}

async fn echo(config: LlmConfig) -> Engine {
    let engine = Engine::start(config, EngineOptions::default()).unwrap();
    ready(&engine).await;
    engine
}

async fn ready(engine: &Engine) -> Arc<Model> {
    let mut state = engine.watch();
    let arrived =
        state.wait_for(|state| !matches!(state, EngineState::Loading { .. })).await.unwrap().clone();
    match arrived {
        EngineState::Ready(model) => model,
        other => panic!("the engine is {other:?}"),
    }
}

fn says(role: Role, content: &str) -> PromptMessage {
    PromptMessage { role, content: content.into(), token_ids: None }
}

/// Sends one message.
fn send(engine: &Engine, user: UserId, message: &str, params: SamplingParams) -> Generation {
    let prompt = engine.model().unwrap().prepare(&[says(Role::User, message)], params.max_tokens).unwrap();
    engine.reserve(user).unwrap().submit(prompt, params).unwrap()
}

/// The whole reply.
async fn read(mut generation: Generation) -> (String, Result<Finished, String>) {
    let mut reply = String::new();
    loop {
        match generation.next().await {
            Event::Text { text, .. } => reply += &text,
            Event::Finished(finished) => return (reply, Ok(finished)),
            Event::Failed(sentence) => return (reply, Err(sentence)),
            Event::Queued { .. } | Event::Prefill { .. } => {}
        }
    }
}
