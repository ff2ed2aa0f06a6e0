//! Which quantizations this processor is fast at, and what to do about the others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::weights::Weights;
use crate::config::LlmConfig;
use crate::engine::ffi;

/// What a conversion is advised to: fast on every processor, and loses nothing that a smaller type still has.
const ADVISED: &str = "q8_0";

/// Logs a sentence if the weights are of a type that this processor is slow at. Weights on a GPU are not its business.
pub(super) fn give(file: &Path, config: &LlmConfig) {
    if config.n_gpu_layers > 0 {
        return;
    }
    // A header that cannot be read is no reason to stop: the model itself was loaded.
    if let Ok((_, weights)) = Weights::read(file)
        && let Some(sentence) = sentence(file, &weights, &Processor::here())
    {
        tracing::warn!("{sentence}");
    }
}

/// What is slow here and what to do about it; none if nothing is.
pub(super) fn sentence(file: &Path, weights: &Weights, processor: &Processor) -> Option<String> {
    if processor.is_wasted() {
        return Some(
            "This build of llama.cpp does not use the vector instructions of this processor and is several times slower \
             than it could be: build with -C target-cpu=native, or with the feature dynamic-backends."
                .into(),
        );
    }
    let kind = weights.main_kind();
    if processor.is_fast(kind) || !processor.is_fast(ADVISED) {
        return None;
    }
    const MIB: u64 = 1 << 20;
    Some(format!(
        "{} is mostly {}, for which llama.cpp has no fast kernel on this processor: prompts are read at about half the \
         speed. Convert it with: {} model convert {} {} --type {ADVISED} ({} MiB instead of {}), then name the new file in \
         [default.llm] model.",
        file.file_name().unwrap_or_default().display(),
        kind.to_uppercase(),
        program(),
        file.display(),
        converted(file, kind).display(),
        // 32 numbers and their scale take 34 bytes.
        weights.parameters / 32 * 34 / MIB,
        weights.bytes / MIB,
    ))
}

/// The program as it was called, so that the command can be pasted where it was started.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "fireside".into())
}

/// The name of the better file: the type at the end of the old one's is replaced.
fn converted(file: &Path, kind: &str) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let bare = match stem.len().checked_sub(kind.len()).and_then(|start| stem.split_at_checked(start)) {
        Some((bare, end)) if end.eq_ignore_ascii_case(kind) => bare.trim_end_matches(['.', '-', '_']),
        _ => &stem,
    };
    file.with_file_name(format!("{bare}.{}.gguf", ADVISED.to_uppercase()))
}

/// What llama.cpp can use of the processor, in this build.
pub(super) struct Processor {
    features: BTreeSet<String>,
    has_avx2: bool,
}

