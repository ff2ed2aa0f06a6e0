//! The plugins of one moment, and the chains in which a message passes through them.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::change::Traced;
use super::choices::Plugin;
use super::draft;
use super::fault::Fault;
use super::hooks::{Context, Denied, Draft, Hook};
use super::manifest::Hold;
use super::sandbox::Sandbox;
use super::stream::ReplyStream;
use crate::domain::{HookOutcome, Mark};

/// The plugins as their files were at one moment. A reply keeps the set with which it began.
pub struct PluginSet {
    pub(super) chain: Arc<Chain>,
}

/// The plugins in their order, and where they run.
pub(super) struct Chain {
    pub(super) sandbox: Arc<Sandbox>,
    /// In the order of the way in.
    pub(super) members: Vec<Member>,
}

/// A plugin's place in the chains.
#[derive(Clone)]
pub(super) enum Member {
    /// It compiled once; this is the last version that did.
    Loaded(Arc<Plugin>),
    /// It never compiled and must not be skipped.
    Refusing {
        /// Its id.
        id: String,
        /// Why it cannot work.
        error: String,
    },
}

/// What one hook call did to the value that passes through the chain.
pub(super) enum Step<T> {
    Unchanged,
    Changed(T),
    /// The chain ends here with a text: the answer in the model's place, or a hint to the model.
    Ended(String),
    Denied(String),
}

/// A plugin had no effect.
pub(super) struct NoEffect {
    /// The end of a sentence that begins with the plugin.
    pub(super) reason: String,
    /// `Failed` or `Resting`.
    pub(super) outcome: HookOutcome,
}

/// What a whole chain did.
pub(super) struct Passed<T> {
    pub(super) value: T,
    pub(super) ended: Option<Ended>,
    pub(super) marks: Vec<Mark>,
}

/// A plugin ended the chain.
pub(super) struct Ended {
    pub(super) plugin: String,
    pub(super) said: String,
}

impl PluginSet {
    pub(super) fn new(sandbox: Arc<Sandbox>, mut members: Vec<Member>) -> Self {
        // What refuses in any case does so before others work.
        members.sort_by_key(|member| match member {
            Member::Refusing { id, .. } => (false, i64::MIN, id.clone()),
            Member::Loaded(plugin) => (true, plugin.manifest.priority, plugin.id.clone()),
        });
        let set = Self { chain: Arc::new(Chain { sandbox, members }) };
        for command in set.commands().iter().filter(|command| !command.passed_over.is_empty()) {
            let (name, passed_over) = (&command.name, command.passed_over.join(", "));
            tracing::warn!(plugin = command.plugin, "/{name} is this plugin's; {passed_over} also define it");
        }
        set
    }

    /// Whether nothing of a reply may be shown, sent or stored before [`PluginSet::on_response`] has run.
    pub fn holds_reply(&self) -> bool {
        self.chain.members.iter().any(|member| match member {
            Member::Loaded(plugin) => plugin.manifest.hold == Hold::Reply,
            Member::Refusing { .. } => true,
        })
    }

    /// Whether of a reply nothing but what came of it may be kept: no text that it lost on its way out.
    pub fn seals_reply(&self) -> bool {
        self.chain.seals_reply()
    }

    /// Whether what the model says may differ from what is shown while it is written.
    pub fn filters_reply(&self) -> bool {
        self.holds_reply() || self.sees_pieces()
    }

    /// Whether plugins are called for every piece of a reply.
    pub fn sees_pieces(&self) -> bool {
        self.chain.has(Hook::OnChunk)
    }

    /// A reply's way through `on_chunk`.
    pub fn stream(&self, ctx: &Context) -> ReplyStream {
        let plugins = self.chain.taking_part(Hook::OnChunk).rev().filter_map(|member| match member {
            Member::Loaded(plugin) => Some(plugin.clone()),
            // It refused before a reply could begin.
            Member::Refusing { .. } => None,
        });
        ReplyStream::new(self.chain.clone(), ctx.clone(), plugins.collect())
    }

    /// Runs the task that writes a reply: on the plugins' threads where they see every piece of it, so that a piece wakes none.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        if self.sees_pieces() { self.chain.sandbox.spawn(task) } else { tokio::spawn(task) }
    }

    /// The prompt is constructed and goes to the chat template next.
    ///
    /// # Errors
    /// [`Denied`] when a plugin that must not be skipped failed.
    pub async fn on_prompt(&self, ctx: &Context, draft: Draft) -> Result<(Draft, Vec<Mark>), Denied> {
        let passed = self.pass(Hook::OnPrompt, ctx, draft, |plugin, sandbox, ctx, draft: &Draft| {
            plugin.call(
                sandbox,
                Hook::OnPrompt,
                ctx,
                || draft::to_script(draft),
                |returned| {
                    if returned.is_unit() {
                        return Ok(Step::Unchanged);
                    }
                    draft::from_script(&returned, draft).map(Step::Changed)
                },
            )
        });
        passed.await.map(|passed| (passed.value, passed.marks))
    }

    pub(super) async fn pass<T, C>(
        &self,
        hook: Hook,
        ctx: &Context,
        value: T,
        call: C,
    ) -> Result<Passed<T>, Denied>
    where
        T: Traced + Send + 'static,
        C: Fn(&Arc<Plugin>, &Arc<Sandbox>, &Context, &T) -> Result<Step<T>, Fault> + Send + 'static,
    {
        if !self.chain.has(hook) {
            return Ok(Passed { value, ended: None, marks: Vec::new() });
        }
        let (chain, ctx) = (self.chain.clone(), ctx.clone());
        self.chain.run_job(hook, move || chain.run(hook, &ctx, value, call)).await
    }
}

