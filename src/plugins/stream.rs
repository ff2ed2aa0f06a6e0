//! A reply on its way through `on_chunk`, while it is written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::Dynamic;

use super::choices::Plugin;
use super::draft;
use super::hooks::{Context, Denied, Hook};
use super::host::Verdict;
use super::set::{Chain, NoEffect, skipped};
use super::trace::ChunkTally;
use super::value::type_name;
use super::window::{LetGo, Window};
use crate::domain::Mark;

/// Least time between two calls of the plugins for one reply that is written faster: a call costs more than a token of a fast
/// model, and a reader sees no difference.
const PACE: Duration = Duration::from_millis(20);
/// … and for all replies that are written at the same time, of which each is called for less often.
const PACE_OF_ALL: Duration = Duration::from_millis(6);
/// A reply is never called for less often: its reader would see it stutter.
const SLOWEST_PACE: Duration = Duration::from_millis(100);

/// One reply on its way through `on_chunk` of every plugin that has it.
pub struct ReplyStream {
    chain: Arc<Chain>,
    ctx: Arc<Context>,
    stages: Vec<Stage>,
    altered: bool,
    marks: Vec<Mark>,
    /// A plugin refused: nothing passes any more.
    refused: Option<Denied>,
    /// When the plugins were called last.
    called: Option<Instant>,
    /// Until when they are not to be called again.
    rests: Option<Instant>,
    /// Held from the first piece on, to be counted with the other replies that are written.
    present: Option<Arc<()>>,
}

/// A plugin and what it has not let go yet.
struct Stage {
    plugin: Arc<Plugin>,
    /// Its `ctx`, made once.
    ctx: Dynamic,
    window: Window,
    tally: Option<ChunkTally>,
    /// It failed or ended the reply: what comes passes it by.
    over: bool,
}

/// What the plugins let go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// The text to show; may be empty.
    pub text: String,
    /// A plugin ends the reply here.
    pub stop: bool,
}

/// What `on_chunk` did with a piece.
enum Chunk {
    Unchanged,
    Changed(String),
    Stop(String),
}

/// The stages while they are at work, and what they say.
struct Work {
    stages: Vec<Stage>,
    released: Released,
    altered: bool,
    marks: Vec<Mark>,
}

impl ReplyStream {
    pub(super) fn new(chain: Arc<Chain>, ctx: Context, plugins: Vec<Arc<Plugin>>) -> Self {
        let stage = |plugin: Arc<Plugin>| {
            let window = Window::new(plugin.manifest.hold.chars());
            let tally = ChunkTally::new(&ctx.trace, &plugin, chain.seals_reply());
            Stage { ctx: plugin.tell(&ctx), plugin, window, tally, over: false }
        };
        let stages = plugins.into_iter().map(stage).collect();
        Self {
            chain,
            ctx: Arc::new(ctx),
            stages,
            altered: false,
            marks: Vec::new(),
            refused: None,
            called: None,
            rests: None,
            present: None,
        }
    }

    /// Call it before the next piece is read: where they come fast it waits a moment, and what comes meanwhile is one piece.
    pub async fn pace(&self) {
        if let Some(rests) = self.rests {
            tokio::time::sleep_until(rests.into()).await;
        }
    }

    /// Passes a piece on and returns what may be shown now. Not to be dropped and called again.
    ///
    /// # Errors
    /// [`Denied`] when a plugin that must not be skipped failed: nothing more may be shown.
    pub async fn push(&mut self, piece: String) -> Result<Released, Denied> {
        self.run(piece, false).await
    }

    /// What the plugins kept back: the reply is over.
    ///
    /// # Errors
    /// As [`ReplyStream::push`].
    pub async fn finish(&mut self) -> Result<String, Denied> {
        Ok(self.run(String::new(), true).await?.text)
    }

    /// Forgets what the plugins kept back: the reply breaks off here. They can no longer know whether its end is the
    /// beginning of something that they would have changed.
    pub fn break_off(&mut self) {
        for stage in &mut self.stages {
            self.altered |= stage.window.clear();
        }
    }

    /// A reply that is there as a whole.
    ///
    /// # Errors
    /// As [`ReplyStream::push`].
    pub async fn whole(mut self, text: String) -> Result<(String, Vec<Mark>), Denied> {
        let mut released = self.push(text).await?.text;
        released += &self.finish().await?;
        Ok((released, self.marks()))
    }

    /// Whether anything of what was shown differs from what came in.
    pub fn altered(&self) -> bool {
        self.altered
    }

