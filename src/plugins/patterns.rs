//! Regular expressions that end in time, whatever the pattern and the text.
//!
//! "Linear time" means the length of the text times the size of the pattern, which can be minutes. So a search runs
//! on a lazy DFA, whose time does not grow with the pattern, and which gives up where it would have to build ever new
//! states. Only a text that is short enough for its pattern is then searched by the slow and sure way.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use regex_automata::Input;
use regex_automata::hybrid::{dfa, regex as lazy};
use regex_automata::nfa::thompson;
use regex_automata::util::iter::Searcher;
use rhai::EvalAltResult;

use super::budget;
use super::fault::host_error;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Longest pattern and longest replacement, in bytes.
const MAX_PATTERN_BYTES: usize = 1_000;
/// Largest compiled pattern, in bytes.
const MAX_COMPILED_BYTES: usize = 256 << 10;
/// Memory of the lazy DFA in one search, in bytes.
const CACHE_BYTES: usize = 2 << 20;
/// Most steps (states of the pattern times bytes of the text) of the slow way; about 7 ns each at worst.
const MAX_STEPS: usize = 32_000_000;
/// Compiled patterns that are kept.
const MAX_KEPT: usize = 64;

/// The patterns that scripts used lately, compiled; the same few are used for every message.
#[derive(Default)]
pub(super) struct Patterns {
    compiled: Mutex<HashMap<String, Arc<Pattern>>>,
}

impl Patterns {
    /// The pattern, compiled; the error never quotes it, because it may be made of the conversation.
    pub(super) fn get(&self, pattern: &str) -> Fallible<Arc<Pattern>> {
        // A panic while the lock was held leaves a map that is still a cache.
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = compiled().get(pattern) {
            return Ok(kept.clone());
        }
        let fresh = Arc::new(Pattern::compile(pattern)?);
        let mut compiled = compiled();
        if compiled.len() >= MAX_KEPT {
            compiled.clear();
        }
        compiled.insert(pattern.to_owned(), fresh.clone());
        Ok(fresh)
    }
}

/// One compiled regular expression.
pub(super) struct Pattern {
    lazy: lazy::Regex,
    full: Regex,
    states: usize,
}

impl Pattern {
    fn compile(pattern: &str) -> Fallible<Self> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(host_error(format!("a pattern is longer than {MAX_PATTERN_BYTES} bytes")));
        }
        let full = RegexBuilder::new(pattern).size_limit(4 * MAX_COMPILED_BYTES).build();
        let full = full.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => too_large(),
            _ => host_error("a regular expression is malformed"),
        })?;
        let dfa = dfa::Config::new()
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(3))
            .minimum_bytes_per_state(Some(10))
            .unicode_word_boundary(true);
        let lazy = lazy::Regex::builder()
            .dfa(dfa)
            .thompson(thompson::Config::new().nfa_size_limit(Some(MAX_COMPILED_BYTES)))
            .build(pattern)
            .map_err(|_| too_large())?;
        let states = lazy.forward().get_nfa().states().len();
        Ok(Self { lazy, full, states })
    }

    /// The first `most` matches, in order and without overlap.
    pub(super) fn find(&self, text: &str, most: usize) -> Fallible<Vec<Range<usize>>> {
        let mut found = Vec::new();
        let (mut cache, mut search) = (self.lazy.create_cache(), Searcher::new(Input::new(text)));
        while found.len() < most {
            in_time()?;
            match search.try_advance(|input| self.lazy.try_search(&mut cache, input)) {
                Ok(Some(next)) => found.push(next.range()),
                Ok(None) => return Ok(found),
                Err(_) => return self.find_slowly(text, most),
            }
        }
        Ok(found)
    }

    /// For what the lazy DFA cannot do: a Unicode word boundary beside other than ASCII, or too many states.
    fn find_slowly(&self, text: &str, most: usize) -> Fallible<Vec<Range<usize>>> {
        if self.states.saturating_mul(text.len()) > MAX_STEPS {
            return Err(host_error("a regular expression is too complicated for so long a text"));
        }
        let mut found = Vec::new();
        for next in self.full.find_iter(text).take(most) {
            in_time()?;
            found.push(next.range());
        }
        Ok(found)
    }

    /// Replaces every match; `$1` or `${name}` in the replacement stand for groups. The result has at most
    /// `max_bytes`.
    pub(super) fn replace(&self, text: &str, to: &str, max_bytes: usize) -> Fallible<String> {
        if to.len() > MAX_PATTERN_BYTES {
            return Err(host_error(format!("a replacement is longer than {MAX_PATTERN_BYTES} bytes")));
        }
        let groups = to.matches('$').count();
        let (mut result, mut end) = (String::new(), 0);
        for found in self.find(text, usize::MAX)? {
            in_time()?;
            // What this match can add at most, so that nothing is allocated above the limit.
            let added = (found.start - end) + to.len() + groups * found.len();
            if result.len() + added > max_bytes {
                return Err(host_error("a text is longer than max_string_bytes allows"));
            }
            result.push_str(&text[end..found.start]);
            if groups == 0 {
                result.push_str(to);
            } else if self.states.saturating_mul(found.len()) > MAX_STEPS {
                return Err(host_error("a regular expression is too complicated for so long a match"));
            } else if let Some(captures) = self.full.captures_at(text, found.start) {
                captures.expand(to, &mut result);
            }
            end = found.end;
        }
        result.push_str(&text[end..]);
        Ok(result)
    }
}

fn too_large() -> Box<EvalAltResult> {
    host_error("a regular expression is too large when compiled")
}

/// The engine looks at the clock between operations; a loop of the host does it here.
fn in_time() -> Fallible<()> {
    match budget::is_late() {
        true => Err(host_error("a regular expression takes longer than deadline_ms allows")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PluginsConfig;

    /// Runs in the budget of a call, without which every search is late.
    fn replaced(pattern: &str, text: &str, to: &str) -> String {
        let replace = || Pattern::compile(pattern).unwrap().replace(text, to, 1_000).unwrap();
        budget::within(&PluginsConfig::default(), "test", replace).0.unwrap()
    }

    #[test]
    fn groups_word_boundaries_and_empty_matches_work_in_any_script() {
        assert_eq!(replaced(r"(\w+)@(?<host>\w+)", "ada@home, bob@work", "${host}:$1"), "home:ada, work:bob");
        assert_eq!(replaced(r"\bäpfel\b", "äpfel, bratäpfel, äpfel", "x"), "x, bratäpfel, x");
        assert_eq!(replaced("", "é1", "-"), "-é-1-");
        assert_eq!(replaced("x", "", "-"), "");
    }

    #[test]
    fn what_cannot_be_compiled_in_bounds_is_refused_without_quoting_it() {
        for pattern in ["secret(", &"secret".repeat(200), r"(\w{100}){100}"] {
            let error = Pattern::compile(pattern).err().unwrap();

            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
