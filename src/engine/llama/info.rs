//! What a person wants to know about a model file before it is used.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use super::kv_cache::{KvCache, mebibytes};
use super::sizes::{Plan, Shape};
use super::weights::Weights;
use super::{advice, backend};
use crate::config::LlmConfig;
use crate::engine::EngineError;
use crate::engine::ffi::Gguf;
use crate::engine::prompt::ChatTemplate;

/// Lines of a chat template that are shown, and how many characters of each.
const TEMPLATE_LINES: usize = 4;
const TEMPLATE_WIDTH: usize = 90;

/// A model as its file describes it; no weights are read. It is shown as a table.
#[derive(Debug)]
pub struct ModelInfo {
    file: PathBuf,
    name: String,
    architecture: String,
    parameters: u64,
    bytes: u64,
    /// Types of the weights and the bytes of each, the largest first.
    kinds: Vec<(String, u64)>,
    advice: Option<String>,
    n_ctx_train: u64,
    n_vocab: i32,
    specials: Vec<(&'static str, String)>,
    template: Template,
    reuse: Reuse,
    kv: Option<KvCache>,
    /// Tokens of one conversation and of all of them, as configured.
    n_ctx: u64,
    kv_tokens: u64,
}

#[derive(Debug)]
enum Template {
    /// The model's own.
    Own(String),
    /// The model's own does not work; the error.
    Broken(String),
    Missing,
}

/// What of a conversation in memory a later prompt that begins like it can use.
#[derive(Debug)]
enum Reuse {
    /// Any common beginning.
    Part,
    /// Any common beginning; the window's length, in tokens.
    PartOfWindow(u64),
    /// Only all of it; the kind of model.
    Whole(&'static str),
}

impl ModelInfo {
    /// Reads a model file; takes as long as reading its vocabulary. `config` says how long a conversation may be and how
    /// its cache is kept.
    ///
    /// # Errors
    /// [`EngineError::Failed`] with a sentence for a file that cannot be read.
    pub fn read(file: &Path, config: &LlmConfig) -> Result<Self, EngineError> {
        Self::from_file(file, config).map_err(EngineError::Failed)
    }

    fn from_file(file: &Path, config: &LlmConfig) -> Result<Self, String> {
        let backend = backend()?;
        let (gguf, weights) = Weights::read(file)?;
        let params = LlamaModelParams::default().with_vocab_only(true);
        let llama = LlamaModel::load_from_file(backend, file, &params).map_err(|_| {
            format!(
                "{} is of a kind that this llama.cpp does not know; its lines in the log say more.",
                file.display()
            )
        })?;
        let architecture = gguf.text("general.architecture").unwrap_or_default();
        let number = |key: &str| gguf.numbers(&format!("{architecture}.{key}"))?.first().copied();
        let n_ctx_train = number("context_length").unwrap_or(0);
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let shape = Shape {
            n_ctx_train: narrow(n_ctx_train),
            parameters: weights.parameters,
            n_layer: narrow(number("block_count").unwrap_or(0)),
            n_embd: narrow(number("embedding_length").unwrap_or(0)),
        };
        let plan = Plan::for_model(config, shape);
        let reuse = match number("attention.sliding_window") {
            _ if llama.is_recurrent() => Reuse::Whole("recurrent"),
            _ if llama.is_hybrid() => Reuse::Whole("hybrid"),
            None | Some(0) => Reuse::Part,
            Some(window) => Reuse::PartOfWindow(window),
        };
        Ok(Self {
            file: file.into(),
            name: gguf.text("general.name").unwrap_or_default(),
            advice: advice::sentence(file, &weights, &advice::Processor::here()),
            parameters: weights.parameters,
            bytes: weights.bytes,
            kinds: weights.kinds,
            n_vocab: llama.n_vocab(),
            specials: specials(&llama),
            template: template(&gguf, &llama),
            reuse,
            kv: KvCache::read(&gguf, &architecture, config.cache_type_k, config.cache_type_v),
            n_ctx: plan.n_ctx.into(),
            kv_tokens: plan.capacity.into(),
            n_ctx_train,
            architecture,
        })
    }

    /// Its cache of keys and values; none where the file does not say how large it is.
    pub fn kv_cache(&self) -> Option<&KvCache> {
        self.kv.as_ref()
    }

    /// Tokens that one conversation may have, as configured.
    pub fn n_ctx(&self) -> u64 {
        self.n_ctx
    }

