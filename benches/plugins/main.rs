//! What plugins cost: five of them with every hook, on the prompt and the reply of a long conversation, on each piece of it,
//! and beside 16 replies at once. `benches/README.md` says how to run it.

mod load;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fireside::config::{Backend, LlmConfig, PluginsConfig};
use fireside::domain::{ConversationId, PromptMessage, Role, UserId};
use fireside::engine::settle_environment;
use fireside::plugins::{
    Context, Denied, Draft, PluginSet, Plugins, Recorder, RenderedSegment, ReplyStream, RequestSource,
    SegmentOrigin,
};
use tokio::runtime::Runtime;

use load::{Script, Story, start, streams};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Plugins, and what each keeps back of a reply.
const HOLDS: [usize; 5] = [0, 20, 0, 40, 0];

/// Messages of the conversation.
const MESSAGES: usize = 40;

/// Replies, and pieces, of one round without a model.
const REPLIES: u32 = 300;
const PIECES: u32 = 10_000;

/// Replies at once.
const STREAMS: usize = 16;

/// Rounds of which the median counts.
const ROUNDS: usize = 5;

/// … of replies of a real model, whose speed varies more.
const LONG_ROUNDS: usize = 15;

/// What a plugin does; `NUMBER` and `HOLD` are replaced.
const SCRIPT: &str = r#"
const PLUGIN = #{ hold: HOLD };

fn on_message(ctx, text) {
    if text.len() > 20000 { return deny("Too long."); }
    text.replace("teh NUMBER", "the NUMBER");
    text
}

fn on_prompt(ctx, draft) {
    draft.messages[0].content += ` You are talking to ${ctx.user}.`;
    draft
}

