//! llama.cpp: loading a model, its vocabulary, its decoder. The only place that names llama_cpp_2.

mod advice;
mod convert;
mod decoder;
mod file;
mod info;
mod memory;
mod sampler;
#[cfg(feature = "dynamic-backends")]
mod variants;
mod vocabulary;
mod weights;

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};
use tokio::sync::watch;

pub use convert::{Conversion, ConvertError, Quantization};
pub(super) use file::find;
pub use info::ModelInfo;
pub use memory::KvCache;

use self::decoder::Decoder;
use self::vocabulary::Vocabulary;
use super::prompt::{ChatTemplate, PromptBuilder};
use super::queue::Queue;
use super::{EngineState, Model, worker};
use crate::config::{CacheType, FlashAttention, LlmConfig};

/// Context of a model that was trained with more, unless the operator wants more.
const DEFAULT_N_CTX: u32 = 8192;

/// Prompt tokens between two looks at who cancelled, on a CPU: a piece of 64 costs nothing there. On a GPU it is `n_batch`.
const CPU_PIECE: u32 = 64;

/// Loads the model and runs requests until the queue stops. An error is a sentence.
pub(super) fn run(
    config: &LlmConfig,
    file: &Path,
    queue: &Arc<Queue>,
    state: &watch::Sender<EngineState>,
) -> Result<(), String> {
    let backend = backend()?;
    let Some(llama) = load(backend, config, file, queue, state)? else { return Ok(()) };
    let llama = Arc::new(llama);
    let n_ctx = context_length(config, &llama);
    let context = llama.new_context(backend, context_params(config, n_ctx)).map_err(|_| {
        format!(
            "llama.cpp could not make a context of {n_ctx} tokens for {}: choose a smaller [default.llm] n_ctx, or a model \
             that leaves more memory free.",
            file.display()
        )
    })?;
    let n_ctx = context.n_ctx().min(n_ctx);
    let model = Arc::new(describe(&llama, file, n_ctx)?);
    tracing::info!(model = model.name, n_ctx = model.n_ctx, "the model is ready");
    advice::give(file, config);
    state.send_replace(EngineState::Ready(model));
    let piece = if config.n_gpu_layers > 0 { config.n_batch } else { CPU_PIECE.min(config.n_batch) };
    worker::run(queue, &mut Decoder::new(&llama, context, n_ctx as usize, piece as usize));
    Ok(())
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

fn context_length(config: &LlmConfig, model: &LlamaModel) -> u32 {
    let trained = model.n_ctx_train();
    if config.n_ctx > trained {
        tracing::warn!(
            n_ctx = config.n_ctx,
            trained,
            "n_ctx is larger than the model was trained with: long replies may lose their sense"
        );
    }
    if config.n_ctx == 0 { trained.clamp(1, DEFAULT_N_CTX) } else { config.n_ctx }
}

fn context_params(config: &LlmConfig, n_ctx: u32) -> LlamaContextParams {
    let cores = num_cpus::get_physical().min(num_cpus::get()).max(1);
    let threads = if config.n_threads == 0 { i32::try_from(cores) } else { i32::try_from(config.n_threads) };
    let threads = threads.unwrap_or(1);
    // The values of llama.cpp's `enum llama_flash_attn_type`, which the safe crate does not name.
    let flash_attention = match config.flash_attn {
        FlashAttention::Auto => -1,
        FlashAttention::Off => 0,
        FlashAttention::On => 1,
    };
    LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(n_ctx))
        .with_n_batch(config.n_batch)
        .with_n_ubatch(config.n_ubatch.min(config.n_batch))
        .with_n_seq_max(1)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_flash_attention_policy(flash_attention)
        .with_type_k(cache_type(config.cache_type_k))
        .with_type_v(cache_type(config.cache_type_v))
}

fn cache_type(kind: CacheType) -> KvCacheType {
    match kind {
        CacheType::F32 => KvCacheType::F32,
        CacheType::F16 => KvCacheType::F16,
        CacheType::Bf16 => KvCacheType::BF16,
        CacheType::Q8_0 => KvCacheType::Q8_0,
        CacheType::Q4_0 => KvCacheType::Q4_0,
    }
}

fn describe(llama: &Arc<LlamaModel>, file: &Path, n_ctx: u32) -> Result<Model, String> {
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
    Ok(Model {
        name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        architecture,
        n_ctx,
        n_ctx_train: llama.n_ctx_train(),
        n_vocab: llama.n_vocab().unsigned_abs(),
        size: llama.size(),
        prompts: PromptBuilder { tokenizer: Box::new(vocabulary), template, n_ctx: n_ctx as usize },
    })
}