    /// One for each plugin that failed and was skipped.
    pub fn marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// Least time between two calls of the plugins, beside what other replies are written now.
    pub(super) fn least_pause(&mut self) -> Duration {
        let present = self.present.get_or_insert_with(|| self.chain.sandbox.present.clone());
        let replies = u32::try_from(Arc::strong_count(present) - 1).unwrap_or(u32::MAX);
        PACE_OF_ALL.saturating_mul(replies).clamp(PACE, SLOWEST_PACE)
    }

    async fn run(&mut self, piece: String, last: bool) -> Result<Released, Denied> {
        if let Some(denied) = &self.refused {
            return Err(denied.clone());
        }
        if self.stages.iter().all(|stage| stage.over) {
            (self.rests, self.present) = (None, None);
            return Ok(Released { text: piece, stop: false });
        }
        let (now, pace) = (Instant::now(), self.least_pause());
        let fast = self.called.replace(now).is_some_and(|before| now - before < pace * 3 / 2);
        self.rests = fast.then_some(now + pace);
        let (chain, ctx, stages) = (self.chain.clone(), self.ctx.clone(), std::mem::take(&mut self.stages));
        let work = move || Work::pass(&chain, &ctx, stages, piece, last);
        let done = match self.chain.run_job(Hook::OnChunk, work).await {
            Ok(done) => done,
            Err(denied) => return Err(self.refused.insert(denied).clone()),
        };
        self.stages = done.stages;
        self.altered |= done.altered;
        self.marks.extend(done.marks);
        Ok(done.released)
    }
}

impl Work {
    fn pass(
        chain: &Chain,
        ctx: &Context,
        stages: Vec<Stage>,
        piece: String,
        last: bool,
    ) -> Result<Self, Denied> {
        let released = Released { text: piece, stop: false };
        let mut work = Self { stages, released, altered: false, marks: Vec::new() };
        for at in 0..work.stages.len() {
            work.step(chain, ctx, at, last)?;
        }
        Ok(work)
    }

    /// Passes what is released so far through one stage.
    fn step(&mut self, chain: &Chain, ctx: &Context, at: usize, last: bool) -> Result<(), Denied> {
        let stage = &mut self.stages[at];
        if stage.over {
            return Ok(());
        }
        stage.window.push(&std::mem::take(&mut self.released.text));
        if stage.window.text().is_empty() {
            return Ok(());
        }
        let plugin = stage.plugin.clone();
        let (told, text) = (|| stage.ctx.clone().into_read_only(), stage.window.text());
        let called = chain.attempt(&plugin, Hook::OnChunk, || {
            let (hook, name) = (Hook::OnChunk, Hook::OnChunk.name());
            plugin.call_function(&chain.sandbox, hook, name, (ctx, told), || text.into(), chunk)
        });
        let ends = matches!(called, Ok(Chunk::Stop(_)));
        let changed = match &called {
            Ok(Chunk::Changed(after) | Chunk::Stop(after)) => {
                stage.tally.as_ref().and_then(|tally| tally.change(text, after))
            }
            _ => None,
        };
        if let Some(tally) = &mut stage.tally {
            tally.called(called.as_ref().err());
        }
        let let_go = match called {
            Ok(Chunk::Stop(text)) => {
                stage.over = true;
                self.released.stop = true;
                // Those before it have nothing more to say either.
                for stage in &mut self.stages[..=at] {
                    stage.window.clear();
                }
                LetGo { text, altered: true }
            }
            Ok(Chunk::Changed(text)) if last => stage.window.end(Some(text)),
            Ok(Chunk::Changed(text)) => stage.window.settle(Some(text)),
            Ok(Chunk::Unchanged) if last => stage.window.end(None),
            Ok(Chunk::Unchanged) => stage.window.settle(None),
            Err(NoEffect { reason, .. }) if plugin.is_closed() => {
                return Err(Denied { plugin: plugin.id.clone(), reason });
            }
            Err(NoEffect { reason, .. }) => {
                stage.over = true;
                self.marks.push(skipped(&plugin, &reason));
                stage.window.end(None)
            }
        };
        if let Some(tally) = &mut self.stages[at].tally {
            tally.let_go(&let_go, changed, ends);
        }
        self.altered |= let_go.altered;
        self.released.text = let_go.text;
        Ok(())
    }
}

/// Reads what `on_chunk` returned.
fn chunk(returned: Dynamic) -> Result<Chunk, String> {
    let text = |text: &Dynamic| draft::text(text).map_err(|why| format!("returned a text that {why}"));
    if returned.is_unit() {
        return Ok(Chunk::Unchanged);
    }
    if returned.is_string() {
        return text(&returned).map(Chunk::Changed);
    }
    match returned.clone().try_cast::<Verdict>() {
        Some(Verdict::Stop(said)) => text(&said.into()).map(Chunk::Stop),
        _ => Err(format!("must return a text, stop(), stop(text) or (), not {}", type_name(&returned))),
    }
}