fn on_rendered(ctx, segments) {
    if segments.len() < 1000 { segments.push(#{ origin: "plugin", text: "(NUMBER)" }); }
    segments
}

fn on_chunk(ctx, text) {
    if text.len() > 20000 { return stop(); }
    text.replace("secret NUMBER", "[removed]");
    text
}

fn on_response(ctx, text) {
    if text.len() > 20000 { return; }
    text.replace("secret NUMBER", "[removed]");
    text
}
"#;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if !arguments.any(|argument| argument == "--bench") {
        eprintln!("Nothing was measured: start this with `cargo bench`.");
        return ExitCode::SUCCESS;
    }
    // As the server does.
    let measured =
        settle_environment().map_err(Into::into).and_then(|()| Runtime::new()?.block_on(measure()));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plugins: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Outcome<()> {
    // `cargo bench -- FILE` measures a real model too.
    let model = std::env::args().skip(1).find(|argument| argument.ends_with(".gguf")).map(PathBuf::from);
    let folder = tempfile::tempdir()?;
    for (number, hold) in HOLDS.iter().enumerate() {
        let script = SCRIPT.replace("NUMBER", &number.to_string()).replace("HOLD", &hold.to_string());
        fs::write(folder.path().join(format!("p{number}.rhai")), script)?;
    }
    let config = PluginsConfig { dir: folder.path().to_owned(), ..PluginsConfig::default() };
    let plugins = Plugins::open(config).current().await;

    println!("| five plugins | wall | processor |");
    println!("| --- | --- | --- |");
    let reply = median(async || one_by_one(REPLIES, whole_replies(&plugins)).await).await?;
    println!("| a reply, all hooks but on_chunk | {:.1?} | {:.1?} |", reply[0], reply[1]);
    let piece = median(async || {
        one_by_one(PIECES, async { plugins.spawn(pieces(plugins.stream(&context()))).await? }).await
    })
    .await?;
    println!("| a piece, of one reply | {:.2?} | {:.2?} |", piece[0], piece[1]);
    let piece = median(async || {
        let all = async {
            let replies = (0..STREAMS).map(|_| plugins.spawn(pieces(plugins.stream(&context()))));
            for reply in replies.collect::<Vec<_>>() {
                reply.await??;
            }
            Ok(())
        };
        one_by_one(PIECES * STREAMS as u32, all).await
    });
    let piece = piece.await?;
    println!("| a piece, of {STREAMS} replies at once | {:.2?} | {:.2?} |", piece[0], piece[1]);

    println!();
    println!(
        "| replies at once | tokens/s without | with | loss (middle half) | processor without | with | more a token |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let echo = start(LlmConfig { backend: Backend::Echo, n_ctx: 1_048_576, ..LlmConfig::default() }).await?;
    let fast = Script { tokens: 400_000, delay_ms: 0 };
    let load = streams(ROUNDS, STREAMS, &echo, &plugins, fast).await?;
    load.print(&format!("{STREAMS} of the scripted model, full speed"), false);
    for (count, tokens, delay_ms) in [(STREAMS, 150, 33), (1, 60, 33), (1, 250, 8)] {
        let load = streams(ROUNDS, count, &echo, &plugins, Script { tokens, delay_ms }).await?;
        load.print(&format!("{count} of the scripted model, {} tokens/s each", 1_000 / delay_ms), true);
    }
    echo.shutdown();
    if let Some(model) = model {
        let llama = start(LlmConfig { model, n_ctx: 512, ..LlmConfig::default() }).await?;
        let load = streams(LONG_ROUNDS, STREAMS, &llama, &plugins, Story { tokens: 64 }).await?;
        load.print(&format!("{STREAMS} of the real model"), false);
        llama.shutdown();
    }
    Ok(())
}

fn context() -> Context {
    Context {
        source: RequestSource::Web,
        kind: "chat",
        user: "ada".into(),
        user_id: UserId::new(),
        conversation: Some(ConversationId::new()),
        model: "SmolLM2".into(),
        trace: Recorder::whole(),
    }
}

fn said(role: Role, content: String) -> PromptMessage {
    PromptMessage { role, content, token_ids: None }
}

/// The hooks of a reply without `on_chunk`, so many times.
async fn whole_replies(plugins: &Arc<PluginSet>) -> Outcome<()> {
    let text = "A sentence of a conversation that goes on for a while. ".repeat(8);
    let roles = [Role::System, Role::User, Role::Assistant].into_iter();
    let roles = roles.chain([Role::User, Role::Assistant].into_iter().cycle());
    let messages: Vec<_> = roles
        .take(MESSAGES)
        .enumerate()
        .map(|(number, role)| said(role, format!("{number}: {text}")))
        .collect();
    let segments = messages.iter().flat_map(|message| {
        let mark = RenderedSegment { origin: SegmentOrigin::Template, text: "<|im_start|>".into() };
        let origin = match message.role {
            Role::System => SegmentOrigin::System,
            Role::User => SegmentOrigin::User,
            Role::Assistant => SegmentOrigin::Assistant,
        };
        [mark, RenderedSegment { origin, text: message.content.clone() }]
    });
    let segments: Vec<_> = segments.collect();
    for _ in 0..REPLIES {
        let context = context();
        let asked = plugins.on_message(&context, text.clone()).await?;
        let draft = Draft { messages: messages.clone(), ..Draft::default() };
        // What writes a reply runs near the plugins.
        let (set, ctx, prompt, reply) = (plugins.clone(), context.clone(), segments.clone(), text.repeat(4));
        let written = plugins.spawn(async move {
            let (draft, drafted) = set.on_prompt(&ctx, draft).await?;
            let (rendered, seen) = set.on_rendered(&ctx, prompt).await?;
            Ok::<_, Denied>((draft, drafted, rendered, seen, set.on_response(&ctx, reply).await?))
        });
        let (draft, drafted, rendered, seen, response) = written.await??;
        let changed = draft.messages[0].content.len() > messages[0].content.len()
            && rendered.len() == segments.len() + HOLDS.len();
        let marks = [asked.marks, drafted, seen, response.marks].concat();
        let traced = context.trace.hooks().len() == 4 * HOLDS.len();
        if !(changed && traced && marks.is_empty()) {
            return Err(format!("the plugins did not do their work: {marks:?}").into());
        }
    }
    Ok(())
}

/// A reply in so many pieces.
async fn pieces(mut stream: ReplyStream) -> Outcome<()> {
    let mut shown = 0;
    for _ in 0..PIECES {
        shown += stream.push(" token".into()).await?.text.len();
    }
    shown += stream.finish().await?.len();
    match shown == " token".len() * PIECES as usize && stream.marks().is_empty() {
        true => Ok(()),
        false => Err("a piece was lost".into()),
    }
}

/// What one of `count` steps of some work takes: by the clock, and of all processors.
async fn one_by_one(count: u32, work: impl Future<Output = Outcome<()>>) -> Outcome<[Duration; 2]> {
    let (begin, cpu) = (Instant::now(), processor()?);
    work.await?;
    Ok([begin.elapsed() / count, (processor()? - cpu) / count])
}

/// The medians of some rounds, after one that does not count.
async fn median(mut round: impl AsyncFnMut() -> Outcome<[Duration; 2]>) -> Outcome<[Duration; 2]> {
    round().await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round().await?);
    }
    let column = |at: usize| {
        let mut times: Vec<Duration> = rounds.iter().map(|round| round[at]).collect();
        times.sort();
        times[times.len() / 2]
    };
    Ok([column(0), column(1)])
}

/// Processor time of this process so far, of the threads that still run.
fn processor() -> Outcome<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end meanwhile.
        let Ok(schedule) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += schedule.split_whitespace().next().ok_or("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
