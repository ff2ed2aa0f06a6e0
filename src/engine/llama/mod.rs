//! llama.cpp: loading a model, its vocabulary, its decoder. The only place that names llama_cpp_2.

mod advice;
mod cells;
mod chooser;
mod convert;
mod decoder;
mod disk;
mod file;
mod info;
mod kv_cache;
mod memory;
mod pieces;
mod resident;
mod sampler;
mod sequence;
mod shortlist;
mod sizes;
mod store;
mod trail;
#[cfg(feature = "dynamic-backends")]
mod variants;
mod vocabulary;
mod weights;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};
use tokio::sync::watch;

pub use convert::{Conversion, ConvertError, Quantization};
pub(super) use file::find;
pub use info::ModelInfo;
pub use kv_cache::KvCache;

use self::decoder::Decoder;
use self::disk::Disk;
use self::memory::Memory;
use self::sizes::Plan;
use self::store::Store;
use self::vocabulary::Vocabulary;
use super::prompt::{ChatTemplate, PromptBuilder};
use super::queue::Queue;
use super::{EngineOptions, EngineState, Model, worker};
use crate::config::LlmConfig;

/// Loads the model and runs requests until the queue stops. An error is a sentence.
pub(super) fn run(
    config: &LlmConfig,
    options: &EngineOptions,
    file: &Path,
    queue: &Arc<Queue>,
    state: &watch::Sender<EngineState>,
) -> Result<(), String> {
    let backend = backend()?;
    let Some(llama) = load(backend, config, file, queue, state)? else { return Ok(()) };
    let llama = Arc::new(llama);
    let plan = Plan::new(config, &llama);
    let context = llama.new_context(backend, plan.context_params(config)).map_err(|_| {
        format!(
            "llama.cpp could not make a context of {} tokens for {}: choose a smaller [default.llm] kv_tokens or n_ctx, or a \
             model that leaves more memory free.",
            plan.capacity,
            file.display()
        )
    })?;
    let model = Arc::new(describe(&llama, file, plan.n_ctx, &options.system_prompt)?);
    let store = Store::new(mebibytes(config.kv_ram_mib), disk(config, &plan, options, file));
    let rules = plan.rules(&llama);
    // A model that cannot forget would have to read all of a conversation again whenever something else comes.
    let between_turns = if rules.whole { Vec::new() } else { model.prompts.between_turns() };
    let memory = Memory::new(plan.cells(context), rules, store);
    let mut decoder = Decoder::new(&llama, memory, plan.sizes(config), between_turns);
    tracing::info!(model = model.name, n_ctx = model.n_ctx, "the model is ready");
    advice::give(file, config);
    state.send_replace(EngineState::Ready(model));
    worker::run(queue, &mut decoder, plan.limits(config));
    Ok(())
}

/// The folder of saved conversations; none if it is turned off, or cannot be used.
fn disk(config: &LlmConfig, plan: &Plan, options: &EngineOptions, file: &Path) -> Option<Disk> {
    let dir = options.kv_dir.clone().filter(|_| config.kv_disk_mib > 0 && config.kv_ram_mib > 0)?;
    let opened = file::fingerprint(file)
        .map(|file| {
            format!("{file} {:?} {:?} {:?} {BUILD}", config.cache_type_k, config.cache_type_v, plan.flash)
        })
        .and_then(|fingerprint| Disk::open(dir, mebibytes(config.kv_disk_mib), fingerprint));
    opened.inspect_err(|error| tracing::warn!(%error, "conversations are not saved over a restart")).ok()
}

/// What a saved state depends on beside the model: the version of this code.
const BUILD: &str = env!("CARGO_PKG_VERSION");

fn mebibytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}

/// llama.cpp's process-wide state. It can be initialized only once in a process and so is never given up.
fn backend() -> Result<&'static LlamaBackend, String> {
    static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    let backend = BACKEND.get_or_init(|| {
        send_logs_to_tracing(LogOptions::default());
        #[cfg(feature = "dynamic-backends")]
        variants::load()?;
        LlamaBackend::init().map_err(|error| format!("llama.cpp did not start: {error}."))
    });
    backend.as_ref().map_err(Clone::clone)
}

/// Reads the weights, reporting how far it is; none if the queue stopped meanwhile.
fn load(
    backend: &LlamaBackend,
    config: &LlmConfig,
    file: &Path,
    queue: &Arc<Queue>,
    state: &watch::Sender<EngineState>,
) -> Result<Option<LlamaModel>, String> {
    let report = {
        let (queue, state) = (Arc::clone(queue), state.clone());
        move |progress: f32| {
            let percent = (progress.clamp(0.0, 1.0) * 100.0) as u8;
            state.send_if_modified(|state| match state {
                EngineState::Loading { percent: before } => std::mem::replace(before, percent) != percent,
                _ => false,
            });
            !queue.is_stopping()
        }
    };
    let params = LlamaModelParams::default()
        .with_n_gpu_layers(config.n_gpu_layers)
        .with_use_mmap(config.use_mmap)
        .with_use_mlock(config.use_mlock)
        .with_progress_callback(report);
    match LlamaModel::load_from_file(backend, file, &params) {
        Ok(model) => Ok(Some(model)),
        Err(_) if queue.is_stopping() => Ok(None),
        Err(_) => Err(format!(
            "{} could not be loaded: the file is incomplete, of a kind that this llama.cpp does not know, or too big for the \
             memory. The lines of llama.cpp in the log say which; get the file again or choose another in [default.llm] model.",
            file.display()
        )),
    }
}

fn describe(llama: &Arc<LlamaModel>, file: &Path, n_ctx: u32, system_prompt: &str) -> Result<Model, String> {
    let meta = |key: &str| llama.meta_val_str(key).ok().filter(|value| !value.trim().is_empty());
    let architecture = meta("general.architecture").unwrap_or_default();
    if matches!(meta("tokenizer.ggml.model").as_deref(), None | Some("none" | "no_vocab"))
        || ["t5", "bert", "clip"].iter().any(|kind| architecture.contains(kind))
    {
        return Err(format!(
            "{} is a model of the kind \"{architecture}\", which cannot chat; choose a chat model in [default.llm] model.",
            file.display()
        ));
    }
    let vocabulary = Vocabulary::new(Arc::clone(llama))?;
    let (bos, eos) = vocabulary.frame_texts();
    let template = ChatTemplate::new(meta("tokenizer.chat_template").as_deref(), &bos, &eos);
    let prompts = PromptBuilder { tokenizer: Box::new(vocabulary), template, n_ctx: n_ctx as usize };
    Ok(Model {
        name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        architecture,
        n_ctx,
        n_ctx_train: llama.n_ctx_train(),
        n_vocab: llama.n_vocab().unsigned_abs(),
        size: llama.size(),
        shared: prompts.shared(system_prompt),
        prompts,
    })
}
