//! The call that runs on a thread: which plugin's, on whose behalf, and what it may ask of the server.
//!
//! The engine is shared by all calls and host functions get no context, so the caller belongs to the thread. It comes from
//! the request and never from the script.

use std::cell::RefCell;

use rhai::EvalAltResult;

use super::budget;
use super::fault::host_error;
use super::hooks::Context;
use super::sandbox::Sandbox;
use super::services::Services;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Longest text that `tokens` counts, in bytes.
const MAX_TOKENS_BYTES: usize = 128 << 10;
/// What a byte of it takes at least, in microseconds: counting cannot be interrupted.
const MICROS_A_BYTE: u128 = 1;

thread_local! {
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// Whose call runs.
pub(super) struct Caller {
    services: Services,
}

/// Ends the call's rights when it is dropped.
#[must_use]
pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        CALLER.set(None);
    }
}

/// From now on host functions act for this plugin and this request.
pub(super) fn enter(sandbox: &Sandbox, _plugin: &str, _ctx: &Context) -> Entered {
    CALLER.set(Some(Caller { services: sandbox.services.clone() }));
    Entered
}

/// Asks something for the running call.
pub(super) fn with<T>(ask: impl FnOnce(&Caller) -> Fallible<T>) -> Fallible<T> {
    CALLER.with_borrow(|caller| match caller {
        Some(caller) => ask(caller),
        None => Err(host_error("it can be called from a hook only, not while the file is loaded")),
    })
}

impl Caller {
    /// The tokens of a text.
    pub(super) fn tokens(&self, text: &str) -> Fallible<i64> {
        let Some(tokens) = &self.services.tokens else {
            return Err(host_error("tokens: there is no model here"));
        };
        if text.len() > MAX_TOKENS_BYTES {
            return Err(host_error(format!("tokens counts texts of up to {MAX_TOKENS_BYTES} bytes")));
        }
        if budget::left().as_micros() < text.len() as u128 * MICROS_A_BYTE {
            return Err(host_error("tokens: too little is left of deadline_ms for so long a text"));
        }
        let count = tokens.count(text).map_err(|why| host_error(format!("tokens: {why}")))?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
