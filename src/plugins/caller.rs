//! The call that runs on a thread: which plugin's, on whose behalf, and what it may ask of the server.
//!
//! The engine is shared by all calls and host functions get no context, so the caller belongs to the thread. It comes from
//! the request and never from the script.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use rhai::EvalAltResult;

use super::fault::host_error;
use super::hooks::Context;
use super::sandbox::Sandbox;
use super::services::{KeyValue, Services};
use super::{budget, kv};
use crate::domain::{ConversationId, KvQuota, KvScope, KvShelf, UserId};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Longest text that `tokens` counts, in bytes.
const MAX_TOKENS_BYTES: usize = 128 << 10;
/// What a byte of it takes at least, in microseconds: counting cannot be interrupted.
const MICROS_A_BYTE: u128 = 1;
/// Most uses of the functions that keep something in one call: each write waits for the disk.
const MAX_KV_CALLS: u32 = 100;

thread_local! {
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// Whose call runs.
pub(super) struct Caller {
    services: Services,
    plugin: String,
    user: UserId,
    conversation: Option<ConversationId>,
    pub(super) quota: KvQuota,
    kv_calls: Cell<u32>,
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
pub(super) fn enter(sandbox: &Sandbox, plugin: &str, ctx: &Context) -> Entered {
    CALLER.set(Some(Caller {
        services: sandbox.services.clone(),
        plugin: plugin.to_owned(),
        user: ctx.user_id,
        conversation: ctx.conversation,
        quota: KvQuota { keys: sandbox.config.kv_max_keys, bytes: sandbox.config.kv_max_bytes },
        kv_calls: Cell::new(0),
    }));
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

    /// Asks the store behind `kv_get` and its like within what is left of the call's time; `take` makes of the answer what
    /// the script gets.
    pub(super) fn kv<T, R>(
        &self,
        scope: &str,
        ask: impl FnOnce(&dyn KeyValue, &KvShelf, Duration) -> Result<T, String>,
        take: impl FnOnce(&T) -> Fallible<R>,
    ) -> Fallible<R> {
        let scope = self.scope(scope)?;
        let Some(store) = &self.services.kv else {
            return Err(host_error("nothing can be kept here: there is no database"));
        };
        if self.kv_calls.replace(self.kv_calls.get() + 1) >= MAX_KV_CALLS {
            return Err(host_error(format!("a call may use the kv functions {MAX_KV_CALLS} times")));
        }
        let shelf = KvShelf { plugin: self.plugin.clone(), scope };
        kv::foreign(|| ask(store.as_ref(), &shelf, budget::left()), take)
    }

    fn scope(&self, named: &str) -> Fallible<KvScope> {
        match (named, self.conversation) {
            ("global", _) => Ok(KvScope::Global),
            ("user", _) => Ok(KvScope::User(self.user)),
            ("conversation", Some(conversation)) => Ok(KvScope::Conversation(self.user, conversation)),
            ("conversation", None) => {
                Err(host_error("this request belongs to no conversation: ctx.conversation is ()"))
            }
            _ => Err(host_error("a scope is \"global\", \"user\" or \"conversation\"")),
        }
    }
}
