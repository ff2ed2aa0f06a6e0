//! Tiny models of kinds that the default one is not, with weights from a fixed seed: no file of such a kind is at hand.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::model_file;

/// A kind of model, by how it remembers what it has read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Mamba: one state for everything, which cannot go back.
    Recurrent,
    /// Jamba: such states, and attention.
    Hybrid,
    /// Gemma 3: every second layer sees the last few tokens only.
    SlidingWindow,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Recurrent, Self::Hybrid, Self::SlidingWindow];

    fn architecture(self) -> &'static str {
        match self {
            Self::Recurrent => "mamba",
            Self::Hybrid => "jamba",
            Self::SlidingWindow => "gemma3",
        }
    }

    /// Writes a model of this kind into a folder; its file.
    pub(super) fn write(self, folder: &Path) -> PathBuf {
        let file = folder.join(format!("{}.gguf", self.architecture()));
        fs::write(&file, self.model().bytes()).unwrap();
        file
    }

    fn model(self) -> Gguf {
        let mut model = Gguf::new(self.architecture());
        model.matrix("token_embd.weight", EMBEDDING, VOCABULARY);
        model.fill("output_norm.weight", &[EMBEDDING], |_, _| 1.0);
        // Only words of plain letters are ever said: what bytes of half a character make of a reply is tested elsewhere.
        let (words, scale) = (std::mem::take(&mut model.words), bound(EMBEDDING));
        model.fill("output.weight", &[EMBEDDING, VOCABULARY], |at, random| match words[at / EMBEDDING] {
            true => random * scale,
            false => 0.0,
        });
        model.number("block_count", LAYERS as u32);
        for layer in 0..LAYERS {
            let attention = self == Self::SlidingWindow || self == Self::Hybrid && layer == 1;
            model.ones(layer, "attn_norm", EMBEDDING);
            if attention {
                model.attention(layer)
            } else {
                model.state_space(layer, self == Self::Hybrid)
            }
            if self != Self::Recurrent {
                model.feed_forward(layer);
            }
            if self == Self::SlidingWindow {
                model.ones(layer, "attn_q_norm", HEAD);
                model.ones(layer, "attn_k_norm", HEAD);
                model.ones(layer, "post_attention_norm", EMBEDDING);
                model.ones(layer, "post_ffw_norm", EMBEDDING);
            }
        }
        match self {
            Self::Recurrent => model.number("attention.head_count", 0),
            Self::Hybrid => model.numbers("attention.head_count_kv", &[0, HEADS as u32, 0, 0]),
            Self::SlidingWindow => {
                model.number("attention.key_length", HEAD as u32);
                model.number("attention.value_length", HEAD as u32);
                model.number("attention.sliding_window", 32);
                model.number("attention.sliding_window_pattern", 2);
            }
        }
        model
    }
}

const LAYERS: usize = 4;
const EMBEDDING: usize = 32;
const HEADS: usize = 2;
const HEAD: usize = EMBEDDING / HEADS;
const FEED_FORWARD: usize = 64;
/// Of a state space: its width (llama.cpp wants twice the embedding), numbers of state, width of its convolution, rank.
const INNER: usize = 2 * EMBEDDING;
const STATE: usize = 16;
const CONVOLUTION: usize = 4;
const RANK: usize = 4;
/// Tokens of the default model.
const VOCABULARY: usize = 49_152;

/// Random numbers up to this keep the size of what goes through a matrix of so many columns.
fn bound(columns: usize) -> f32 {
    (3.0 / columns as f32).sqrt()
}

/// A file in the making: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, all tensors of 32-bit numbers.
struct Gguf {
    architecture: &'static str,
    /// Which tokens of the vocabulary are plain words.
    words: Vec<bool>,
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
    random: u64,
}

const MAGIC_AND_VERSION: &[u8] = b"GGUF\x03\0\0\0";
const U32: u32 = 4;
const F32: u32 = 6;
const TEXT: u32 = 8;
const ARRAY: u32 = 9;
const ALIGNMENT: usize = 32;

impl Gguf {
    fn new(architecture: &'static str) -> Self {
        let (mut keys, mut key_count, words) = vocabulary();
        keys.extend([text("general.architecture"), TEXT.to_le_bytes().into(), text(architecture)].concat());
        key_count += 1;
        let (tensors, data) = (Vec::new(), Vec::new());
        let mut model =
            Self { architecture, words, keys, key_count, tensors, tensor_count: 0, data, random: 42 };
        for (key, number) in [
            ("context_length", 8_192),
            ("embedding_length", EMBEDDING),
            ("feed_forward_length", FEED_FORWARD),
            ("ssm.conv_kernel", CONVOLUTION),
            ("ssm.inner_size", INNER),
            ("ssm.state_size", STATE),
            ("ssm.time_step_rank", RANK),
        ] {
            model.number(key, number as u32);
        }
        if architecture != Kind::Recurrent.architecture() {
            model.number("attention.head_count", HEADS as u32);
        }
        model.key("attention.layer_norm_rms_epsilon", &[&F32.to_le_bytes(), &1e-6_f32.to_le_bytes()]);
        model
    }

    fn key(&mut self, key: &str, value: &[&[u8]]) {
        self.keys.extend(text(&format!("{}.{key}", self.architecture)));
        value.iter().for_each(|part| self.keys.extend(*part));
        self.key_count += 1;
    }

    fn number(&mut self, key: &str, number: u32) {
        self.key(key, &[&U32.to_le_bytes(), &number.to_le_bytes()]);
    }

