use std::sync::Barrier;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use super::*;

/// Writes what its function says.
struct Pen<F>(F);

impl<F: Fn(LlmOrder) -> Result<String, String> + Send + Sync> Llm for Pen<F> {
    fn params(&self) -> SamplingParams {
        SamplingParams { max_tokens: 2_000, top_k: 7, ..SamplingParams::default() }
    }

    fn generate(&self, order: LlmOrder) -> Result<String, String> {
        self.0(order)
    }
}

const ASKS: &str = "const PLUGIN = #{ capabilities: [\"llm\"] };";

fn open(
    body: &str,
    deadline_ms: u64,
    pen: impl Fn(LlmOrder) -> Result<String, String> + Send + Sync + 'static,
) -> (Folder, Plugins) {
    let mut folder = Folder::new().with("pen.rhai", &format!("{ASKS} fn on_message(ctx, text) {{ {body} }}"));
    folder.config.deadline_ms = deadline_ms;
    folder.config.grants = [("pen".to_owned(), vec!["llm".to_owned()])].into();
    let services = Services { llm: Some(Arc::new(Pen(pen))), ..Services::default() };
    let plugins = Plugins::with_services(folder.config.clone(), services);
    assert_eq!(plugins.list()[0].error, None, "{body}");
    (folder, plugins)
}