impl Member {
    /// The plugin, unless it is one that never compiled and must not be skipped.
    pub(super) fn working(&self) -> Result<&Arc<Plugin>, Denied> {
        match self {
            Self::Loaded(plugin) => Ok(plugin),
            Self::Refusing { id, error } => {
                Err(Denied { plugin: id.clone(), reason: format!("it cannot work: {error}") })
            }
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Loaded(plugin) => &plugin.id,
            Self::Refusing { id, .. } => id,
        }
    }

    /// Whether it may wait for the model.
    fn may_wait(&self) -> bool {
        matches!(self, Self::Loaded(plugin) if plugin.asks_for_llm())
    }
}

impl Chain {
    /// The plugins that work, in the order of the way in; none where one refuses in any case.
    pub(super) fn loaded(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.members.iter().map_while(|member| match member {
            Member::Loaded(plugin) => Some(plugin),
            Member::Refusing { .. } => None,
        })
    }

    /// Whether what becomes of a reply on its way out may be kept as places and lengths only: a plugin that holds text back or is
    /// sensitive takes part.
    pub(super) fn seals_reply(&self) -> bool {
        self.loaded().any(|plugin| {
            let seals = plugin.is_sensitive() || plugin.manifest.hold != Hold::Chars(0);
            seals && plugin.hooks.iter().any(|hook| hook.is_on_the_way_out())
        })
    }

    /// Whether anybody has a part in a hook.
    pub(super) fn has(&self, hook: Hook) -> bool {
        self.taking_part(hook).next().is_some()
    }

    /// The members that have a part in a hook, in the order of the way in.
    fn taking_part(&self, hook: Hook) -> impl DoubleEndedIterator<Item = &Member> {
        self.members.iter().filter(move |member| match member {
            Member::Loaded(plugin) => plugin.hooks.contains(&hook),
            Member::Refusing { .. } => true,
        })
    }

    /// Runs script work of one hook on a thread of the sandbox.
    pub(super) async fn run_job<T: Send + 'static>(
        &self,
        hook: Hook,
        job: impl FnOnce() -> Result<T, Denied> + Send + 'static,
    ) -> Result<T, Denied> {
        let waits = self.taking_part(hook).any(Member::may_wait);
        let ran = self.sandbox.run(waits, job).await;
        ran.unwrap_or_else(|not_run| {
            let plugin =
                self.taking_part(hook).next().map_or_else(String::new, |member| member.id().to_owned());
            tracing::error!(plugin, "{not_run}");
            Err(Denied { plugin, reason: format!("it could not run: {not_run}") })
        })
    }

    fn run<T: Traced>(
        &self,
        hook: Hook,
        ctx: &Context,
        value: T,
        call: impl Fn(&Arc<Plugin>, &Arc<Sandbox>, &Context, &T) -> Result<Step<T>, Fault>,
    ) -> Result<Passed<T>, Denied> {
        let mut members: Vec<&Member> = self.taking_part(hook).collect();
        if hook.is_on_the_way_out() {
            members.reverse();
        }
        let mut passed = Passed { value, ended: None, marks: Vec::new() };
        for member in members {
            let plugin = member.working()?;
            let call = |value: &T| call(plugin, &self.sandbox, ctx, value);
            self.advance(plugin, hook, hook.name(), ctx, &mut passed, call)?;
            if passed.ended.is_some() {
                break;
            }
        }
        Ok(passed)
    }

    /// Lets one plugin work on what passes through.
    pub(super) fn advance<T: Traced>(
        &self,
        plugin: &Plugin,
        hook: Hook,
        function: &str,
        ctx: &Context,
        passed: &mut Passed<T>,
        call: impl FnOnce(&T) -> Result<Step<T>, Fault>,
    ) -> Result<(), Denied> {
        let result = self.attempt(plugin, hook, || call(&passed.value));
        ctx.trace.step(plugin, function, self.seals_reply(), &passed.value, &result);
        match result {
            Ok(Step::Unchanged) => {}
            Ok(Step::Changed(changed)) => passed.value = changed,
            Ok(Step::Ended(said)) => passed.ended = Some(Ended { plugin: plugin.id.clone(), said }),
            Ok(Step::Denied(reason)) => return Err(Denied { plugin: plugin.id.clone(), reason }),
            Err(NoEffect { reason, .. }) if plugin.is_closed() => {
                return Err(Denied { plugin: plugin.id.clone(), reason });
            }
            Err(NoEffect { reason, .. }) => passed.marks.push(skipped(plugin, &reason)),
        }
        Ok(())
    }

    /// Calls a plugin unless its breaker is open; the error is the reason why it had no effect.
    pub(super) fn attempt<S>(
        &self,
        plugin: &Plugin,
        hook: Hook,
        call: impl FnOnce() -> Result<S, Fault>,
    ) -> Result<S, NoEffect> {
        if plugin.breaker.is_open() {
            let failures = self.sandbox.config.breaker_failures;
            let reason = format!("it failed {failures} times in a row and rests until its file changes");
            return Err(NoEffect { reason, outcome: HookOutcome::Resting });
        }
        let result = call();
        plugin.breaker.record(hook, result.is_err());
        result.map_err(|fault| {
            tracing::warn!(plugin = plugin.id, hook = hook.name(), "{fault}");
            let outcome = HookOutcome::Failed(fault.to_string());
            NoEffect { reason: format!("it failed at {fault}"), outcome }
        })
    }
}

/// The mark of a plugin that had no effect.
pub(super) fn skipped(plugin: &Plugin, reason: &str) -> Mark {
    Mark { source: plugin.id.clone(), text: format!("The plugin {} was skipped: {reason}.", plugin.id) }
}
