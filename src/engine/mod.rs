//! The one queue and the model behind it.
//!
//! ```text
//! reserve() -> Place -> submit() -> Generation -> next() … Finished
//!                          |            ^
//!                       [Queue]     [Mailbox]         the async side
//! ------------------------- | ---------- | --------------------------
//!                      [Scheduler] -> [Slot] -> [ReplyText]   the thread "engine"
//!                           |
//!                       [Backend]: llama.cpp or the scripted echo
//! ```
//!
//! Invariants:
//! - One named OS thread owns the model's context. Nothing else computes, and nothing here blocks the async runtime.
//! - A place is held from [`Engine::reserve`] to the end of the reply and cannot leak; the queue is bounded.
//! - Only the chat template forms special tokens: what people, operators and the model wrote is text.
//! - Every number is checked before it crosses into llama.cpp, whose assertions end the process.
//! - llama_cpp_2 is imported in `llama` only; this room knows no web server, database or script.

mod backend;
mod echo;
mod environment;
mod error;
mod ffi;
mod generation;
mod grammar;
mod line;
mod llama;
mod logprobs;
mod mailbox;
mod model;
mod pace;
mod prompt;
mod queue;
mod reading;
mod reply;
mod slot;
mod stop;
mod task;
mod utf8;
mod worker;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use environment::settle_environment;
pub use error::EngineError;
pub use generation::{Generation, Place};
pub use grammar::Grammar;
pub use llama::{Conversion, ConvertError, KvCache, ModelInfo, Quantization};
pub use logprobs::{Likely, TokenLogprob};
pub use mailbox::{Event, Finished, Timings};
pub use model::Model;
pub use prompt::{Origin, Prompt, Segment};
pub use task::{Priority, Task};

use self::queue::Queue;
use self::worker::Limits;
use crate::config::{Backend, LlmConfig};
use crate::domain::{ConversationId, UserId};

/// The GGUF file that [`Engine::start`] would load: the configured one, or the only one in `models/`.
///
/// # Errors
/// [`EngineError::NoModel`] when there is none to choose, [`EngineError::Failed`] for one that cannot be used.
pub fn find_model(config: &LlmConfig) -> Result<PathBuf, EngineError> {
    llama::find(&config.model)
}

/// Deletes what the folder of saved conversations holds of a person.
///
/// # Errors
/// What the system says.
pub fn forget_user(kv_dir: &Path, user: UserId) -> io::Result<()> {
    match std::fs::remove_dir_all(kv_dir.join(user.to_string())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        ended => ended,
    }
}

/// What the engine is told beside its table of the configuration.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// The operator's system prompt: what every prompt under it begins with is computed once, for everybody.
    pub system_prompt: String,
    /// Folder for conversations that are to be warm after a restart; none = nowhere.
    pub kv_dir: Option<PathBuf>,
}

/// How far the engine is.
#[derive(Debug, Clone)]
pub enum EngineState {
    /// The model is being read.
    Loading {
        /// 0 to 100.
        percent: u8,
    },
    /// It answers.
    Ready(Arc<Model>),
    /// It cannot answer, and will not; a sentence.
    Failed(String),
    /// It was shut down and its thread is gone.
    Stopped,
}

/// The handle to the engine. It may be cloned freely; dropping the last one shuts the engine down.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    queue: Arc<Queue>,
    state: watch::Receiver<EngineState>,
}

