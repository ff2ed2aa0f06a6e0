use super::*;

/// A plugin that fails for the message "fail", with a test that fails.
const FICKLE: &str = "fn on_message(ctx, text) {\n  if text == \"fail\" { throw \"oh\" }\n  kv_set(\"user\", \"last\", text);\n  text + \"!\"\n}";

fn rehearsal(message: &str) -> Rehearsal {
    Rehearsal { message: message.into(), ..Rehearsal::default() }
}

fn stats(plugins: &Plugins) -> CallStats {
    plugins.list()[0].stats[0].1
}

#[tokio::test]
async fn calls_are_counted_through_edits_and_the_last_failure_is_that_of_the_version() {
    let folder = Folder::new().with("a.rhai", "fn on_message(ctx, text) {\n  throw \"oh\"\n}");
    let plugins = folder.open();

    plugins.current().await.on_message(&ctx(), "x".into()).await.unwrap();
    let before = plugins.list().remove(0);
    folder.write("a.rhai", "fn on_message(ctx, text) { text + \"!\" }");
    plugins.current().await.on_message(&ctx(), "x".into()).await.unwrap();
    let after = plugins.list().remove(0);

    assert_eq!((before.stats[0].1.calls, before.stats[0].1.failures), (1, 1));
    assert!(before.last_failure.unwrap().starts_with("a.rhai:2:3: "));
    assert_eq!((after.stats[0].1.calls, after.stats[0].1.failures, after.last_failure), (2, 1, None));
    let stats = after.stats[0].1;
    assert!(stats.worst <= stats.total && stats.mean().unwrap() <= stats.worst, "{stats:?}");
}

#[tokio::test]
async fn a_switch_wins_over_the_configuration_and_keeps_the_counts() {
    let mut folder = Folder::new().with("a.rhai", "fn on_message(ctx, text) { text + \"!\" }");
    folder.config.disabled = vec!["a".into()];
    let plugins = folder.open();

    plugins.switch("a", true);
    let on = rewritten(&*plugins.current().await, "x").await;
    plugins.switch("a", false);
    let off = rewritten(&*plugins.current().await, "x").await;
    folder.write("a.rhai", "fn on_message(ctx, text) { text + \"?\" }");
    let edited = rewritten(&*plugins.current().await, "x").await;

    assert_eq!([on, off, edited], ["x!", "x", "x"]);
    assert_eq!((plugins.list()[0].state, stats(&plugins).calls), (PluginState::Disabled, 1));
}

#[tokio::test]
async fn tests_and_rehearsals_count_nothing_and_trip_no_breaker() {
    let test = "fn test_it() {\n  assert_eq(on_message(test_ctx(), \"fail\"), 1);\n}";
    let folder = Folder::new().with("a.rhai", FICKLE);
    let plugins = folder.open();
    plugins.current().await;

    for _ in 0..5 {
        let rehearsed = plugins.rehearse("a", &rehearsal("fail"), None).await.unwrap();
        assert!(rehearsed.failed && rehearsed.to_string().contains("a.rhai:2:23: "), "{rehearsed}");
    }
    folder.write("a.rhai", format!("{FICKLE}\n{test}"));
    plugins.current().await;
    let tested = plugins.test("a").await.unwrap().unwrap();

    assert!(
        tested[0].failure.as_ref().unwrap().starts_with("a.rhai:2:23: test_it: "),
        "{:?}",
        tested[0].failure
    );
    assert_eq!((plugins.list()[0].state, stats(&plugins)), (PluginState::Running, CallStats::default()));
    assert!(plugins.test("nobody").await.is_none());
}

#[tokio::test]
async fn a_rehearsal_goes_through_the_working_version_of_every_plugin_and_the_disabled_one_that_is_asked_for()
{
    let saying = |word: &str, priority: i64| {
        format!(
            "const PLUGIN = #{{ priority: {priority} }};\nfn on_message(ctx, text) {{ text + \" {word}\" }}\nfn on_title(ctx, messages) {{ if \"{word}\" == \"two\" {{ messages[1].content }} }}"
        )
    };
    let mut folder = Folder::new()
        .with("b.rhai", &saying("one", 1))
        .with("a.rhai", &saying("two", 2))
        .with("c.rhai", &saying("three", 3))
        .with("off.rhai", &saying("four", 4));
    folder.config.disabled = vec!["c".into(), "off".into()];
    let plugins = folder.open();
    folder.write("b.rhai", "fn on_message(ctx, text) {");
    plugins.current().await;
    let rehearsal = Rehearsal { reply: Some("Fire".into()), titled: true, ..rehearsal("x") };

    let told = plugins.rehearse("c", &rehearsal, None).await.unwrap();

    assert_eq!(
        told.to_string(),
        "message\n  x\non_message of b\n- x\n+ x one\non_message of a\n- x one\n+ x one two\n\
         on_message of c\n- x one two\n+ x one two three\ndraft\n  user: x one two three\nreply\n  Fire\n\
         on_title of b changes nothing\non_title of a names the conversation\n  Fire\n"
    );
    assert!(!told.failed);
}

