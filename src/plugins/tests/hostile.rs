use std::time::{Duration, Instant};

use super::*;

#[path = "../../../tests/hostile/corpus.rs"]
mod corpus;

/// What a call may take beyond its deadline.
const GRACE: Duration = Duration::from_millis(50);
/// Shorter than a server's, so that the corpus is through in seconds.
const DEADLINE: Duration = Duration::from_millis(200);
/// A machine that does other things may be late now and then; a script that can delay the server always is.
const ATTEMPTS: usize = 4;

/// Says `!` behind whatever it is given: another plugin, which must not notice.
const WITNESS: &str = "const PLUGIN = #{ priority: 200 };
    fn on_message(ctx, text) { text + \"!\" }
    fn on_prompt(ctx, draft) { draft.messages[0].content += \"!\"; draft }
    fn on_response(ctx, text) { text + \"!\" }";

#[tokio::test]
async fn f15_no_script_of_the_corpus_outlives_its_deadline_or_touches_another() {
    let scripts = corpus::scripts();
    assert!(scripts.len() >= 100, "{}", scripts.len());
    let mut wrong = Vec::new();
    for hostile in scripts {
        let mut late = Vec::new();
        while late.len() < ATTEMPTS {
            match survive(&hostile).await {
                Ok(took) if took <= DEADLINE + GRACE => break,
                Ok(took) => late.push(took),
                Err(told) => {
                    wrong.push(format!("{}: {told}", hostile.name));
                    break;
                }
            }
        }
        assert!(late.len() < ATTEMPTS, "{} takes {late:?}", hostile.name);
    }
    assert!(wrong.is_empty(), "not the expected words: {wrong:#?}");
}

/// Runs every hook for mallory and one for bob beside it; returns the longest time that a call took. The error is what a
/// reader is told, where it is not what the corpus expects.
async fn survive(hostile: &corpus::Hostile) -> Result<Duration, String> {
    let name = &hostile.name;
    let mut folder = Folder::new().with("witness.rhai", WITNESS);
    folder.write("hostile.rhai", &hostile.script);
    folder.config.deadline_ms = DEADLINE.as_millis() as u64;
    let plugins = folder.open();
    let errors: String = plugins.list().into_iter().filter_map(|plugin| plugin.error).collect();
    if errors.is_empty() != hostile.loads {
        return Err(format!("loads: {}; {errors}", errors.is_empty()));
    }
    let set = plugins.current().await;
    let mallory = Context { user: "mallory".into(), ..ctx() };
    let mut longest = Duration::ZERO;
    let mut told = errors;
    let mut tell = |start: Instant, marks: Vec<Mark>| {
        longest = longest.max(start.elapsed());
        told.extend(marks.into_iter().map(|mark| mark.text));
    };

    let start = Instant::now();
    let attack = async {
        let outcome = set.on_message(&mallory, "hello".into()).await.unwrap();
        tell(start, outcome.marks);
        outcome.action
    };
    let bystander = async {
        assert_eq!(rewritten(&set, "quick").await, "quick!", "{name}");
        start.elapsed()
    };
    let (message, bystander_took) = futures::join!(attack, bystander);
    let start = Instant::now();
    let (prompt, marks) = set.on_prompt(&mallory, draft(&[(Role::User, "hello")])).await.unwrap();
    tell(start, marks);
    let start = Instant::now();
    let response = set.on_response(&mallory, "hello".into()).await.unwrap();
    tell(start, response.marks);

    assert_eq!(message, MessageAction::Continue("hello!".into()), "{name}");
    assert_eq!(prompt, draft(&[(Role::User, "hello!")]), "{name}");
    assert_eq!(response.action, ResponseAction::Keep("hello!".into()), "{name}");
    let expected = hostile.told.iter().any(|word| told.contains(word.as_str()));
    if !expected || told.is_empty() {
        return Err(told);
    }
    // Whoever does not wait for the script is through long before it ends.
    Ok(if bystander_took < DEADLINE { longest } else { longest.max(DEADLINE + GRACE + bystander_took) })
}

#[tokio::test]
async fn f13_a_script_that_never_ends_is_stopped_the_message_goes_on_and_the_failure_is_listed() {
    let mut folder = Folder::new()
        .with("a.rhai", "fn on_message(ctx, text) {\n  loop { }\n}")
        .with("b.rhai", "fn on_message(ctx, text) { text + \"!\" }");
    folder.config.deadline_ms = DEADLINE.as_millis() as u64;
    folder.config.max_operations = 1_000_000_000;
    folder.config.breaker_failures = 100;
    let plugins = folder.open();
    let set = plugins.current().await;
    let mut late = Vec::new();
    while late.len() < ATTEMPTS {
        let start = Instant::now();

        let outcome = set.on_message(&ctx(), "x".into()).await.unwrap();

        let took = start.elapsed();
        assert_eq!(outcome.action, MessageAction::Continue("x!".into()));
        let told = "a.rhai: it takes longer than deadline_ms allows";
        assert!(outcome.marks[0].text.contains(told), "{:?}", outcome.marks);
        assert_eq!(plugins.list()[0].last_failure.as_deref(), Some(told));
        if took <= DEADLINE + GRACE {
            return;
        }
        late.push(took);
    }
    panic!("it takes {late:?}");
}

#[tokio::test]
async fn a_panic_in_a_host_function_is_a_failure_of_that_plugin_only() {
    let folder = Folder::new()
        .with("a.rhai", "fn on_message(ctx, text) { test_panic(); text }")
        .with("b.rhai", "fn on_message(ctx, text) { text + \"!\" }");

    let outcome = folder.set().await.on_message(&ctx(), "x".into()).await.unwrap();

    assert!(outcome.marks[0].text.contains("a host function panicked"), "{:?}", outcome.marks);
    assert_eq!(outcome.action, MessageAction::Continue("x!".into()));
}

#[tokio::test]
async fn f16_a_file_that_changes_while_it_is_loaded_is_used_whole_or_not_at_all() {
    let version = |n: usize| {
        let padding = "// so that a part of it is a script too\n".repeat(n % 50);
        format!("fn on_message(ctx, text) {{ \"{n}\" }}\n{padding}fn on_response(ctx, text) {{ \"{n}\" }}")
    };
    let folder = Folder::new().with("a.rhai", &version(0));
    let plugins = folder.open();
    let path = folder.dir.path().join("a.rhai");
    let (done, writing) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), path.clone());
    let stop = done.clone();
    let writer = std::thread::spawn(move || {
        (1..).take_while(|_| !stop.load(std::sync::atomic::Ordering::Relaxed)).for_each(|n| {
            fs::write(&writing, version(n)).unwrap();
        });
    });

    for _ in 0..40 {
        let set = plugins.current().await;
        let message = rewritten(&set, "x").await;
        let response = set.on_response(&ctx(), "x".into()).await.unwrap();
        assert_eq!((response.action, response.marks), (ResponseAction::Keep(message), vec![]));
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    fs::write(&path, version(7)).unwrap();

    assert_eq!(rewritten(&*plugins.current().await, "x").await, "7");
}