impl Processor {
    /// This machine's. llama.cpp must have been initialized.
    pub(super) fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        let has_avx2 = std::is_x86_feature_detected!("avx2");
        #[cfg(not(target_arch = "x86_64"))]
        let has_avx2 = false;
        Self::new(ffi::system_info(), has_avx2)
    }

    /// From what llama.cpp prints: `CPU : AVX2 = 1 | REPACK = 1 | …`.
    fn new(info: &str, has_avx2: bool) -> Self {
        let words = info.split(['|', ':']).filter_map(|feature| feature.trim().strip_suffix(" = 1"));
        Self { features: words.map(str::to_owned).collect(), has_avx2 }
    }

    fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// Whether the build leaves most of the processor's speed unused.
    fn is_wasted(&self) -> bool {
        self.has_avx2 && !self.has("AVX2")
    }

    /// Whether llama.cpp multiplies many rows at once for this type. The others go through one dot product after the
    /// other, which is as good for a single row (decoding one stream) and slow for many (prompts, several streams).
    ///
    /// From ggml-cpu's `repack.cpp` (`ggml_repack_get_optimal_repack_type`), `llamafile/sgemm.cpp`, `amx/common.h` and
    /// `ggml-cpu.c` (types with `nrows = 2`), llama-cpp-sys-2 0.1.161.
    pub(super) fn is_fast(&self, kind: &str) -> bool {
        let (x86, arm) = (self.has("AVX2"), self.has("DOTPROD"));
        let repacked = self.has("REPACK")
            && match kind {
                "q4_0" | "q4_k" | "iq4_nl" | "mxfp4" => x86 || arm,
                "q1_0" | "q5_k" | "q6_k" | "q8_0" => arm,
                "q2_k" => self.has("AVX512"),
                _ => false,
            };
        let tiled = self.has("LLAMAFILE")
            && match kind {
                "f32" => self.has("AVX") || self.has("NEON"),
                "f16" => self.has("F16C") || self.has("NEON"),
                "bf16" => x86,
                "q4_0" | "q8_0" => self.has("AVX") || arm,
                "q5_0" | "iq4_nl" => self.has("AVX"),
                _ => false,
            };
        let amx = self.has("AMX_INT8") && matches!(kind, "q4_1" | "q5_k" | "q6_k" | "iq4_xs");
        let pairs = self.has("MATMUL_INT8") && kind == "q4_1";
        repacked || tiled || amx || pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::llama::backend;
    use crate::engine::tests::model_file;

    const ZEN4: &str =
        "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | AVX512 = 1 | LLAMAFILE = 1 | REPACK = 1 | ";
    const HASWELL: &str = "CPU : AVX = 1 | AVX2 = 1 | F16C = 1 | LLAMAFILE = 1 | REPACK = 1 | ";
    const NEOVERSE: &str = "CPU : NEON = 1 | ARM_FMA = 1 | DOTPROD = 1 | LLAMAFILE = 1 | REPACK = 1 | ";

    fn weights(kind: &str) -> Weights {
        Weights {
            kinds: vec![(kind.into(), 90 << 20), ("f32".into(), 1)],
            parameters: 128 << 20,
            bytes: 94 << 20,
        }
    }

    #[test]
    fn each_processor_has_its_fast_types() {
        let fast = |info| {
            let processor = Processor::new(info, true);
            let kinds = ["f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_1", "q4_0", "q2_k"];
            kinds.into_iter().filter(|kind| processor.is_fast(kind)).collect::<Vec<_>>()
        };

        assert_eq!(fast(ZEN4), ["f16", "q8_0", "q4_k", "q4_0", "q2_k"]);
        assert_eq!(fast(HASWELL), ["f16", "q8_0", "q4_k", "q4_0"]);
        assert_eq!(fast(NEOVERSE), ["f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0"]);
        assert!(fast("CPU : SSE3 = 1 | LLAMAFILE = 1 | REPACK = 1 | ").is_empty());
    }

    #[test]
    fn a_slow_type_is_named_with_the_command_that_helps() {
        let file = Path::new("models/Tiny-Instruct.Q4_1.gguf");

        let advice = sentence(file, &weights("q4_1"), &Processor::new(ZEN4, true)).unwrap();

        assert!(advice.starts_with("Tiny-Instruct.Q4_1.gguf is mostly Q4_1,"), "{advice}");
        let command = "model convert models/Tiny-Instruct.Q4_1.gguf models/Tiny-Instruct.Q8_0.gguf --type q8_0 (136 MiB";
        assert!(advice.contains(command), "{advice}");
    }

    #[test]
    fn nothing_is_said_where_nothing_helps() {
        let say = |kind, info, has_avx2| {
            sentence(Path::new("a.gguf"), &weights(kind), &Processor::new(info, has_avx2))
        };

        assert_eq!(say("q4_k", HASWELL, true), None);
        assert_eq!(say("q4_1", "CPU : RISCV_V = 1 | REPACK = 1 | ", false), None);
    }

    #[test]
    fn a_build_that_leaves_the_processor_unused_is_named() {
        let advice =
            sentence(Path::new("a.gguf"), &weights("q8_0"), &Processor::new("CPU : SSE3 = 1 | ", true));

        assert!(advice.is_some_and(|advice| advice.contains("target-cpu=native")));
    }

    #[test]
    fn llama_cpp_says_what_it_uses_of_this_processor() {
        let processor = {
            backend().unwrap();
            Processor::here()
        };
        let (_, weights) = Weights::read(&model_file()).unwrap();

        assert!(processor.has("REPACK") && processor.has("LLAMAFILE"), "{:?}", processor.features);
        assert!(!processor.is_wasted());
        assert_eq!(weights.main_kind(), "q4_1");
    }
}
