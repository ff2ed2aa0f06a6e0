use std::num::NonZeroU32;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::model::LlamaModel;

use super::cells::Cells;
use super::decoder::Sizes;
use super::pieces::{Pieces, REST};
use super::resident::Rules;
use crate::config::{CacheType, FlashAttention, LlmConfig};
use crate::engine::worker::Limits;
use crate::engine::{max_stall, parallel};

/// Context of a model that was trained with more, unless the operator wants more.
const DEFAULT_N_CTX: u32 = 8192;

/// Tokens of all conversations, unless the operator wants more: enough for a handful of long ones, or many short ones.
const DEFAULT_KV_TOKENS: u32 = 16_384;

/// The longest conversation for which a CPU does without flash attention: a piece has one score for each token and head, and they
/// are kept in memory.
const LONGEST_PLAIN: u32 = 8192;

/// What of a model decides on sizes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Tokens of context that it was trained with.
    pub(super) n_ctx_train: u32,
    pub(super) parameters: u64,
    pub(super) n_layer: u32,
    /// Numbers for each token that a layer is given.
    pub(super) n_embd: u32,
}

/// How large everything is: from the configuration, and where it leaves the choice, from the model and the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// Tokens of one conversation.
    pub(super) n_ctx: u32,
    /// Tokens of all conversations in the model's memory.
    pub(super) capacity: u32,
    /// Whether the memory is large enough to give every request a part of its own.
    pub(super) separate: bool,
    /// Whether attention is computed tile by tile.
    pub(super) flash: FlashAttention,
    parallel: usize,
    pieces: Pieces,
    n_ubatch: u32,
}

impl Plan {
    pub(super) fn new(config: &LlmConfig, model: &LlamaModel) -> Self {
        let shape = Shape {
            n_ctx_train: model.n_ctx_train(),
            parameters: model.n_params(),
            n_layer: model.n_layer(),
            n_embd: model.n_embd().unsigned_abs(),
        };
        if config.n_ctx > shape.n_ctx_train {
            tracing::warn!(
                n_ctx = config.n_ctx,
                trained = shape.n_ctx_train,
                "n_ctx is larger than the model was trained with: long replies may lose their sense"
            );
        }
        Self::for_model(config, shape)
    }

    pub(super) fn for_model(config: &LlmConfig, shape: Shape) -> Self {
        let parallel = parallel(config);
        let n_ctx = match config.n_ctx {
            0 => shape.n_ctx_train.clamp(1, DEFAULT_N_CTX),
            wanted => wanted,
        };
        // One at a time where nothing else may have an influence: its cells then lie in the order of its tokens.
        let all = n_ctx.saturating_mul(u32::try_from(parallel).unwrap_or(u32::MAX));
        let wanted = if config.kv_tokens == 0 { DEFAULT_KV_TOKENS } else { config.kv_tokens };
        let capacity = wanted.max(n_ctx).min(all);
        let separate = capacity == all;
        let flash = flash_attention(config, n_ctx, separate);
        let pieces = match flash {
            _ if config.n_batch > 0 => Pieces::alike(config.n_batch),
            _ if config.n_gpu_layers > 0 => Pieces::for_a_gpu(),
            FlashAttention::Off => Pieces::with_plain_attention(shape, threads(config).1),
            FlashAttention::On | FlashAttention::Auto => {
                Pieces::with_flash_attention(shape, threads(config).1)
            }
        };
        let pieces = if pieces.longest() < config.n_ubatch { Pieces::alike(config.n_ubatch) } else { pieces };
        let n_ubatch = if config.n_ubatch == 0 { pieces.longest() + REST } else { config.n_ubatch };
        Self { n_ctx, capacity, separate, flash, parallel, pieces, n_ubatch }
    }

    pub(super) fn limits(&self, config: &LlmConfig) -> Limits {
        Limits {
            parallel: self.parallel,
            n_ctx: self.n_ctx as usize,
            tokens: self.capacity as usize,
            max_stall: max_stall(config),
        }
    }

    pub(super) fn rules(&self, model: &LlamaModel) -> Rules {
        Rules {
            // Where memory is shared, as many sequences may wait for their next turn as may run.
            sequences: if self.separate { self.parallel } else { 2 * self.parallel },
            idle: self.parallel,
            capacity: self.capacity as usize,
            whole: model.is_recurrent() || model.is_hybrid(),
        }
    }

    pub(super) fn sizes(&self, config: &LlmConfig) -> Sizes {
        Sizes {
            pieces: self.pieces,
            short: self.short() as usize,
            parallel: self.parallel,
            n_ctx: self.n_ctx as usize,
            reread_replies: config.deterministic,
        }
    }

    fn short(&self) -> u32 {
        self.pieces.longest() + REST
    }

    fn sequences(&self) -> usize {
        if self.separate { self.parallel } else { 2 * self.parallel + 1 }
    }