#[tokio::test]
async fn a_rehearsal_shows_the_rendered_prompt_and_keeps_values_from_hook_to_hook() {
    let script = "fn on_message(ctx, text) { kv_set(\"user\", \"said\", text); }\n\
                  fn on_rendered(ctx, segments) {\n  segments[1].text = kv_get(\"user\", \"said\") + \"?\";\n  segments\n}";
    let folder = Folder::new().with("a.rhai", script);
    let plugins = folder.open();
    let segment = |origin, text: &str| RenderedSegment { origin, text: text.into() };
    let template: Template = Arc::new(move |draft: Draft| {
        let said = &draft.messages[0].content;
        Ok(vec![segment(SegmentOrigin::Template, "<user>\n"), segment(SegmentOrigin::User, said)])
    });
    let rehearsal = Rehearsal { template: Some(template), ..rehearsal("tea") };

    let told = plugins.rehearse("a", &rehearsal, None).await.unwrap().to_string();
    let again = plugins.rehearse("a", &rehearsal, None).await.unwrap().to_string();

    let end = "prompt\n  template: <user>\n\n  user: tea\non_rendered of a\n  template: <user>\n\n- user: tea\n+ plugin: tea?\n";
    assert!(told.ends_with(end), "{told}");
    assert_eq!(told, again, "nothing is kept");
}

#[tokio::test]
async fn a_plugin_that_rests_works_again_when_it_is_woken() {
    let folder =
        Folder::new().with("a.rhai", FICKLE.replace("  kv_set(\"user\", \"last\", text);\n", "").as_str());
    let plugins = folder.open();
    let set = plugins.current().await;
    for _ in 0..3 {
        set.on_message(&ctx(), "fail".into()).await.unwrap();
    }
    assert_eq!(plugins.list()[0].state, PluginState::Resting);

    plugins.wake("a");

    assert_eq!(plugins.list()[0].state, PluginState::OnTrial);
    assert_eq!(rewritten(&set, "x").await, "x!");
    assert_eq!(plugins.list()[0].state, PluginState::Running);
}

#[tokio::test]
async fn the_list_is_in_the_order_in_which_a_message_meets_the_plugins() {
    let with = |priority: i64, fail: &str| {
        format!(
            "const PLUGIN = #{{ priority: {priority}, fail: \"{fail}\" }};\nfn on_message(ctx, text) {{ }}"
        )
    };
    let mut folder = Folder::new()
        .with("late.rhai", &with(9, "open"))
        .with("early.rhai", &with(1, "open"))
        .with("off.rhai", &with(0, "open"))
        .with("left_out.rhai", "fn")
        .with("refusing.rhai", "const PLUGIN = #{ fail: \"closed\" }; fn");
    folder.config.disabled = vec!["off".into()];

    let listed = folder.open().in_order();

    let ids: Vec<_> = listed.iter().map(|plugin| (plugin.id.as_str(), plugin.takes_part())).collect();
    assert_eq!(
        ids,
        [("refusing", true), ("early", true), ("late", true), ("left_out", false), ("off", false)]
    );
}

#[tokio::test]
async fn the_line_that_does_not_load_is_marked_in_its_file() {
    let folder = Folder::new()
        .with("hi/main.rhai", "import \"words\" as words;\nfn on_message(ctx, text) { words::greet(text) }")
        .with("hi/words.rhai", "fn greet(name) {\n  \"Hi \" +\n}");
    let plugins = folder.open();

    let detail = plugins.detail("hi").unwrap();

    let marked: Vec<_> = detail.files.iter().map(|file| (file.name.as_str(), file.wrong_line)).collect();
    assert_eq!(marked, [("hi/main.rhai", None), ("hi/words.rhai", Some(3))], "{:?}", detail.info.error);
    assert!(plugins.detail("ho").is_none());
}
