use std::fmt::{self, Display, Formatter};

use crate::config::CacheType;
use crate::engine::ffi::Gguf;

/// How large the cache of a model's keys and values is.
///
/// Of each token and layer llama.cpp keeps one row of keys and one of values, `n_head_kv × head_dim` numbers each, in the
/// configured types (its `llama_kv_cache`, where `n_embd_k_gqa` and `n_embd_v_gqa` are these lengths).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvCache {
    /// KV heads of each layer; a layer without attention has none.
    heads: Vec<u64>,
    /// Numbers in a key of one head.
    key_length: u64,
    /// Numbers in a value of one head.
    value_length: u64,
    types: (CacheType, CacheType),
}

impl KvCache {
    /// From the metadata of a model: what every layer has, or a list with one number for each.
    pub(super) fn read(gguf: &Gguf, architecture: &str, keys: CacheType, values: CacheType) -> Option<Self> {
        let numbers = |key: &str| gguf.numbers(&format!("{architecture}.{key}"));
        let one = |key: &str| numbers(key).and_then(|numbers| numbers.first().copied());
        // No model has more layers than this (llama.cpp's LLAMA_MAX_LAYERS).
        let layers = usize::try_from(one("block_count")?).ok().filter(|layers| (1..=512).contains(layers))?;
        let per_layer = |numbers: Vec<u64>| match numbers.as_slice() {
            [number] => Some(vec![*number; layers]),
            list => (list.len() >= layers).then(|| list[..layers].to_vec()),
        };
        let heads = per_layer(numbers("attention.head_count")?)?;
        let heads_kv = numbers("attention.head_count_kv").map_or(Some(heads.clone()), per_layer)?;
        let head_length = || one("embedding_length")?.checked_div(heads.iter().copied().max()?);
        Some(Self {
            heads: heads_kv,
            key_length: one("attention.key_length").or_else(head_length)?,
            value_length: one("attention.value_length").or_else(head_length)?,
            types: (keys, values),
        })
    }

    /// Bytes that `tokens` take.
    pub fn bytes(&self, tokens: u64) -> u64 {
        let row = |head_length: u64, kind: CacheType| {
            let (values, bytes) = block(kind);
            let rows = self.heads.iter().map(|heads| heads.saturating_mul(head_length).div_ceil(values));
            rows.fold(0, u64::saturating_add).saturating_mul(bytes)
        };
        let token = row(self.key_length, self.types.0).saturating_add(row(self.value_length, self.types.1));
        token.saturating_mul(tokens)
    }
}

impl Display for KvCache {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let same = |first: u64, last: u64| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        };
        let layers = self.heads.iter().filter(|&&heads| heads > 0).count();
        let heads = self.heads.iter().copied().filter(|&heads| heads > 0);
        let heads = same(heads.clone().min().unwrap_or(0), heads.max().unwrap_or(0));
        let (keys, values) = (self.types.0.as_str(), self.types.1.as_str());
        write!(f, "{} bytes a token: {layers} layers × {heads} KV heads × ", with_commas(self.bytes(1)))?;
        match (self.key_length == self.value_length, keys == values) {
            (true, true) => write!(f, "2 × {} {keys}", self.key_length),
            _ => write!(f, "({} {keys} + {} {values})", self.key_length, self.value_length),
        }
    }
}

/// How many numbers ggml keeps together, and the bytes they take.
fn block(kind: CacheType) -> (u64, u64) {
    match kind {
        CacheType::F32 => (1, 4),
        CacheType::F16 | CacheType::Bf16 => (1, 2),
        CacheType::Q8_0 => (32, 34),
        CacheType::Q4_0 => (32, 18),
    }
}

/// In MiB.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| String::from_utf8_lossy(group).into_owned()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::model_file;

    fn cache(heads: &[u64], types: (CacheType, CacheType)) -> KvCache {
        KvCache { heads: heads.into(), key_length: 64, value_length: 64, types }
    }

    #[test]
    fn the_default_model_takes_23040_bytes_a_token() {
        let gguf = Gguf::open(&model_file()).unwrap();

        let kv = KvCache::read(&gguf, "llama", CacheType::F16, CacheType::F16).unwrap();

        assert_eq!(kv, cache(&[3; 30], (CacheType::F16, CacheType::F16)));
        assert_eq!((kv.bytes(1), kv.bytes(8192)), (23_040, 8192 * 23_040));
        assert_eq!(kv.to_string(), "23,040 bytes a token: 30 layers × 3 KV heads × 2 × 64 f16");
    }

    #[test]
    fn a_layer_without_attention_takes_nothing_and_a_quantized_type_less() {
        let f16 = cache(&[0, 4, 2], (CacheType::F16, CacheType::F16));
        let mixed = cache(&[4], (CacheType::Q8_0, CacheType::Q4_0));

        assert_eq!(f16.bytes(1), 6 * 64 * 2 * 2);
        assert!(f16.to_string().contains("2 layers × 2 to 4 KV heads × 2 × 64 f16"));
        assert_eq!(mixed.bytes(10), 10 * (256 / 32 * 34 + 256 / 32 * 18));
        assert!(mixed.to_string().contains("(64 q8_0 + 64 q4_0)"));
    }
}
