use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A key out of its range, and the sentence.
pub(super) type Wrong = (&'static str, String);

/// The sentence for a number that must lie in a range.
pub(super) fn within<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    min: T,
    max: T,
) -> Result<(), Wrong> {
    if value < min || value > max {
        return Err((key, format!("must be from {min} to {max}, not {value}")));
    }
    Ok(())
}

/// Who produces the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// llama.cpp, inside this process.
    Llama,
    /// A scripted model that says back what it was told, under the same queue; needs no weights.
    Echo,
}

/// Whether llama.cpp uses flash attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlashAttention {
    /// Where the device supports it and it is faster.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Type of the numbers in the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // ggml's own names
pub enum CacheType {
    F32,
    F16,
    Bf16,
    Q8_0,
    Q4_0,
}

impl CacheType {
    /// As it stands in `Rocket.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }
}

/// `[default.llm]`: loading the model, and the queue before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LlmConfig {
    /// Who produces the tokens.
    pub backend: Backend,
    /// The GGUF file; empty = the only one in `models/`.
    pub model: PathBuf,
    /// Context of one conversation, in tokens; 0 = what the model was trained with, at most 8192.
    pub n_ctx: u32,
    /// Requests that are answered at the same time.
    pub n_parallel: u32,
    /// Tokens of all conversations in the model's memory; 0 = `n_ctx` × `n_parallel`, at most 16384, at least `n_ctx`. With
    /// less than `n_ctx` × `n_parallel` they share it, which is somewhat slower on a CPU.
    pub kv_tokens: u32,
    /// Prompt tokens that are read in one step; 0 = 32 to 256 on a CPU, 512 on a GPU.
    pub n_batch: u32,
    /// Of these, tokens that are computed at once; 0 = all.
    pub n_ubatch: u32,
    /// Longest time that a running reply stands still while others' prompts are read, in milliseconds.
    pub max_stall_ms: u64,
    /// Make every reply independent of what else runs and of what is still in memory, one request at a time.
    pub deterministic: bool,
    /// Memory for conversations that left the model's own, in MiB; 0 = none.
    pub kv_ram_mib: u64,
    /// Disk space for conversations, below `data_dir`, in MiB; 0 = none.
    pub kv_disk_mib: u64,
    /// Threads that compute a reply; 0 = one for each physical core.
    pub n_threads: u32,
    /// Threads that read a prompt; 0 = as many as `n_threads`.
    pub n_threads_batch: u32,
    /// Layers on the GPU, where a GPU backend is built in.
    pub n_gpu_layers: u32,
    /// Flash attention.
    pub flash_attn: FlashAttention,
    /// Type of the cached keys.
    pub cache_type_k: CacheType,
    /// Type of the cached values.
    pub cache_type_v: CacheType,
    /// Map the file instead of reading it.
    pub use_mmap: bool,
    /// Keep the model from being swapped out.
    pub use_mlock: bool,
    /// Requests that may wait or run; one more is answered 503.
    pub queue_size: usize,
    /// Requests of one person that may wait or run; one more is answered 429.
    pub max_per_user: usize,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            backend: Backend::Llama,
            model: PathBuf::new(),
            n_ctx: 0,
            n_parallel: 8,
            kv_tokens: 0,
            n_batch: 0,
            n_ubatch: 0,
            max_stall_ms: 500,
            deterministic: false,
            kv_ram_mib: 1024,
            kv_disk_mib: 2048,
            n_threads: 0,
            n_threads_batch: 0,
            n_gpu_layers: 0,
            flash_attn: FlashAttention::Auto,
            cache_type_k: CacheType::F16,
            cache_type_v: CacheType::F16,
            use_mmap: true,
            use_mlock: false,
            queue_size: 64,
            max_per_user: 4,
        }
    }
}

impl LlmConfig {
    /// Most requests at the same time: llama.cpp knows 256 sequences, and each request may leave one behind.
    pub const MAX_PARALLEL: u32 = 64;

    pub(super) fn check(&self) -> Result<(), Wrong> {
        if self.n_ctx != 0 {
            within("n_ctx", self.n_ctx, 256, 1_048_576)?;
        }
        within("n_parallel", self.n_parallel, 1, Self::MAX_PARALLEL)?;
        if self.kv_tokens != 0 {
            within("kv_tokens", self.kv_tokens, self.n_ctx.max(256), 1 << 24)?;
        }
        if self.n_batch != 0 {
            within("n_batch", self.n_batch, 32, 16_384)?;
        }
        if self.n_ubatch != 0 {
            within("n_ubatch", self.n_ubatch, 32, if self.n_batch == 0 { 16_384 } else { self.n_batch })?;
        }
        within("max_stall_ms", self.max_stall_ms, 10, 60_000)?;
        within("kv_ram_mib", self.kv_ram_mib, 0, 1 << 24)?;
        within("kv_disk_mib", self.kv_disk_mib, 0, 1 << 24)?;
        within("n_threads", self.n_threads, 0, 512)?;
        within("n_threads_batch", self.n_threads_batch, 0, 512)?;
        within("n_gpu_layers", self.n_gpu_layers, 0, 10_000)?;
        if self.flash_attn == FlashAttention::Off
            && matches!(self.cache_type_v, CacheType::Q8_0 | CacheType::Q4_0)
        {
            return Err((
                "cache_type_v",
                "can be quantized only with flash_attn = \"auto\" or \"on\"".into(),
            ));
        }
        within("queue_size", self.queue_size, 1, 10_000)?;
        within("max_per_user", self.max_per_user, 1, self.queue_size)
    }
}

