//! What the hooks did, as a reply's trace tells it.

use super::*;
use crate::domain::{Calls, Change, HookOutcome, HookTrace, PartOrigin};

fn recorded() -> Context {
    Context { trace: Recorder::whole(), ..ctx() }
}

/// Each hook as its plugin, its name and its outcome.
fn outcomes(hooks: &[HookTrace]) -> Vec<(&str, &str, &HookOutcome)> {
    hooks.iter().map(|hook| (hook.plugin.as_str(), hook.hook.as_str(), &hook.outcome)).collect()
}

fn change(part: &str, at: usize, removed: usize, added: usize, diff: Option<&str>) -> Change {
    Change { part: part.into(), at, removed, added, diff: diff.map(str::to_owned) }
}

const FIRST: &str = "const PLUGIN = #{ priority: 1, version: \"1.2\" };";
const SENSITIVE: &str = "const PLUGIN = #{ priority: 50, sensitive: true };";

#[tokio::test]
async fn each_hook_tells_what_it_changed_and_what_it_took() {
    let set = Folder::new()
        .with("polite.rhai", &format!("{FIRST} fn on_message(ctx, text) {{ text + \", please\" }}"))
        .with("same.rhai", "fn on_message(ctx, text) { text }")
        .with("broken.rhai", "fn on_message(ctx, text) {\n    text.nothing()\n}")
        .with("z_ping.rhai", "fn on_message(ctx, text) { reply(\"pong\") }")
        .set()
        .await;
    let ctx = recorded();

    set.on_message(&ctx, "Sing".into()).await.unwrap();

    let hooks = ctx.trace.hooks();
    let failed = "broken.rhai:2:10: Function not found: nothing (&str | ImmutableString | String)";
    assert_eq!(
        outcomes(&hooks),
        [
            ("polite", "on_message", &HookOutcome::Changed),
            ("broken", "on_message", &HookOutcome::Failed(failed.into())),
            ("same", "on_message", &HookOutcome::Unchanged),
            ("z_ping", "on_message", &HookOutcome::Answered),
        ]
    );
    assert_eq!(hooks[0].changes, [change("message", 4, 0, 8, Some("- Sing\n+ Sing, please\n"))]);
    assert_eq!(hooks[0].version, "1.2");
    assert!(hooks.iter().all(|hook| hook.operations > 0), "{hooks:?}");
    assert_eq!(ctx.trace.hooks(), [], "they are given once");
}

#[tokio::test]
async fn a_plugin_that_rests_says_so() {
    let folder = Folder::new().with("broken.rhai", "fn on_message(ctx, text) { text.nothing() }");
    let set = folder.set().await;
    for _ in 0..folder.config.breaker_failures {
        set.on_message(&super::ctx(), "hi".into()).await.unwrap();
    }
    let ctx = recorded();

    set.on_message(&ctx, "hi".into()).await.unwrap();

    let hooks = ctx.trace.hooks();
    assert_eq!((&hooks[0].outcome, hooks[0].micros, hooks[0].operations), (&HookOutcome::Resting, 0, 0));
}

