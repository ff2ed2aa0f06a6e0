use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::Value;

use super::constraint::is_too_costly;
use super::{Grammar, LARK, STACK, demands, gbnf, narrow::narrow};

/// The most that one grammar may cost. Figures of work are llguidance's own; about 50,000 of fuel or 20,000 items are one
/// millisecond.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 500,
        initial_lexer_fuel: 300_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        // One or two KiB each: what a grammar holds in memory.
        max_lexer_states: 3_000,
        max_grammar_size: 40_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

/// The longest that somebody waits for a grammar to be read.
const PATIENCE: Duration = Duration::from_secs(3);

/// Most grammars that are read or wait for it.
const MOST_READING: usize = 16;

/// Most signs in Lark that make expressions meet.
const MOST_MEETINGS: usize = 3;

/// The key under which a schema carries llguidance's own options.
const OPTIONS: &str = "x-guidance";

/// Turns texts into tokens; a model's own way.
type Tokenize = Box<dyn Fn(&str) -> Vec<i32> + Send + Sync>;

/// What a grammar must know of a vocabulary.
pub(in crate::engine) struct TokenTexts {
    /// What each token spells, by its id.
    pub(in crate::engine) texts: Vec<TokenText>,
    /// The tokens with which the model ends its turn.
    pub(in crate::engine) ends: Vec<i32>,
    pub(in crate::engine) tokenize: Tokenize,
}

/// What one token spells.
pub(in crate::engine) enum TokenText {
    Text(Vec<u8>),
    /// Nothing: it is a sign of the model's, of this name.
    Special(Vec<u8>),
}

/// Reads grammars for one vocabulary.
pub(in crate::engine) struct GrammarCompiler {
    parsers: ParserFactory,
    /// One grammar is read at a time: whoever sends many waits for his own.
    turn: Mutex<()>,
}

impl GrammarCompiler {
    /// Takes about 100 milliseconds for 50,000 tokens. An error is a sentence.
    pub(in crate::engine) fn new(vocabulary: TokenTexts) -> Result<Self, String> {
        let environment: TokEnv = Arc::new(Environment::new(vocabulary));
        let capabilities = InferenceCapabilities { ff_tokens: true, ..InferenceCapabilities::default() };
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let mut parsers = ParserFactory::new(&environment, capabilities, &slices)
            .map_err(|error| format!("cannot be followed by this model: {error}"))?;
        parsers.quiet();
        *parsers.limits_mut() = limits();
        Ok(Self { parsers, turn: Mutex::new(()) })
    }

