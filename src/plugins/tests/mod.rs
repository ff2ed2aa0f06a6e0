//! Plugins in folders of their own, driven through the public API.

mod breaker;
mod chain;
mod commands;
mod compile;
mod console;
mod draft;
mod fuzz;
mod host;
mod hostile;
mod json;
mod links;
mod llm;
mod manual;

mod reload;
mod rendered;
mod response;
mod settings;
mod stream;
mod title;
mod trace;
mod trial;

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::domain::{Mark, PromptMessage, Role, SamplingParams};

/// A plugins folder that goes away with the test.
struct Folder {
    dir: TempDir,
    config: PluginsConfig,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = PluginsConfig { dir: dir.path().to_owned(), ..PluginsConfig::default() };
        Self { dir, config }
    }

    fn with(self, file: &str, text: &str) -> Self {
        self.write(file, text);
        self
    }

    fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.dir.path().join(file)).unwrap();
    }

    fn open(&self) -> Plugins {
        Plugins::open(self.config.clone())
    }

    async fn set(&self) -> Arc<PluginSet> {
        self.open().current().await
    }
}

fn ctx() -> Context {
    Context {
        source: RequestSource::Web,
        kind: "chat",
        user: "Ada".into(),
        user_id: crate::domain::UserId::new(),
        conversation: Some(crate::domain::ConversationId::new()),
        model: "SmolLM2".into(),
        trace: Recorder::default(),
    }
}

fn said(role: Role, content: &str) -> PromptMessage {
    PromptMessage { role, content: content.into(), token_ids: None }
}

fn draft(messages: &[(Role, &str)]) -> Draft {
    let messages = messages.iter().map(|(role, content)| said(*role, content)).collect();
    Draft { messages, ..Draft::default() }
}

/// What a message becomes when the model is asked.
async fn rewritten(set: &PluginSet, text: &str) -> String {
    match set.on_message(&ctx(), text.into()).await.unwrap() {
        MessageOutcome { action: MessageAction::Continue(text), marks } if marks.is_empty() => text,
        other => panic!("{other:?}"),
    }
}

/// What a complete reply becomes, without a mark.
async fn responded(set: &PluginSet, text: &str) -> String {
    match set.on_response(&ctx(), text.into()).await.unwrap() {
        ResponseOutcome { action: ResponseAction::Keep(text), marks } if marks.is_empty() => text,
        other => panic!("{other:?}"),
    }
}

/// What a reply that comes in these pieces becomes, without a mark.
async fn streamed(set: &PluginSet, pieces: &[&str]) -> String {
    let mut stream = set.stream(&ctx());
    let mut said = String::new();
    for piece in pieces {
        said += &stream.push((*piece).to_owned()).await.unwrap().text;
    }
    said += &stream.finish().await.unwrap();
    assert_eq!(stream.marks(), vec![]);
    said
}

/// The only error in the list.
fn only_error(plugins: &Plugins) -> String {
    let errors: Vec<String> = plugins.list().into_iter().filter_map(|plugin| plugin.error).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap()
}
