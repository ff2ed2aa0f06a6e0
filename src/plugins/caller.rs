//! The call that runs on a thread: which plugin's, on whose behalf, and what it may ask of the server.
//!
//! The engine is shared by all calls and host functions get no context, so the caller belongs to the thread. It comes from
//! the request and never from the script.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::EvalAltResult;

use super::choices::{HIDDEN, Plugin};
use super::fault::host_error;
use super::hooks::Context;
use super::sandbox::Sandbox;
use super::services::{KeyValue, Llm, LlmOrder};
use super::{budget, memory, workers};
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
    sandbox: Arc<Sandbox>,
    plugin: Arc<Plugin>,
    user: UserId,
    conversation: Option<ConversationId>,
    kv_calls: Cell<u32>,
    llm_calls: Cell<u32>,
    in_a_reply: bool,
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
pub(super) fn enter(sandbox: &Arc<Sandbox>, plugin: &Arc<Plugin>, ctx: &Context) -> Entered {
    CALLER.set(Some(Caller {
        sandbox: sandbox.clone(),
        plugin: plugin.clone(),
        user: ctx.user_id,
        conversation: ctx.conversation,
        kv_calls: Cell::new(0),
        llm_calls: Cell::new(0),
        in_a_reply: ctx.kind == "chat",
    }));
    Entered
}

/// A text with something else in the place of the running plugin's secrets.
pub(super) fn without_secrets(text: &str) -> Cow<'_, str> {
    CALLER.with_borrow(|caller| {
        let secrets = caller.iter().flat_map(|caller| caller.plugin.secrets.iter());
        secrets.fold(Cow::Borrowed(text), |text, secret| match text.contains(secret.as_str()) {
            true => Cow::Owned(text.replace(secret.as_str(), HIDDEN)),
            false => text,
        })
    })
}

/// Asks something for the running call.
pub(super) fn with<T>(ask: impl FnOnce(&Caller) -> Fallible<T>) -> Fallible<T> {
    CALLER.with_borrow(|caller| match caller {
        Some(caller) => ask(caller),
        None => Err(host_error("it can be called from a hook only, not while the file is loaded or tested")),
    })
}

impl Caller {
    /// What the plugin may keep in one place.
    pub(super) fn quota(&self) -> KvQuota {
        let config = &self.sandbox.config;
        KvQuota { keys: config.kv_max_keys, bytes: config.kv_max_bytes }
    }

    /// The tokens of a text.
    pub(super) fn tokens(&self, text: &str) -> Fallible<i64> {
        let Some(tokens) = &self.sandbox.services.tokens else {
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
        access: Access,
        ask: impl FnOnce(&dyn KeyValue, &KvShelf, Duration) -> Result<T, String>,
        take: impl FnOnce(&T) -> Fallible<R>,
    ) -> Fallible<R> {
        let scope = self.scope(scope)?;
        let lasts = !matches!(scope, KvScope::Conversation(..));
        if access == Access::Write && lasts && self.conversation.is_some_and(ConversationId::is_temporary) {
            return Err(host_error(
                "a temporary conversation leaves nothing behind: keep it in scope \"conversation\"",
            ));
        }
        let Some(store) = &self.sandbox.services.kv else {
            return Err(host_error("nothing can be kept here: there is no database"));
        };
        if self.kv_calls.replace(self.kv_calls.get() + 1) >= MAX_KV_CALLS {
            return Err(host_error(format!("a call may use the kv functions {MAX_KV_CALLS} times")));
        }
        let shelf = KvShelf { plugin: self.plugin.id.clone(), scope };
        foreign(|| ask(store.as_ref(), &shelf, budget::left()), take)
    }

    /// The model, if the plugin may use it now, and an order to fill.
    pub(super) fn llm(&self) -> Fallible<(&dyn Llm, LlmOrder)> {
        let config = &self.sandbox.config;
        if !self.plugin.asks_for_llm() {
            return Err(host_error("llm_generate needs capabilities: [\"llm\"] in PLUGIN"));
        }
        let granted = config.grants.get(&self.plugin.id);
        if !granted.is_some_and(|granted| granted.iter().any(|it| it == "llm")) {
            let grant = format!("grants = {{ {} = [\"llm\"] }} in [default.plugins]", self.plugin.id);
            return Err(host_error(format!("llm_generate needs the operator's grant: {grant}")));
        }
        let Some(llm) = &self.sandbox.services.llm else {
            return Err(host_error("llm_generate: there is no model here"));
        };
        let most = config.llm_max_calls;
        if self.llm_calls.replace(self.llm_calls.get() + 1) >= most {
            return Err(host_error(format!("a call may use llm_generate {most} times (llm_max_calls)")));
        }
        let order = LlmOrder {
            user: self.user,
            messages: Vec::new(),
            params: llm.params(),
            json_schema: None,
            in_a_reply: self.in_a_reply,
            within: Duration::from_millis(config.llm_deadline_ms),
            caller: None,
        };
        Ok((llm.as_ref(), order))
    }

    /// Lets the model write, off the call's own time and off the threads that run scripts; `take` makes of the text what the
    /// script gets.
    pub(super) fn generate<R>(
        &self,
        llm: &dyn Llm,
        mut order: LlmOrder,
        take: impl FnOnce(&String) -> Fallible<R>,
    ) -> Fallible<R> {
        order.params.max_tokens = order.params.max_tokens.min(self.sandbox.config.llm_max_tokens);
        let since = Instant::now();
        let written = || {
            let written = llm.generate(LlmOrder { caller: workers::leave_place(), ..order });
            budget::extend(since.elapsed());
            written.map_err(|why| format!("llm_generate: {why}"))
        };
        foreign(written, take)
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

/// What a script does with what is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Waits for an answer of others. What another thread allocated is looked at here and given back uncounted.
fn foreign<T, R>(
    ask: impl FnOnce() -> Result<T, String>,
    take: impl FnOnce(&T) -> Fallible<R>,
) -> Fallible<R> {
    let answer = memory::uncounted(|| workers::aside(ask));
    let taken = match &answer {
        Ok(answer) => take(answer),
        Err(why) => Err(host_error(why.clone())),
    };
    memory::uncounted(|| drop(answer));
    taken
}