    /// A context of this plan; what of it is whose.
    pub(super) fn cells<'model>(&self, context: LlamaContext<'model>) -> Cells<'model> {
        if self.separate { Cells::separate(context) } else { Cells::shared(context, self.sequences() - 1) }
    }

    pub(super) fn context_params(&self, config: &LlmConfig) -> LlamaContextParams {
        let (n_threads, n_threads_batch) = threads(config);
        let number = |threads: u32| i32::try_from(threads).unwrap_or(i32::MAX);
        // The values of llama.cpp's `enum llama_flash_attn_type`, which the safe crate does not name.
        let flash_attention = match self.flash {
            FlashAttention::Auto => -1,
            FlashAttention::Off => 0,
            FlashAttention::On => 1,
        };
        // A batch holds a piece of a prompt, or one token of each reply.
        let n_batch = self.short().max(u32::try_from(self.parallel).unwrap_or(1));
        LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(self.capacity))
            .with_n_batch(n_batch)
            .with_n_ubatch(self.n_ubatch)
            .with_n_seq_max(u32::try_from(self.sequences()).unwrap_or(1))
            .with_kv_unified(!self.separate)
            // A sliding window would forget what an edit goes back to.
            .with_swa_full(true)
            .with_n_threads(number(n_threads))
            .with_n_threads_batch(number(n_threads_batch))
            .with_flash_attention_policy(flash_attention)
            .with_type_k(cache_type(config.cache_type_k))
            .with_type_v(cache_type(config.cache_type_v))
    }
}

/// Threads that write replies, and threads that read prompts.
fn threads(config: &LlmConfig) -> (u32, u32) {
    let cores = num_cpus::get_physical().min(num_cpus::get()).max(1);
    let or = |number: u32, otherwise: u32| if number == 0 { otherwise } else { number };
    let replies = or(config.n_threads, u32::try_from(cores).unwrap_or(1));
    (replies, or(config.n_threads_batch, replies))
}

/// How attention is computed where the operator leaves the choice.
///
/// On a CPU llama.cpp's flash attention goes over the tokens of a conversation one by one for each token and head, unless 64 or
/// more are read at once: a step of a reply takes up to twice as long as without it, a short prompt five times. What speaks for
/// it: a long prompt is read a sixth faster, no scores are kept, and where all share one memory the others' tokens are passed
/// over (`benches/README.md` has the figures).
fn flash_attention(config: &LlmConfig, n_ctx: u32, separate: bool) -> FlashAttention {
    let plain_is_faster = config.n_gpu_layers == 0
        && separate
        && n_ctx <= LONGEST_PLAIN
        && [config.cache_type_k, config.cache_type_v] == [CacheType::F16; 2];
    match config.flash_attn {
        FlashAttention::Auto if plain_is_faster => FlashAttention::Off,
        chosen => chosen,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(config: LlmConfig) -> Plan {
        let shape = Shape { n_ctx_train: 131_072, parameters: 8_000_000_000, n_layer: 32, n_embd: 4_096 };
        Plan::for_model(&config, shape)
    }

    #[test]
    fn a_model_with_a_long_context_is_not_given_all_of_it() {
        let plan = plan(LlmConfig::default());

        assert_eq!((plan.n_ctx, plan.capacity), (8_192, 16_384));
        assert_eq!((plan.pieces.longest(), plan.n_ubatch), (64, 96));
    }

    #[test]
    fn memory_holds_one_conversation_at_least_and_no_more_than_all_can_use() {
        assert_eq!(plan(LlmConfig { n_ctx: 32_768, ..LlmConfig::default() }).capacity, 32_768);
        assert_eq!(plan(LlmConfig { n_ctx: 512, n_parallel: 2, ..LlmConfig::default() }).capacity, 1_024);
        assert_eq!(plan(LlmConfig { deterministic: true, ..LlmConfig::default() }).capacity, 8_192);
        assert_eq!(plan(LlmConfig { kv_tokens: 40_000, ..LlmConfig::default() }).capacity, 40_000);
    }

    #[test]
    fn where_there_is_enough_for_all_everyone_has_a_part_of_his_own() {
        assert!(!plan(LlmConfig::default()).separate);
        assert!(plan(LlmConfig { n_ctx: 2_048, ..LlmConfig::default() }).separate);
        assert!(plan(LlmConfig { kv_tokens: 1 << 20, ..LlmConfig::default() }).separate);
        assert!(plan(LlmConfig { deterministic: true, ..LlmConfig::default() }).separate);
    }

    #[test]
    fn flash_attention_is_for_gpus_shared_memory_long_conversations_and_whoever_wants_it() {
        let own = || LlmConfig { n_ctx: 2_048, ..LlmConfig::default() };
        let flash = |config: LlmConfig| plan(config).flash;

        assert_eq!(flash(own()), FlashAttention::Off);
        assert_eq!(flash(LlmConfig { flash_attn: FlashAttention::On, ..own() }), FlashAttention::On);
        for needs_it in [
            LlmConfig::default(),
            LlmConfig { n_gpu_layers: 1, ..own() },
            LlmConfig { cache_type_v: CacheType::Q8_0, ..own() },
            LlmConfig { n_ctx: 16_384, kv_tokens: 1 << 20, ..LlmConfig::default() },
        ] {
            assert_eq!(flash(needs_it), FlashAttention::Auto);
        }
    }

    #[test]
    fn a_gpu_reads_larger_pieces() {
        let plan = plan(LlmConfig { n_gpu_layers: 99, ..LlmConfig::default() });

        assert_eq!((plan.pieces.longest(), plan.n_ubatch), (512, 544));
    }
}