    /// Reads a grammar. Takes from one to some hundred milliseconds. An error says what is wrong with it.
    pub(in crate::engine) fn compile(self: &Arc<Self>, grammar: &Grammar) -> Result<Matcher, String> {
        // Each thread that reads holds one, a few more are the model's own.
        if Arc::strong_count(self) > MOST_READING {
            return Err("cannot be read now, for too many others are: try again in a moment".into());
        }
        let reading = Arc::clone(self).read_behind(grammar.clone())?;
        reading
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| Err("takes too long to read: make it simpler".into()))
    }

    /// Reads a grammar on a thread with a stack of its own: references to references are read by recursion.
    fn read_behind(self: Arc<Self>, grammar: Grammar) -> Result<Receiver<Result<Matcher, String>>, String> {
        let (answer, reading) = sync_channel(1);
        let thread = std::thread::Builder::new().name("grammar".into()).stack_size(STACK);
        let started = thread.spawn(move || {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            // Err only when nobody waits any more.
            drop(answer.send(self.read(&grammar)));
        });
        started.map(|_| reading).map_err(|error| format!("could not be read: {error}"))
    }

    fn read(&self, grammar: &Grammar) -> Result<Matcher, String> {
        match grammar {
            Grammar::JsonSchema(schema) => self.schema(schema),
            Grammar::Rules(text) if text.trim_start().starts_with(LARK) => self.lark(text),
            Grammar::Rules(text) => self.gbnf(text),
        }
    }

    fn schema(&self, text: &str) -> Result<Matcher, String> {
        let mut schema = match serde_json::from_str(text) {
            Ok(Value::Bool(true)) => Value::Object(serde_json::Map::new()),
            Ok(schema @ Value::Object(_)) => schema,
            Ok(_) => return Err("is no JSON schema, which is an object".into()),
            Err(error) => return Err(format!("is no JSON schema: {error}")),
        };
        if schema.get(OPTIONS).is_some() {
            return Err(format!("is no JSON schema that can be followed: leave out {OPTIONS}"));
        }
        if let Some(why) = demands::too_costly(&schema) {
            return Err(format!("is no JSON schema that can be followed: {why}"));
        }
        narrow(&mut schema);
        // One space where people put one, and no other white space: nothing to dawdle in, and most of it is known beforehand.
        let options = JsonCompileOptions {
            item_separator: ", ".into(),
            key_separator: ": ".into(),
            whitespace_flexible: false,
            ..JsonCompileOptions::default()
        };
        options.apply_to(&mut schema);
        self.matcher(TopLevelGrammar::from_json_schema(schema), "is no JSON schema that can be followed")
    }

    fn lark(&self, text: &str) -> Result<Matcher, String> {
        // What schemas are refused for, in Lark: see `demands`.
        if text.bytes().filter(|byte| b"&~".contains(byte)).count() > MOST_MEETINGS {
            return Err(format!(
                "is no grammar that can be followed: it may have {MOST_MEETINGS} of & and ~"
            ));
        }
        if text.contains("%json") {
            return Err(
                "is no grammar that can be followed: send a schema as json_schema, without %json".into()
            );
        }
        self.matcher(TopLevelGrammar::from_lark(text.to_owned()), "is no grammar that can be followed")
    }

    fn gbnf(&self, text: &str) -> Result<Matcher, String> {
        let trie = self.parsers.tok_env().tok_trie();
        let rules =
            gbnf::parse(text, |name| trie.get_special_token(name).or_else(|| trie.token_id(name.as_bytes())));
        let lark = rules.map_err(|why| format!("is no grammar that can be followed: {why}"))?.to_lark();
        self.matcher(TopLevelGrammar::from_lark(lark), "is no grammar that can be followed")
    }

    fn matcher(&self, grammar: TopLevelGrammar, wrong: &str) -> Result<Matcher, String> {
        let matcher = Matcher::new(self.parsers.create_parser(grammar)).into_cancellable();
        if let Some(error) = matcher.get_error() {
            return Err(format!("{wrong}: {}", plain(&error)));
        }
        // What nothing satisfies, or costs too much from the first token on, is told now and not when its turn comes.
        match matcher.clone().compute_mask_or_eos() {
            Ok(mask) if !mask.is_zero() => Ok(matcher),
            Ok(_) => Err(format!("{wrong}: nothing satisfies it")),
            Err(error) if is_too_costly(&error.to_string()) => Err(format!("{wrong}: it is too complex")),
            Err(_) => Err(format!("{wrong}: nothing satisfies it")),
        }
    }
}

/// llguidance's error in one sentence.
fn plain(error: &str) -> String {
    if error.starts_with("oneOf") {
        return "no grammar can promise \"oneOf\" whose parts may overlap; write \"anyOf\"".into();
    }
    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("it is broken");
    // A broken regular expression is drawn over several lines, and what is wrong with it stands in the last one.
    let line = lines.find_map(|line| line.strip_prefix("error: ")).unwrap_or(first);
    match line.split_once("Unimplemented keys: ") {
        Some((_, keys)) => format!("no grammar can promise {}", keys.trim_matches(['[', ']'])),
        None => line.trim_end_matches('.').to_owned(),
    }
}

/// A vocabulary as llguidance sees it.
struct Environment {
    trie: TokTrie,
    tokenize: Tokenize,
}

impl Environment {
    fn new(vocabulary: TokenTexts) -> Self {
        let TokenTexts { texts, ends, tokenize } = vocabulary;
        let ends: Vec<TokenId> = ends.into_iter().filter_map(|end| end.try_into().ok()).collect();
        let size = u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let texts: Vec<Vec<u8>> = texts
            .into_iter()
            .map(|text| match text {
                TokenText::Text(bytes) => bytes,
                TokenText::Special(name) => [&[TokTrie::SPECIAL_TOKEN_MARKER], &name[..]].concat(),
            })
            .collect();
        let info = TokRxInfo::new(size, ends.first().copied().unwrap_or(llguidance::toktrie::INVALID_TOKEN));
        let mut trie = TokTrie::from(&info, &texts);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(&ends);
        }
        Self { trie, tokenize }
    }
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let tokens = self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            (self.tokenize)(text).into_iter().filter_map(|token| token.try_into().ok()).collect()
        });
        // Some vocabularies add a space before a text.
        if self.trie.decode_raw(&tokens) == bytes { tokens } else { self.trie.greedy_tokenize(bytes) }
    }
}
