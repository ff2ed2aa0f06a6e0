//! Bounded versions of Rhai's own functions that could allocate or run without measure in one call.
//!
//! The engine checks sizes only after a native function has returned, and its deadline only between operations.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, ImmutableString, NativeCallContext};

use super::fault::host_error;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

const TEXT_TOO_LONG: &str = "a text is longer than max_string_bytes allows";

pub(super) fn register(engine: &mut rhai::Engine) {
    replacing(engine);
    splitting(engine);
    padding(engine);
    sorting(engine);
}

fn replacing(engine: &mut rhai::Engine) {
    engine
        .register_fn("replace", |ctx: NativeCallContext, text: &mut ImmutableString, from: &str, to: &str| {
            replace(&ctx, text, from, to)
        })
        .register_fn("replace", |ctx: NativeCallContext, text: &mut ImmutableString, from: &str, to: char| {
            replace(&ctx, text, from, to.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", |ctx: NativeCallContext, text: &mut ImmutableString, from: char, to: &str| {
            replace(&ctx, text, from.encode_utf8(&mut [0; 4]), to)
        })
        .register_fn(
            "replace",
            |ctx: NativeCallContext, text: &mut ImmutableString, from: char, to: char| {
                replace(&ctx, text, from.encode_utf8(&mut [0; 4]), to.encode_utf8(&mut [0; 4]))
            },
        );
}

fn replace(ctx: &NativeCallContext, text: &mut ImmutableString, from: &str, to: &str) -> Fallible<()> {
    if to.len() > from.len() {
        let grown = text.matches(from).count().saturating_mul(to.len() - from.len());
        if text.len().saturating_add(grown) > ctx.engine().max_string_size() {
            return Err(host_error(TEXT_TOO_LONG));
        }
    }
    *text = text.replace(from, to).into();
    Ok(())
}

fn splitting(engine: &mut rhai::Engine) {
    engine
        .register_fn("to_chars", |ctx: NativeCallContext, text: &str| collect(&ctx, text.chars()))
        .register_fn("split", |ctx: NativeCallContext, text: &str| collect(&ctx, text.split_whitespace()))
        .register_fn("split", |ctx: NativeCallContext, text: &str, by: &str| collect(&ctx, text.split(by)))
        .register_fn("split", |ctx: NativeCallContext, text: &str, by: char| collect(&ctx, text.split(by)))
        .register_fn("split", |ctx: NativeCallContext, text: &str, by: &str, most: i64| {
            collect(&ctx, text.splitn(at_least_one(most), by))
        })
        .register_fn("split", |ctx: NativeCallContext, text: &str, by: char, most: i64| {
            collect(&ctx, text.splitn(at_least_one(most), by))
        })
        .register_fn("split_rev", |ctx: NativeCallContext, text: &str, by: &str| {
            collect(&ctx, text.rsplit(by))
        })
        .register_fn("split_rev", |ctx: NativeCallContext, text: &str, by: char| {
            collect(&ctx, text.rsplit(by))
        })
        .register_fn("split_rev", |ctx: NativeCallContext, text: &str, by: &str, most: i64| {
            collect(&ctx, text.rsplitn(at_least_one(most), by))
        })
        .register_fn("split_rev", |ctx: NativeCallContext, text: &str, by: char, most: i64| {
            collect(&ctx, text.rsplitn(at_least_one(most), by))
        });
}

fn at_least_one(count: i64) -> usize {
    usize::try_from(count).unwrap_or(1).max(1)
}

/// The items as an array, as long as they fit into one.
pub(super) fn collect(ctx: &NativeCallContext, items: impl Iterator<Item: Into<Dynamic>>) -> Fallible<Array> {
    let most = ctx.engine().max_array_size();
    let array: Array = items.take(most + 1).map(Into::into).collect();
    if array.len() > most {
        return Err(host_error("a list is longer than max_array_len allows"));
    }
    Ok(array)
}

fn padding(engine: &mut rhai::Engine) {
    engine
        .register_fn("pad", |ctx: NativeCallContext, text: &mut ImmutableString, length: i64, with: char| {
            pad(&ctx, text, length, with.encode_utf8(&mut [0; 4]))
        })
        .register_fn("pad", |ctx: NativeCallContext, text: &mut ImmutableString, length: i64, with: &str| {
            pad(&ctx, text, length, with)
        });
}

/// Pads to `length` characters.
fn pad(ctx: &NativeCallContext, text: &mut ImmutableString, length: i64, with: &str) -> Fallible<()> {
    let length = usize::try_from(length).unwrap_or(0);
    let missing = length.saturating_sub(text.chars().count());
    if missing == 0 || with.is_empty() {
        return Ok(());
    }
    let widest = with.chars().map(char::len_utf8).max().unwrap_or(0);
    if text.len().saturating_add(missing.saturating_mul(widest)) > ctx.engine().max_string_size() {
        return Err(host_error(TEXT_TOO_LONG));
    }
    let padded: String = text.chars().chain(with.chars().cycle().take(missing)).collect();
    *text = padded.into();
    Ok(())
}

fn sorting(engine: &mut rhai::Engine) {
    for name in ["sort", "sort_by"] {
        engine.register_fn(name, |ctx: NativeCallContext, array: &mut Array, comparer: FnPtr| {
            sort(&ctx, array, &comparer)
        });
    }
    for name in ["order", "order_by"] {
        engine.register_fn(name, |ctx: NativeCallContext, array: Array, comparer: FnPtr| {
            let mut array = array;
            sort(&ctx, &mut array, &comparer).map(|()| array)
        });
    }
}

/// Sorts by a script's function; its first error ends the sorting.
fn sort(ctx: &NativeCallContext, array: &mut Array, comparer: &FnPtr) -> Fallible<()> {
    let mut failure = None;
    let compare = |a: &Dynamic, b: &Dynamic| {
        if failure.is_some() {
            return Ordering::Equal;
        }
        match comparer.call_raw(ctx, None, [a.clone(), b.clone()]) {
            Ok(verdict) => match (verdict.as_int(), verdict.as_bool()) {
                (Ok(number), _) => number.cmp(&0),
                (_, Ok(true)) => Ordering::Less,
                (_, Ok(false)) => Ordering::Greater,
                _ => {
                    failure = Some(host_error("a comparison must return a number or true/false"));
                    Ordering::Equal
                }
            },
            Err(error) => {
                failure = Some(error);
                Ordering::Equal
            }
        }
    };
    // `sort_by` may panic when the function contradicts itself.
    let sorted = catch_unwind(AssertUnwindSafe(|| array.sort_by(compare)));
    match (failure, sorted) {
        (Some(error), _) => Err(error),
        (None, Err(_)) => Err(host_error("the comparison contradicts itself")),
        (None, Ok(())) => Ok(()),
    }
}
