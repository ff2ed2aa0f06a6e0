//! What scripts may call: the host functions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, EvalAltResult, Map, NativeCallContext};

use super::budget;
use super::fault::{HostError, host_error};
use super::natives::collect;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Longest pattern and longest replacement of a regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 1_000;
/// Largest compiled regular expression, in bytes. Searching takes at worst time in proportion to it.
const MAX_COMPILED_BYTES: usize = 256 << 10;
/// Compiled regular expressions that are kept.
const MAX_KEPT_PATTERNS: usize = 64;

/// What `on_message` may return beside a text.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    /// Answer without the model.
    Reply(String),
    /// Refuse.
    Deny(String),
}

/// Makes the host functions known to scripts. Each line of this function is one of them.
pub(super) fn register(engine: &mut rhai::Engine) {
    let patterns = Arc::new(Patterns::default());
    let (replace, matches, find) = (patterns.clone(), patterns.clone(), patterns);
    engine
        .register_type_with_name::<Verdict>("verdict")
        .register_type_with_name::<HostError>("host error")
        .register_fn("to_string", |error: &mut HostError| error.0.clone())
        .register_fn("reply", |text: &str| Verdict::Reply(text.to_owned()))
        .register_fn("deny", |reason: &str| Verdict::Deny(reason.to_owned()))
        .register_fn("log", |text: &str| budget::log(text))
        .register_fn("now", now)
        .register_fn("re_is_match", move |text: &str, pattern: &str| {
            matches.get(pattern).map(|regex| regex.is_match(text))
        })
        .register_fn("re_find_all", move |ctx: NativeCallContext, text: &str, pattern: &str| {
            find.get(pattern).and_then(|regex| re_find_all(&ctx, text, &regex))
        })
        .register_fn("re_replace", move |ctx: NativeCallContext, text: &str, pattern: &str, to: &str| {
            replace.get(pattern).and_then(|regex| re_replace(&ctx, text, &regex, to))
        });
    #[cfg(test)]
    engine.register_fn("test_panic", || -> () { panic!("a host function panics on purpose") });
}

/// The local time: `year`, `month`, `day`, `hour`, `minute`, `weekday`, `date` (2026-03-01), `iso`.
fn now() -> Map {
    let now = jiff::Zoned::now();
    let entries: [(&str, Dynamic); 8] = [
        ("year", i64::from(now.year()).into()),
        ("month", i64::from(now.month()).into()),
        ("day", i64::from(now.day()).into()),
        ("hour", i64::from(now.hour()).into()),
        ("minute", i64::from(now.minute()).into()),
        ("weekday", now.strftime("%A").to_string().into()),
        ("date", now.date().to_string().into()),
        ("iso", now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().into()),
    ];
    entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

fn re_find_all(ctx: &NativeCallContext, text: &str, regex: &Regex) -> Fallible<Array> {
    let found =
        collect(ctx, regex.find_iter(text).take_while(|_| !budget::is_late()).map(|found| found.as_str()))?;
    in_time().map(|()| found)
}

/// The engine looks at the clock between operations; a loop of the host does it here.
fn in_time() -> Fallible<()> {
    match budget::is_late() {
        true => Err(host_error("a regular expression took longer than deadline_ms allows")),
        false => Ok(()),
    }
}

/// Replaces every match; `$1` or `${name}` in the replacement stand for groups.
fn re_replace(ctx: &NativeCallContext, text: &str, regex: &Regex, to: &str) -> Fallible<String> {
    if to.len() > MAX_PATTERN_BYTES {
        return Err(host_error(format!("a replacement is longer than {MAX_PATTERN_BYTES} bytes")));
    }
    let groups = to.matches('$').count();
    let mut result = String::new();
    let mut end = 0;
    for found in regex.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        // What this match can add at most, so that nothing is allocated above the limit.
        let grown = (whole.start() - end) + to.len() + groups * whole.len();
        if result.len() + grown > ctx.engine().max_string_size() {
            return Err(host_error("a text is longer than max_string_bytes allows"));
        }
        in_time()?;
        result.push_str(&text[end..whole.start()]);
        found.expand(to, &mut result);
        end = whole.end();
    }
    result.push_str(&text[end..]);
    Ok(result)
}

/// Compiled patterns; the same few are used for every message.
#[derive(Default)]
struct Patterns {
    compiled: Mutex<HashMap<String, Regex>>,
}

impl Patterns {
    fn get(&self, pattern: &str) -> Fallible<Regex> {
        // A panic while the lock was held leaves a map that is still a cache.
        let kept =
            |it: &Self| it.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(pattern).cloned();
        if let Some(regex) = kept(self) {
            return Ok(regex);
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(host_error(format!("a pattern is longer than {MAX_PATTERN_BYTES} bytes")));
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_COMPILED_BYTES)
            .dfa_size_limit(MAX_COMPILED_BYTES)
            .build()
            .map_err(|error| host_error(refusal(&error)))?;
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= MAX_KEPT_PATTERNS {
            compiled.clear();
        }
        compiled.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }
}

/// The sentence without the pattern itself, which may be made of the conversation.
fn refusal(error: &regex::Error) -> &'static str {
    match error {
        regex::Error::CompiledTooBig(_) => "a regular expression is too large when compiled",
        _ => "a regular expression is malformed",
    }
}