impl Engine {
    /// Starts the engine's thread and returns at once; the model loads behind it, see [`Engine::watch`].
    ///
    /// # Errors
    /// [`EngineError::Failed`] with one sentence if there is no model file or it is not GGUF.
    pub fn start(config: LlmConfig, options: EngineOptions) -> Result<Self, EngineError> {
        let queue = Queue::new(config.queue_size, config.max_per_user, parallel(&config));
        let (sender, state) = watch::channel(EngineState::Loading { percent: 0 });
        let file = match config.backend {
            Backend::Llama => Some(find_model(&config)?),
            Backend::Echo => None,
        };
        let thread = std::thread::Builder::new().name("engine".into());
        let started = thread.spawn({
            let queue = Arc::clone(&queue);
            move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| match file {
                    Some(file) => llama::run(&config, &options, &file, &queue, &sender),
                    None => run_echo(&config, &queue, &sender),
                }));
                drop(queue.close());
                let broke = || Err("The engine broke down; restart the server and see its log.".to_owned());
                sender.send_replace(match outcome.unwrap_or_else(|_| broke()) {
                    Ok(()) => EngineState::Stopped,
                    Err(sentence) => EngineState::Failed(sentence),
                });
            }
        });
        started
            .map_err(|error| EngineError::Failed(format!("The engine's thread did not start: {error}.")))?;
        Ok(Self { handle: Arc::new(Handle { queue, state }) })
    }

    /// How far it is now.
    pub fn state(&self) -> EngineState {
        self.handle.state.borrow().clone()
    }

    /// Follows how far it is.
    pub fn watch(&self) -> watch::Receiver<EngineState> {
        self.handle.state.clone()
    }

    /// The model.
    ///
    /// # Errors
    /// [`EngineError::NotReady`], [`EngineError::Failed`], [`EngineError::Stopping`].
    pub fn model(&self) -> Result<Arc<Model>, EngineError> {
        match &*self.handle.state.borrow() {
            EngineState::Loading { percent } => Err(EngineError::NotReady { percent: *percent }),
            EngineState::Ready(model) => Ok(Arc::clone(model)),
            EngineState::Failed(sentence) => Err(EngineError::Failed(sentence.clone())),
            EngineState::Stopped => Err(EngineError::Stopping),
        }
    }

    /// Takes a place in the queue, before anything is written. Dropping it frees the place.
    ///
    /// # Errors
    /// [`EngineError::UserLimit`], [`EngineError::QueueFull`], and those of [`Engine::model`].
    pub fn reserve(&self, user: UserId) -> Result<Place, EngineError> {
        let model = self.model()?;
        let ticket = self.handle.queue.reserve(user)?;
        Ok(Place { ticket, model })
    }

    /// Takes a place for work that a place which is held waits for. No limit refuses it: whoever waited for a place while
    /// holding one could wait for ever. The first place bounds it, so hold one such place beside it at most.
    ///
    /// # Errors
    /// Those of [`Engine::model`].
    pub fn reserve_beside(&self, user: UserId) -> Result<Place, EngineError> {
        let model = self.model()?;
        let ticket = self.handle.queue.reserve_beside(user)?;
        Ok(Place { ticket, model })
    }

    /// Takes a place for work of [`Priority::Background`], which no limit counts: it keeps nobody out. Bound how many there are.
    ///
    /// # Errors
    /// Those of [`Engine::model`].
    pub fn reserve_background(&self, user: UserId) -> Result<Place, EngineError> {
        let model = self.model()?;
        let ticket = self.handle.queue.reserve_background(user)?;
        Ok(Place { ticket, model })
    }

    /// Drops what memory and disk hold of a conversation that was deleted. Takes effect within one step.
    pub fn forget(&self, conversation: ConversationId) {
        self.handle.queue.forget(conversation);
    }

    /// Refuses everything from now on and cancels what waits or runs. Returns at once, see [`Engine::stopped`].
    pub fn shutdown(&self) {
        self.handle.queue.stop();
    }

    /// Waits until the engine's thread is done with everything after [`Engine::shutdown`], at most `patience`; whether it is.
    pub async fn stopped(&self, patience: Duration) -> bool {
        let mut state = self.watch();
        let over = |state: &EngineState| matches!(state, EngineState::Stopped | EngineState::Failed(_));
        tokio::time::timeout(patience, state.wait_for(over)).await.is_ok()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.stop();
    }
}

fn run_echo(config: &LlmConfig, queue: &Queue, state: &watch::Sender<EngineState>) -> Result<(), String> {
    let model = echo::model(config)?;
    let n_ctx = model.n_ctx as usize;
    state.send_replace(EngineState::Ready(Arc::new(model)));
    let parallel = parallel(config);
    let limits = Limits { parallel, n_ctx, tokens: parallel * n_ctx, max_stall: max_stall(config) };
    worker::run(queue, &mut echo::Echo { n_ctx }, limits);
    Ok(())
}

/// Requests that run at the same time.
fn parallel(config: &LlmConfig) -> usize {
    if config.deterministic { 1 } else { config.n_parallel as usize }
}

fn max_stall(config: &LlmConfig) -> Duration {
    Duration::from_millis(config.max_stall_ms)
}

#[cfg(test)]
mod tests;