    fn numbers(&mut self, key: &str, numbers: &[u32]) {
        let values: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let count = (numbers.len() as u64).to_le_bytes();
        self.key(key, &[&ARRAY.to_le_bytes(), &U32.to_le_bytes(), &count, &values]);
    }

    /// A tensor whose numbers are made from their index and a random number from -1 to 1.
    fn fill(&mut self, name: &str, shape: &[usize], value: impl Fn(usize, f32) -> f32) {
        self.tensors.extend(text(name));
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|length| self.tensors.extend((*length as u64).to_le_bytes()));
        self.tensors.extend(0_u32.to_le_bytes()); // ggml's name of a 32-bit number.
        self.tensors.extend((self.data.len() as u64).to_le_bytes());
        self.tensor_count += 1;
        for at in 0..shape.iter().product() {
            let random = self.random();
            self.data.extend(value(at, random).to_le_bytes());
        }
        self.data.resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// Knuth's generator; its upper bits.
    fn random(&mut self) -> f32 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }

    fn matrix(&mut self, name: &str, columns: usize, rows: usize) {
        self.fill(name, &[columns, rows], |_, random| random * bound(columns));
    }

    fn layer_matrix(&mut self, layer: usize, name: &str, columns: usize, rows: usize) {
        self.matrix(&format!("blk.{layer}.{name}.weight"), columns, rows);
    }

    fn ones(&mut self, layer: usize, name: &str, length: usize) {
        self.fill(&format!("blk.{layer}.{name}.weight"), &[length], |_, _| 1.0);
    }

    fn attention(&mut self, layer: usize) {
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            self.layer_matrix(layer, name, EMBEDDING, EMBEDDING);
        }
    }

    fn feed_forward(&mut self, layer: usize) {
        self.ones(layer, "ffn_norm", EMBEDDING);
        self.layer_matrix(layer, "ffn_gate", EMBEDDING, FEED_FORWARD);
        self.layer_matrix(layer, "ffn_up", EMBEDDING, FEED_FORWARD);
        self.layer_matrix(layer, "ffn_down", FEED_FORWARD, EMBEDDING);
    }

    fn state_space(&mut self, layer: usize, with_norms: bool) {
        let name = |name: &str| format!("blk.{layer}.{name}");
        self.layer_matrix(layer, "ssm_in", EMBEDDING, 2 * INNER);
        self.layer_matrix(layer, "ssm_conv1d", CONVOLUTION, INNER);
        self.fill(&name("ssm_conv1d.bias"), &[INNER], |_, _| 0.0);
        self.layer_matrix(layer, "ssm_x", INNER, RANK + 2 * STATE);
        self.layer_matrix(layer, "ssm_dt", RANK, INNER);
        self.fill(&name("ssm_dt.bias"), &[INNER], |_, _| 0.0);
        // So close to zero that what was read hundreds of tokens ago still matters.
        self.fill(&name("ssm_a"), &[STATE, INNER], |_, random| -0.002 - 0.01 * random.abs());
        self.fill(&name("ssm_d"), &[INNER], |_, _| 1.0);
        self.layer_matrix(layer, "ssm_out", INNER, EMBEDDING);
        if with_norms {
            self.ones(layer, "ssm_dt_norm", RANK);
            self.ones(layer, "ssm_b_norm", STATE);
            self.ones(layer, "ssm_c_norm", STATE);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let counts = [self.tensor_count.to_le_bytes(), self.key_count.to_le_bytes()].concat();
        let mut bytes = [MAGIC_AND_VERSION, &counts, &self.keys, &self.tensors].concat();
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(&self.data);
        bytes
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// What the default model's file says about its vocabulary and its chat template, as it stands there; how many keys; which
/// tokens are plain words.
fn vocabulary() -> (Vec<u8>, u64, Vec<bool>) {
    let mut file = Vec::new();
    // Its keys lie before all weights and are much shorter than this.
    fs::File::open(model_file()).unwrap().take(16 << 20).read_to_end(&mut file).unwrap();
    let mut rest = Rest(&file[MAGIC_AND_VERSION.len()..]);
    let (_tensors, keys) = (rest.long(), rest.long());
    let (mut found, mut count, mut words) = (Vec::new(), 0, Vec::new());
    for _ in 0..keys {
        let start = rest.0;
        let key = rest.text();
        let kind = rest.short();
        if key == b"tokenizer.ggml.tokens" {
            let mut list = Rest(rest.0);
            let (_kind, tokens) = (list.short(), list.long());
            words = (0..tokens).map(|_| is_word(list.text())).collect();
        }
        rest.skip(kind);
        if key.starts_with(b"tokenizer.") {
            found.extend(&start[..start.len() - rest.0.len()]);
            count += 1;
        }
    }
    assert_eq!(words.len(), VOCABULARY);
    (found, count, words)
}

/// Whether a token, as this kind of vocabulary writes it, is made of letters; Ġ stands for a space.
fn is_word(token: &[u8]) -> bool {
    let letters = token.strip_prefix("Ġ".as_bytes()).unwrap_or(token);
    !letters.is_empty() && letters.iter().all(u8::is_ascii_alphabetic)
}

/// What was not read yet of a file's keys.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn short(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> &'a [u8] {
        let length = self.long();
        self.take(length as usize)
    }

    fn skip(&mut self, kind: u32) {
        let length = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            U32 | 5 | F32 => 4,
            TEXT => self.long() as usize,
            ARRAY => {
                let (kind, count) = (self.short(), self.long());
                (0..count).for_each(|_| self.skip(kind));
                0
            }
            _ => 8,
        };
        self.take(length);
    }
}
