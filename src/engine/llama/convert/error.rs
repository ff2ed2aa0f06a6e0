use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use crate::engine::EngineError;
use crate::engine::ffi::{FILE_TYPES, FileType};

/// A type of weights that a file can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantization {
    pub(super) name: &'static str,
    pub(super) file_type: FileType,
}

impl Quantization {
    /// As llama.cpp writes it, in lower case: `q8_0`.
    pub fn name(self) -> &'static str {
        self.name
    }
}

impl FromStr for Quantization {
    type Err = ConvertError;

    fn from_str(text: &str) -> Result<Self, ConvertError> {
        let wanted = text.to_lowercase().replace('-', "_");
        match FILE_TYPES.into_iter().find(|(name, _)| *name == wanted) {
            Some((name, file_type)) => Ok(Self { name, file_type }),
            None => Err(ConvertError::UnknownType { name: text.into(), nearest: nearest(&wanted) }),
        }
    }
}

fn nearest(wanted: &str) -> &'static str {
    // Of equals the last one wins, which so is the one that is listed first.
    let names = FILE_TYPES.iter().map(|(name, _)| *name).rev();
    // Counts the beginning more than the rest: q4_k is meant as q4_k_m and not as q6_k.
    let likeness = |name: &str| strsim::jaro_winkler(name, wanted);
    names.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

/// Why there is no converted file; each is a sentence or two.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// No such type.
    #[error(
        "There is no type \"{name}\"; did you mean {nearest}? The types are {}.",
        FILE_TYPES.map(|(name, _)| name).join(", ")
    )]
    UnknownType {
        /// What was asked for.
        name: String,
        /// What was probably meant.
        nearest: &'static str,
    },
    /// The source is missing, not GGUF, or damaged.
    #[error(transparent)]
    Source(#[from] EngineError),
    /// The target is there.
    #[error("{} exists already; name another file, or move that one away first.", .0.display())]
    Exists(PathBuf),
    /// Another conversion to the same target runs, or one was killed.
    #[error(
        "{} exists already: another conversion is at work there, or was killed. Delete it if there is none.",
        .0.display()
    )]
    Busy(PathBuf),
    /// It would not fit.
    #[error(
        "{} has {free} MiB free, and the new file takes {needed} MiB: make room, or name a file on another disk.",
        folder.display()
    )]
    NoSpace {
        /// Where the file would be.
        folder: PathBuf,
        /// MiB.
        needed: u64,
        /// MiB.
        free: u64,
    },
    /// llama.cpp refused or broke off.
    #[error("llama.cpp could not convert {}: {why}.", file.display())]
    Refused {
        /// The source.
        file: PathBuf,
        /// In llama.cpp's words.
        why: String,
    },
    /// The file system.
    #[error("{} cannot be written ({error}): name a file in a folder that is there and yours to write to.", file.display())]
    File {
        /// Which file or folder.
        file: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_type_gets_the_nearest_right_name() {
        for (wrong, right) in [("q8", "q8_0"), ("Q4_K", "q4_k_m"), ("fp16", "f16"), ("q5_m", "q5_k_m")] {
            let sentence = wrong.parse::<Quantization>().unwrap_err().to_string();

            assert!(sentence.contains(&format!("did you mean {right}?")), "{sentence}");
        }
        assert_eq!("Q4-K-M".parse::<Quantization>().unwrap().name(), "q4_k_m");
    }
}
