//! What a script may keep between calls, for everybody, for the person who asks, or for their conversation.

use std::time::Duration;

use rhai::{Dynamic, EvalAltResult, NativeCallContext};

use super::caller::{self, Access};
use super::fault::host_error;
use super::json;
use super::natives::collect;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 128;
/// Longest time that can be asked for, in seconds: ten years.
const MAX_SECONDS: i64 = 315_360_000;

pub(super) fn register(engine: &mut rhai::Engine) {
    engine
        .register_fn("kv_get", get)
        .register_fn("kv_set", |ctx: NativeCallContext, scope: &str, key: &str, value: Dynamic| {
            set(&ctx, scope, key, &value, None)
        })
        .register_fn(
            "kv_set",
            |ctx: NativeCallContext, scope: &str, key: &str, value: Dynamic, seconds: i64| match seconds {
                1..=MAX_SECONDS => {
                    set(&ctx, scope, key, &value, Some(Duration::from_secs(seconds.unsigned_abs())))
                }
                _ => Err(host_error(format!("kv_set keeps a value for 1 to {MAX_SECONDS} seconds"))),
            },
        )
        .register_fn("kv_delete", |scope: &str, key: &str| {
            let key = checked(key)?;
            caller::with(|caller| {
                caller.kv(
                    scope,
                    Access::Write,
                    |kv, shelf, within| kv.delete(shelf, key, within),
                    |was| Ok(*was),
                )
            })
        })
        .register_fn("kv_keys", |ctx: NativeCallContext, scope: &str| {
            caller::with(|caller| {
                caller.kv(
                    scope,
                    Access::Read,
                    |kv, shelf, within| kv.keys(shelf, within),
                    |keys| collect(&ctx, keys.iter().map(String::as_str)),
                )
            })
        });
}

fn get(ctx: NativeCallContext, scope: &str, key: &str) -> Fallible<Dynamic> {
    let key = checked(key)?;
    caller::with(|caller| {
        caller.kv(
            scope,
            Access::Read,
            |kv, shelf, within| kv.get(shelf, key, within),
            |kept| kept.as_deref().map_or(Ok(Dynamic::UNIT), |text| json::parse(text, ctx.engine())),
        )
    })
}

fn set(
    ctx: &NativeCallContext,
    scope: &str,
    key: &str,
    value: &Dynamic,
    lives: Option<Duration>,
) -> Fallible<()> {
    let key = checked(key)?;
    let text = json::stringify(value, ctx.engine().max_string_size())?;
    caller::with(|caller| {
        let quota = caller.quota();
        caller.kv(
            scope,
            Access::Write,
            |kv, shelf, within| kv.set(shelf, key, &text, lives, quota, within),
            |fits| match fits {
                true => Ok(()),
                false => Err(host_error(format!(
                    "it does not fit: a plugin keeps {} entries (kv_max_keys) and {} bytes (kv_max_bytes) in a scope",
                    quota.keys, quota.bytes
                ))),
            },
        )
    })
}

fn checked(key: &str) -> Fallible<&str> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.contains('\0') {
        return Err(host_error(format!("a key has 1 to {MAX_KEY_BYTES} bytes and no NUL character")));
    }
    Ok(key)
}