    /// The lines about memory, as configured.
    pub fn memory(&self) -> String {
        let kv_tokens = self.kv_tokens;
        let mut lines = vec![("weights", mebibytes(self.bytes))];
        match &self.kv {
            Some(kv) => lines.extend([
                ("KV cache", kv.to_string()),
                (
                    "one conversation",
                    format!("{} for {} tokens", mebibytes(kv.bytes(self.n_ctx)), self.n_ctx),
                ),
                ("all of them", format!("{} for {kv_tokens} tokens", mebibytes(kv.bytes(kv_tokens)))),
                ("together", mebibytes(self.bytes.saturating_add(kv.bytes(kv_tokens)))),
            ]),
            None => lines.push(("KV cache", "the file does not say how large".into())),
        }
        table(&lines)
    }
}

/// The tokens that frame a text or end a turn, as name and text.
fn specials(llama: &LlamaModel) -> Vec<(&'static str, String)> {
    let vocab = llama.vocab();
    let known = |token: &LlamaToken| (0..llama.n_vocab()).contains(&token.0);
    let spell = |token: LlamaToken| {
        let text = vocab.text(token).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        format!("{} ({})", text.escape_debug(), token.0)
    };
    let mut specials: Vec<_> = [("bos", vocab.bos()), ("eos", vocab.eos()), ("eot", vocab.eot())]
        .into_iter()
        .filter(|(_, token)| known(token))
        .map(|(name, token)| (name, spell(token)))
        .collect();
    let ends: Vec<_> = vocab.tokens().filter(|&token| vocab.is_eog(token)).map(spell).collect();
    specials.push(("end a reply", ends.join(", ")));
    specials
}

fn template(gguf: &Gguf, llama: &LlamaModel) -> Template {
    let Some(source) = gguf.text("tokenizer.chat_template").filter(|source| !source.trim().is_empty()) else {
        return Template::Missing;
    };
    let text = |token: LlamaToken| match (0..llama.n_vocab()).contains(&token.0) {
        true => String::from_utf8_lossy(&llama.vocab().token_to_piece(token, true, None)).into_owned(),
        false => String::new(),
    };
    match ChatTemplate::compile(&source, &text(llama.vocab().bos()), &text(llama.vocab().eos())) {
        Ok(_) => Template::Own(source),
        Err(error) => Template::Broken(error.to_string()),
    }
}

impl Display for ModelInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let share = |bytes: u64| bytes as f64 / self.bytes.max(1) as f64 * 100.0;
        let kinds =
            self.kinds.iter().map(|(kind, bytes)| format!("{} {:.1} %", kind.to_uppercase(), share(*bytes)));
        let specials = self.specials.iter().map(|(name, text)| format!("{name} {text}"));
        let mut lines = vec![
            ("file", self.file.display().to_string()),
            ("name", self.name.clone()),
            ("architecture", self.architecture.clone()),
            ("parameters", format!("{:.1} million", self.parameters as f64 / 1e6)),
            ("size", mebibytes(self.bytes)),
            ("quantization", kinds.collect::<Vec<_>>().join(", ")),
            ("trained context", format!("{} tokens", self.n_ctx_train)),
            ("vocabulary", format!("{} tokens", self.n_vocab)),
            ("special tokens", specials.collect::<Vec<_>>().join("\n")),
            ("chat template", self.template.to_string()),
            ("reuse", self.reuse.to_string()),
        ];
        lines.extend(self.advice.iter().map(|advice| ("advice", advice.clone())));
        f.write_str(&table(&lines))
    }
}

impl Display for Template {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let source = match self {
            Self::Own(source) => source,
            Self::Broken(error) => {
                return write!(f, "ChatML, for the model's own does not work here: {error}");
            }
            Self::Missing => return write!(f, "ChatML, for the model has none"),
        };
        let short = |line: &str| match line.char_indices().nth(TEMPLATE_WIDTH) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line.to_owned(),
        };
        write!(f, "the model's own, {} characters:", source.chars().count())?;
        for line in source.lines().take(TEMPLATE_LINES) {
            // What a file brings along must not move the terminal's cursor.
            write!(f, "\n{}", short(&line.replace(char::is_control, " ")))?;
        }
        if source.lines().nth(TEMPLATE_LINES).is_some() { f.write_str("\n…") } else { Ok(()) }
    }
}

impl Display for Reuse {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part => write!(f, "any common beginning of two prompts"),
            Self::PartOfWindow(window) => {
                write!(
                    f,
                    "any common beginning of two prompts (its sliding window of {window} tokens is kept in full)"
                )
            }
            Self::Whole(kind) => {
                write!(
                    f,
                    "only a whole prompt that goes on, not a part of it ({kind} model): edits are read anew"
                )
            }
        }
    }
}

/// Two columns; further lines of a value stand below its first.
fn table(lines: &[(&str, String)]) -> String {
    let mut table = String::new();
    for (name, value) in lines {
        let mut name = *name;
        for line in value.lines().chain(value.is_empty().then_some("-")) {
            table += format!("{name:<18}{line}").trim_end();
            table.push('\n');
            name = "";
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::model_file;

    #[test]
    fn the_default_model_is_described() {
        let info = ModelInfo::read(&model_file(), &LlmConfig::default()).unwrap();

        let table = info.to_string();

        for line in [
            "architecture      llama\n",
            "parameters        134.5 million\n",
            "quantization      Q4_1 ",
            "trained context   8192 tokens\n",
            "vocabulary        49152 tokens\n",
            "special tokens    bos <|im_start|> (1)\n                  eos <|im_end|> (2)\n",
            "chat template     the model's own, ",
            "reuse             any common beginning of two prompts\n",
        ] {
            assert!(table.contains(line), "{line:?} is not in\n{table}");
        }
    }

    #[test]
    fn memory_is_counted_for_one_conversation_and_for_all() {
        let config = LlmConfig { n_ctx: 4096, ..LlmConfig::default() };
        let info = ModelInfo::read(&model_file(), &config).unwrap();

        let memory = info.memory();

        assert!(memory.contains("23,040 bytes a token"), "{memory}");
        assert!(memory.contains("one conversation  90.0 MiB for 4096 tokens\n"), "{memory}");
        assert!(memory.contains("all of them       360.0 MiB for 16384 tokens\n"), "{memory}");
    }

    #[test]
    fn a_file_that_is_no_model_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bad.gguf");
        std::fs::write(&file, b"GGUF\x03\0\0\0garbage").unwrap();

        let sentence = ModelInfo::read(&file, &LlmConfig::default()).unwrap_err().to_string();

        assert!(sentence.contains("bad.gguf"), "{sentence}");
    }
}
