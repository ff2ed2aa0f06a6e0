//! The room as its users see it: with the scripted model, and with a real one.

mod lifecycle;
mod queueing;
mod real;
mod sampling;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::*;
use crate::domain::{PromptMessage, Role, SamplingParams};

/// The model of the tests: `CHAT_MODEL_GGUF`, else the one in `models/`.
pub(super) fn model_file() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("CHAT_MODEL_GGUF").map(|file| folder.join(file));
    let only = || {
        let mut files: Vec<_> = std::fs::read_dir(folder.join("models")).ok()?.flatten().collect();
        files.retain(|file| file.path().extension().is_some_and(|extension| extension == "gguf"));
        files.first().map(|file| file.path())
    };
    named.or_else(only).filter(|file| file.is_file()).expect(
        "These tests need a real model: put a .gguf file into models/ or name one in CHAT_MODEL_GGUF.",
    )
}

fn real_config() -> LlmConfig {
    // One thread: several engines compute at once here, and llama.cpp's threads wait for each other by spinning.
    LlmConfig { model: model_file(), n_ctx: 2048, n_threads: 1, ..LlmConfig::default() }
}

fn echo_config() -> LlmConfig {
    LlmConfig { backend: Backend::Echo, ..LlmConfig::default() }
}

/// One real engine for all tests of a process.
async fn real() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Engine::start(real_config()).unwrap()).clone();
    ready(&engine).await;
    engine
}

async fn echo(config: LlmConfig) -> Engine {
    let engine = Engine::start(config).unwrap();
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
            Event::Text { text } => reply += &text,
            Event::Finished(finished) => return (reply, Ok(finished)),
            Event::Failed(sentence) => return (reply, Err(sentence)),
            Event::Queued { .. } | Event::Prefill { .. } => {}
        }
    }
}
