use std::path::Path;

use super::file;
use crate::engine::ffi::Gguf;

/// What the header of a model file says about its weights; of a model in several files, about all of them.
pub(super) struct Weights {
    /// ggml's name of a type, in lower case, and the bytes of its tensors; the one with most bytes first.
    pub(super) kinds: Vec<(String, u64)>,
    /// Numbers that the model has learned.
    pub(super) parameters: u64,
    /// What they take.
    pub(super) bytes: u64,
}

impl Weights {
    /// Reads the headers; also gives the first one, which holds the metadata. An error is a sentence.
    pub(super) fn read(file: &Path) -> Result<(Gguf, Self), String> {
        let damaged = |file: &Path| {
            format!(
                "The header of {} cannot be read: the file is incomplete or damaged; get it again.",
                file.display()
            )
        };
        let first = Gguf::open(file).ok_or_else(|| damaged(file))?;
        let mut tensors = first.tensors();
        let parts = first.numbers("split.count").and_then(|count| count.first().copied()).unwrap_or(1);
        for part in file::other_parts(file, parts) {
            tensors.extend(Gguf::open(&part).ok_or_else(|| damaged(&part))?.tensors());
        }
        let mut weights = Self { kinds: Vec::new(), parameters: 0, bytes: 0 };
        for tensor in tensors {
            weights.parameters = weights.parameters.saturating_add(tensor.values);
            weights.bytes = weights.bytes.saturating_add(tensor.bytes);
            match weights.kinds.iter_mut().find(|(kind, _)| *kind == tensor.kind) {
                Some((_, bytes)) => *bytes = bytes.saturating_add(tensor.bytes),
                None => weights.kinds.push((tensor.kind, tensor.bytes)),
            }
        }
        weights.kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Ok((first, weights))
    }

    /// The type that decides how fast the model is: the one with most bytes.
    pub(super) fn main_kind(&self) -> &str {
        self.kinds.first().map_or("", |(kind, _)| kind)
    }
}
