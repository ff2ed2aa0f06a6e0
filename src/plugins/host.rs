//! What scripts may call: the host functions.

use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult, Map, NativeCallContext};
use sha2::{Digest, Sha256};

use super::fault::HostError;
use super::natives::collect;
use super::patterns::Patterns;
use super::{budget, caller, json, kv, llm};

/// What a hook may return beside a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// Answer without the model.
    Reply(String),
    /// Refuse.
    Deny(String),
    /// End the reply with this text.
    Stop(String),
    /// Write the reply anew, with this hint to the model.
    Retry(String),
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
        .register_fn("stop", || Verdict::Stop(String::new()))
        .register_fn("stop", |text: &str| Verdict::Stop(text.to_owned()))
        .register_fn("retry", |hint: &str| Verdict::Retry(hint.to_owned()))
        .register_fn("log", |text: &str| budget::log(text))
        .register_fn("now", now)
        .register_fn("hash", hash)
        .register_fn("tokens", |text: &str| caller::with(|caller| caller.tokens(text)))
        .register_fn("re_is_match", move |text: &str, pattern: &str| {
            Ok::<_, Box<EvalAltResult>>(!matches.get(pattern)?.find(text, 1)?.is_empty())
        })
        .register_fn("re_find_all", move |ctx: NativeCallContext, text: &str, pattern: &str| {
            let most = ctx.engine().max_array_size() + 1;
            let found = find.get(pattern)?.find(text, most)?;
            collect(&ctx, found.into_iter().map(|range| &text[range]))
        })
        .register_fn("re_replace", move |ctx: NativeCallContext, text: &str, pattern: &str, to: &str| {
            replace.get(pattern)?.replace(text, to, ctx.engine().max_string_size())
        });
    json::register(engine);
    kv::register(engine);
    llm::register(engine);
    #[cfg(test)]
    engine.register_fn("test_panic", || -> () { panic!("a host function panics on purpose") });
}

/// The SHA-256 of a text, in hexadecimal.
fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
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