/// `[default.chat]`: the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChatConfig {
    /// What pages are written in: `texts/<language>.toml`.
    pub language: String,
    /// The first message of every prompt; empty = none.
    pub system_prompt: String,
    /// Shown in a blank conversation; never stored, never sent to the model.
    pub greeting: String,
    /// Longest message, in characters.
    pub max_message_chars: usize,
    /// Longest title, in characters.
    pub max_title_chars: usize,
    /// Largest file of conversations that a person may bring along, in MiB.
    pub max_import_mib: u32,
    /// Most that the conversations of one person may take, in MiB; 0 = no limit.
    pub max_storage_mib: u32,
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self {
            language: "en".into(),
            system_prompt: "You are a helpful assistant.".into(),
            greeting: "Hello! What would you like to talk about?".into(),
            max_message_chars: 32_000,
            max_title_chars: 80,
            max_import_mib: 256,
            max_storage_mib: 2048,
        }
    }
}

impl ChatConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if !is_language(&self.language) {
            let why =
                format!("must be the name of a language such as en, de or pt-BR, not \"{}\"", self.language);
            return Err(("language", why));
        }
        within("max_message_chars", self.max_message_chars, 1, 1_000_000)?;
        within("max_import_mib", self.max_import_mib, 1, 65_536)?;
        within("max_storage_mib", self.max_storage_mib, 0, 1 << 24)?;
        within("max_title_chars", self.max_title_chars, 10, 500)
    }
}

/// Two or three letters, or these and a country: a name of a file that leads nowhere else.
fn is_language(name: &str) -> bool {
    let (language, country) = name.split_once('-').unwrap_or((name, "XX"));
    let short = |text: &str, from: usize, to: usize| (from..=to).contains(&text.len());
    let lower = short(language, 2, 3) && language.bytes().all(|byte| byte.is_ascii_lowercase());
    lower && short(country, 2, 2) && country.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anyone who reaches the page.
    Open,
    /// Nobody, once the first account exists.
    Closed,
}

/// `[default.accounts]`: people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountsConfig {
    /// Who may make an account; the first account can always be made.
    pub registration: Registration,
    /// Shortest password, in characters.
    pub min_password_chars: usize,
    /// Days that a browser stays signed in, however much it is used.
    pub sign_in_days: u32,
    /// Days that a browser stays signed in without being used.
    pub sign_in_idle_days: u32,
    /// Failed sign-ins a minute from one address before more are refused; five times as many an hour for one name.
    pub failed_sign_ins_per_minute: u32,
    /// Accounts that one address may make in an hour; the first account can always be made.
    pub registrations_per_hour: u32,
    /// Memory of Argon2id, with which passwords are hashed, in KiB.
    pub argon2_memory_kib: u32,
    /// Passes of Argon2id over its memory.
    pub argon2_iterations: u32,
    /// Send the cookie over HTTPS only; set it when a reverse proxy ends TLS.
    pub secure_cookie: bool,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            min_password_chars: 10,
            sign_in_days: 90,
            sign_in_idle_days: 14,
            failed_sign_ins_per_minute: 10,
            registrations_per_hour: 20,
            argon2_memory_kib: 19_456,
            argon2_iterations: 2,
            secure_cookie: false,
        }
    }
}

impl AccountsConfig {
    /// Longest password, in characters: bounds the work of hashing.
    pub const MAX_PASSWORD_CHARS: usize = 256;

    pub(super) fn check(&self) -> Result<(), Wrong> {
        within("min_password_chars", self.min_password_chars, 8, Self::MAX_PASSWORD_CHARS)?;
        within("sign_in_days", self.sign_in_days, 1, 3_650)?;
        within("sign_in_idle_days", self.sign_in_idle_days, 1, 3_650)?;
        within("failed_sign_ins_per_minute", self.failed_sign_ins_per_minute, 1, 10_000)?;
        within("registrations_per_hour", self.registrations_per_hour, 1, 10_000)?;
        within("argon2_memory_kib", self.argon2_memory_kib, 19_456, 1_048_576)?;
        within("argon2_iterations", self.argon2_iterations, 2, 100)
    }
}