#[tokio::test]
async fn a_draft_tells_whose_each_message_and_parameter_is() {
    let set = Folder::new()
        .with(
            "a.rhai",
            "fn on_prompt(ctx, draft) { draft.messages.insert(0, #{ role: \"system\", content: \"Be kind.\" });
               draft.params.temperature = 0.5; draft.stop = [\"END\"]; draft }",
        )
        .with("b.rhai", "fn on_prompt(ctx, draft) { draft.messages[0].content += \"\\nBe brief.\"; draft }")
        .with("c.rhai", "fn on_prompt(ctx, draft) { draft.messages[3].content = \"Louder!\"; draft }")
        .with("d.rhai", "fn on_prompt(ctx, draft) { draft.messages.remove(2); draft }")
        .with("e.rhai", "fn on_prompt(ctx, draft) { draft }")
        .set()
        .await;
    let ctx = recorded();
    let asked = [(Role::User, "Sing"), (Role::Assistant, "La."), (Role::User, "Loud!")];

    let (draft, _) = set.on_prompt(&ctx, draft(&asked)).await.unwrap();

    let origins: Vec<_> = ctx.trace.origins(&draft.messages);
    let origins: Vec<_> =
        origins.iter().map(|it| (it.origin, it.number, it.plugins.join(" "), it.withheld)).collect();
    assert_eq!(
        origins,
        [
            (PartOrigin::Plugin, None, "a b".to_owned(), false),
            (PartOrigin::User, Some(1), String::new(), false),
            (PartOrigin::User, Some(2), "c".to_owned(), false),
        ]
    );
    let by: Vec<_> = ctx.trace.asked().into_iter().map(|(key, by)| (key, by.plugin)).collect();
    assert_eq!(by, [("stop".to_owned(), "a".to_owned()), ("temperature".to_owned(), "a".to_owned())]);
    let hooks = ctx.trace.hooks();
    assert_eq!(
        hooks[0].changes,
        [
            change("new message (system)", 0, 0, 8, Some("+ Be kind.\n")),
            change("stop", 1, 0, 5, Some("- []\n+ [\"END\"]\n")),
            change("temperature", 2, 1, 1, Some("- 0.8\n+ 0.5\n")),
        ]
    );
    assert_eq!(
        hooks[1].changes,
        [change("message of a (system)", 8, 0, 10, Some("  Be kind.\n+ Be brief.\n"))]
    );
    assert_eq!(hooks[2].changes, [change("user message 2", 4, 0, 2, Some("- Loud!\n+ Louder!\n"))]);
    assert_eq!(hooks[3].changes, [change("assistant message 1, left out", 0, 3, 0, Some("- La.\n"))]);
    assert_eq!(hooks[4].outcome, HookOutcome::Unchanged);
}

#[tokio::test]
async fn what_a_sensitive_plugin_takes_and_puts_in_stands_nowhere_in_the_message() {
    let set = Folder::new()
        .with("a.rhai", &format!("{FIRST} fn on_message(ctx, text) {{ text.to_upper() }}"))
        .with(
            "hide.rhai",
            &format!("{SENSITIVE} fn on_message(ctx, text) {{ re_replace(text, \"TULIPS\", \"violets\") }}"),
        )
        .with("z.rhai", "fn on_message(ctx, text) { text + text }")
        .set()
        .await;
    let ctx = recorded();

    set.on_message(&ctx, "tulips, please".into()).await.unwrap();

    let hooks = ctx.trace.hooks();
    assert_eq!(outcomes(&hooks).iter().filter(|it| *it.2 == HookOutcome::Changed).count(), 3);
    assert_eq!(hooks[1].changes, [change("message", 0, 6, 7, None)]);
    let told = format!("{hooks:?}").to_lowercase();
    assert!(!told.contains("tulips") && !told.contains("violets"), "{told}");
}

#[tokio::test]
async fn what_a_sensitive_plugin_takes_and_puts_in_stands_nowhere_in_the_prompt() {
    let set = Folder::new()
        .with(
            "a.rhai",
            &format!(
                "{FIRST} fn on_message(ctx, text) {{ text + \" tulips\" }}
                 fn on_prompt(ctx, draft) {{ draft.messages[0].content += \" tulips\"; draft }}"
            ),
        )
        .with(
            "hide.rhai",
            &format!(
                "{SENSITIVE} fn on_prompt(ctx, draft) {{
                    draft.messages[0].content.replace(\"tulips\", \"violets\");
                    draft.messages.insert(0, #{{ role: \"system\", content: \"Of violets.\" }});
                    draft.stop = [\"violets\"];
                    draft.params.top_k = 7;
                    draft
                }}"
            ),
        )
        .with(
            "z.rhai",
            "fn on_prompt(ctx, draft) {
                draft.messages.insert(0, #{ role: \"system\", content: draft.messages[0].content + \" All.\" });
                draft.messages[2].content += \"!\";
                draft
            }
            fn on_rendered(ctx, segments) {
                segments.push(#{ origin: \"plugin\", text: segments[0].text + \" Copied.\" });
                segments
            }",
        )
        .set()
        .await;
    let ctx = recorded();

    set.on_message(&ctx, "Hello".into()).await.unwrap();
    let asked = draft(&[(Role::User, "Hello"), (Role::Assistant, "Hi."), (Role::User, "Bye")]);
    let (draft, _) = set.on_prompt(&ctx, asked).await.unwrap();
    let shown =
        vec![RenderedSegment { origin: SegmentOrigin::System, text: draft.messages[0].content.clone() }];
    let (rendered, _) = set.on_rendered(&ctx, shown).await.unwrap();

    let withheld: Vec<_> = ctx.trace.origins(&draft.messages).iter().map(|it| it.withheld).collect();
    assert_eq!(withheld, [true, true, true, false, false]);
    assert!(ctx.trace.rendered_by(&rendered[1].text).unwrap().withheld);
    let asked = ctx.trace.asked();
    assert!(asked["stop"].withheld && asked["top_k"].withheld);
    let told = format!("{:?}", ctx.trace.hooks());
    assert!(!told.contains("tulips") && !told.contains("violets"), "{told}");
}

#[tokio::test]
async fn pieces_of_a_reply_are_summed_up() {
    let set = Folder::new()
        .with("loud.rhai", "fn on_chunk(ctx, text) { if text == \"b\" { text.to_upper() } }")
        .set()
        .await;
    let ctx = recorded();

    let mut stream = set.stream(&ctx);
    for piece in ["a", "b", "c", "b"].into_iter().chain(["b"; 20]) {
        stream.push(piece.into()).await.unwrap();
    }
    drop(stream);

    let hooks = ctx.trace.hooks();
    assert_eq!(outcomes(&hooks), [("loud", "on_chunk", &HookOutcome::Changed)]);
    let Some(Calls { count, changed, worst_micros }) = hooks[0].calls else { panic!("no calls") };
    assert_eq!((count, changed), (24, 22));
    assert!(worst_micros <= hooks[0].micros && hooks[0].operations > 24);
    assert_eq!((hooks[0].changes.len(), hooks[0].more_changes), (8, 14));
    assert_eq!(hooks[0].changes[1], change("reply", 3, 1, 1, Some("- b\n+ B\n")));
}

#[tokio::test]
async fn a_reply_that_breaks_off_in_a_plugin_tells_where() {
    let script = "const PLUGIN = #{ fail: \"closed\" };\nfn on_chunk(ctx, text) { text.nothing() }";
    let set = Folder::new().with("guard.rhai", script).set().await;
    let ctx = recorded();

    set.stream(&ctx).push("a".into()).await.unwrap_err();

    let hooks = ctx.trace.hooks();
    assert!(matches!(&hooks[0].outcome, HookOutcome::Failed(why) if why.starts_with("guard.rhai:2:31: ")));
}

#[tokio::test]
async fn of_a_reply_that_is_held_there_are_places_and_lengths_only() {
    let hold = "const PLUGIN = #{ priority: 1, hold: 10 };
        fn on_chunk(ctx, text) { re_replace(text, \"tulips\", \"flowers\") }";
    let set = Folder::new()
        .with("hold.rhai", hold)
        // Its change holds what the other one removes after it.
        .with(
            "loud.rhai",
            "fn on_chunk(ctx, text) { text + \" \" } fn on_response(ctx, text) { text + \"!\" }",
        )
        .set()
        .await;
    let ctx = recorded();

    let (text, _) = set.stream(&ctx).whole("tulips".into()).await.unwrap();
    set.on_response(&ctx, text.clone()).await.unwrap();

    assert_eq!(text, "flowers ");
    let hooks = ctx.trace.hooks();
    assert_eq!(hooks.len(), 3);
    assert!(hooks.iter().flat_map(|hook| &hook.changes).all(|change| change.diff.is_none()), "{hooks:?}");
    let hold = hooks.iter().find(|hook| hook.plugin == "hold").unwrap();
    assert_eq!(hold.changes, [change("reply", 0, 5, 6, None)]);
}

#[tokio::test]
async fn changes_are_bounded() {
    let script = "fn on_prompt(ctx, draft) {
        let long = \"\";
        long.pad(3000, \"x\");
        for i in 0..draft.messages.len() { draft.messages[i].content += long; }
        draft
    }";
    let set = Folder::new().with("long.rhai", script).set().await;
    let ctx = recorded();
    let asked: Vec<_> =
        (0..60).map(|n| (if n % 2 == 0 { Role::User } else { Role::Assistant }, "hi")).collect();

    set.on_prompt(&ctx, draft(&asked)).await.unwrap();

    let hooks = ctx.trace.hooks();
    assert_eq!((hooks[0].changes.len(), hooks[0].more_changes), (20, 40));
    assert_eq!(hooks[0].changes[0].added, 3_000);
    assert!(hooks[0].changes.iter().all(|change| change.diff.as_ref().unwrap().len() < 2_100));
}

#[tokio::test]
async fn nobody_who_does_not_ask_gets_a_trace() {
    let script =
        "fn on_prompt(ctx, draft) { draft.params.top_k = 7; draft } fn on_chunk(ctx, text) { text + \"!\" }";
    let set = Folder::new().with("a.rhai", script).set().await;
    let ctx = Context { trace: Recorder::of_parameters(), ..ctx() };

    set.on_prompt(&ctx, draft(&[(Role::User, "hi")])).await.unwrap();
    set.stream(&ctx).whole("a".into()).await.unwrap();

    assert_eq!(ctx.trace.asked()["top_k"].plugin, "a");
    assert_eq!(ctx.trace.hooks(), []);
}