/// What a body makes of a message, or why it failed.
async fn made(
    body: &str,
    pen: impl Fn(LlmOrder) -> Result<String, String> + Send + Sync + 'static,
) -> Result<String, String> {
    let (_folder, plugins) = open(body, 1_000, pen);
    let outcome = plugins.current().await.on_message(&ctx(), "hello".into()).await.unwrap();
    match (outcome.marks.into_iter().next(), outcome.action) {
        (Some(mark), _) => Err(mark.text),
        (None, MessageAction::Continue(text)) => Ok(text),
        (None, other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_model_writes_a_text_or_with_a_schema_a_value() {
    let text = made("llm_generate(text, #{ max_tokens: 900, temperature: 0.5 })", |order| {
        assert_eq!((order.params.max_tokens, order.params.temperature), (512, 0.5));
        assert_eq!((order.params.top_k, order.in_a_reply), (7, true), "the rest is the operator's");
        Ok(format!("{} back", order.messages[0].content))
    });
    let list = "[#{ role: \"system\", content: \"Be kind.\" }, #{ role: \"user\", content: text }]";
    let body =
        format!("let v = llm_generate({list}, #{{ json_schema: #{{ type: \"object\" }} }}); v.mood + v.n");
    let value = made(&body, |order| {
        assert_eq!(order.messages.len(), 2);
        assert_eq!(order.json_schema.as_deref(), Some(r#"{"type":"object"}"#));
        Ok(r#"{"mood": "good", "n": 2}"#.into())
    });

    assert_eq!(text.await.unwrap(), "hello back");
    assert_eq!(value.await.unwrap(), "good2");
}

#[tokio::test]
async fn wrong_prompts_and_options_and_a_broken_end_are_errors() {
    for (body, why) in [
        ("llm_generate(7)", "llm_generate: the prompt is not a string but int"),
        ("llm_generate([])", "llm_generate: no messages"),
        (
            "llm_generate([#{ role: \"cat\", content: \"\" }])",
            "llm_generate: messages[0] with a role other than",
        ),
        ("llm_generate(text, #{ top_q: 1 })", "llm_generate: top_q; there is no such parameter"),
        ("llm_generate(text, #{ temperature: 9.0 })", "llm_generate: temperature must be from 0 to 5, not 9"),
        (
            "llm_generate(text, #{ temperature: 0.0 / 0.0 })",
            "llm_generate: temperature, where NaN is not a number",
        ),
        ("llm_generate(text, #{ json_schema: 1 })", "llm_generate: json_schema of type int"),
        ("llm_generate(text, #{ json_schema: #{} })", "max_tokens ended the JSON before it was whole"),
        ("llm_generate(\"fail\")", "llm_generate: the pen broke"),
        ("for i in 0..4 { llm_generate(text); }", "3 times (llm_max_calls)"),
    ] {
        let told = made(body, |order| match order.messages[0].content.as_str() {
            "fail" => Err("the pen broke".into()),
            _ => Ok("{\"a\": ".into()),
        });
        let told = told.await.unwrap_err();
        assert!(told.contains(why) && told.contains("pen.rhai:1"), "{body}: {told}");
    }
}

#[tokio::test]
async fn a_plugin_must_ask_and_the_operator_must_grant() {
    let script = |head: &str| format!("{head} fn on_message(ctx, text) {{ llm_generate(text) }}");
    let services = Services {
        llm: Some(Arc::new(Pen(|_: LlmOrder| Ok::<_, String>("written".to_owned())))),
        ..Services::default()
    };
    let told = async |script: &str, granted: bool| {
        let mut folder = Folder::new().with("pen.rhai", script);
        if granted {
            folder.config.grants = [("pen".to_owned(), vec!["llm".to_owned()])].into();
        }
        let plugins = Plugins::with_services(folder.config.clone(), services.clone());
        let outcome = plugins.current().await.on_message(&ctx(), "hello".into()).await.unwrap();
        outcome.marks.into_iter().map(|mark| mark.text).collect::<String>()
    };

    assert!(told(&script(""), true).await.contains("needs capabilities: [\"llm\"] in PLUGIN"));
    assert!(told(&script(ASKS), false).await.contains("grants = { pen = [\"llm\"] } in [default.plugins]"));
    assert_eq!(told(&script(ASKS), true).await, "");
}

#[tokio::test]
async fn time_that_the_model_takes_is_not_the_calls_own() {
    let body = "llm_generate(text); llm_generate(text); let n = 0; while n < 100 { n += 1; } \"done\"";
    let (_folder, plugins) = open(body, 100, |_| {
        std::thread::sleep(Duration::from_millis(150)); // It takes that long to write.
        Ok(String::new())
    });

    let outcome = plugins.current().await.on_message(&ctx(), "hello".into()).await.unwrap();

    assert_eq!((outcome.action, outcome.marks), (MessageAction::Continue("done".into()), vec![]));
}

#[tokio::test]
async fn those_who_wait_for_the_model_keep_nobody_else_from_running() {
    // Far more than run at the same time; each waits until all do.
    const WAITING: usize = 12;
    let barrier = Barrier::new(WAITING);
    let (_folder, plugins) = open("llm_generate(text)", 1_000, move |_| {
        barrier.wait();
        Ok("together".into())
    });
    let set = plugins.current().await;
    let calls = || {
        (0..WAITING).map(|_| {
            let set = set.clone();
            tokio::spawn(async move { set.on_message(&ctx(), "hello".into()).await.unwrap().action })
        })
    };

    for _round in 0..2 {
        for call in calls().collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), MessageAction::Continue("together".into()));
        }
    }
}

/// A model that writes until nobody waits any more; what tells that it began, and that it ended.
fn patient() -> (impl Fn(LlmOrder) -> Result<String, String> + Send + Sync + 'static, [Receiver<()>; 2]) {
    let (begun, begins) = tokio::sync::mpsc::channel(1);
    let (ended, ends) = tokio::sync::mpsc::channel(1);
    let pen = move |order: LlmOrder| {
        begun.blocking_send(()).unwrap();
        let caller = order.caller.unwrap();
        while caller.has_changed().is_ok() {
            std::thread::yield_now();
        }
        ended.blocking_send(()).unwrap();
        Err("nobody waits".into())
    };
    (pen, [begins, ends])
}

#[tokio::test]
async fn the_model_is_told_when_nobody_waits_any_more() {
    let (pen, [mut begins, mut ends]) = patient();
    let (_folder, plugins) = open("llm_generate(text)", 1_000, pen);
    let set = plugins.current().await;

    let call = tokio::spawn(async move { set.on_message(&ctx(), "hello".into()).await });
    begins.recv().await.unwrap();
    call.abort();

    assert_eq!(ends.recv().await, Some(()));
}

#[tokio::test]
async fn the_model_is_told_so_also_where_the_reply_is_written_near_the_plugins() {
    let (pen, [mut begins, mut ends]) = patient();
    let (folder, _) = open("()", 1_000, |_| Ok(String::new()));
    folder.write("pen.rhai", format!("{ASKS} fn on_chunk(ctx, text) {{ llm_generate(text) }}"));
    let services = Services { llm: Some(Arc::new(Pen(pen))), ..Services::default() };
    let set = Plugins::with_services(folder.config.clone(), services).current().await;

    let mut stream = set.stream(&ctx());
    let reply = set.spawn(async move { stream.push("hello".into()).await });
    begins.recv().await.unwrap();
    reply.abort();

    assert_eq!(ends.recv().await, Some(()));
}
