use super::*;

const CLOSED: &str = "const PLUGIN = #{ fail: \"closed\" };\n";

fn throwing(word: &str) -> String {
    format!("fn on_message(ctx, text) {{ if text == \"ok\" {{ text }} else {{ throw \"{word}\" }} }}")
}

async fn fail(plugins: &Plugins, times: usize) {
    for _ in 0..times {
        let set = plugins.current().await;
        // What it comes to is told by the state of the plugin.
        drop(set.on_message(&ctx(), "x".into()).await);
    }
}

#[tokio::test]
async fn two_edits_in_a_row_give_one_trial() {
    let folder = Folder::new().with("a.rhai", &throwing("bad"));
    let plugins = folder.open();
    fail(&plugins, 3).await;
    assert_eq!(plugins.list()[0].state, PluginState::Resting);

    for edit in ["worse", "worst"] {
        folder.write("a.rhai", throwing(edit));
        plugins.current().await;
        assert_eq!(plugins.list()[0].state, PluginState::OnTrial);
    }
    fail(&plugins, 1).await;

    assert_eq!(plugins.list()[0].state, PluginState::Resting);
}

#[tokio::test]
async fn a_trial_that_succeeds_gives_all_three_failures_back() {
    let folder = Folder::new().with("a.rhai", &throwing("bad"));
    let plugins = folder.open();
    fail(&plugins, 3).await;
    folder.write("a.rhai", throwing("less bad"));

    assert_eq!(rewritten(&*plugins.current().await, "ok").await, "ok");

    assert_eq!(plugins.list()[0].state, PluginState::Running);
    fail(&plugins, 2).await;
    assert_eq!(plugins.list()[0].state, PluginState::Running);
    fail(&plugins, 1).await;
    assert_eq!(plugins.list()[0].state, PluginState::Resting);
}

#[tokio::test]
async fn only_the_hook_that_failed_is_on_trial_and_only_while_it_is_there() {
    let failing = "fn on_prompt(ctx, draft) { throw \"bad\" }";
    let folder = Folder::new().with("a.rhai", &format!("{}\n{failing}", throwing("bad")));
    let plugins = folder.open();
    let set = plugins.current().await;
    for _ in 0..3 {
        set.on_prompt(&ctx(), draft(&[(Role::User, "x")])).await.unwrap();
    }
    assert_eq!(plugins.list()[0].state, PluginState::Resting);

    folder.write("a.rhai", format!("{}\nfn on_prompt(ctx, draft) {{ draft }}", throwing("bad")));
    fail(&plugins, 1).await;
    assert_eq!(plugins.list()[0].state, PluginState::OnTrial, "on_message had not failed before");

    folder.write("a.rhai", throwing("bad"));
    plugins.current().await;
    assert_eq!(plugins.list()[0].state, PluginState::Running);
}

#[tokio::test]
async fn an_edit_that_does_not_load_gives_no_trial() {
    let folder = Folder::new().with("a.rhai", &throwing("bad"));
    let plugins = folder.open();
    fail(&plugins, 3).await;

    folder.write("a.rhai", "fn on_message(");
    plugins.current().await;
    let info = plugins.list().remove(0);
    assert_eq!((info.state, info.error.is_some()), (PluginState::Resting, true));

    folder.write("a.rhai", throwing("worse"));
    plugins.current().await;
    assert_eq!(plugins.list()[0].state, PluginState::OnTrial);
}

#[tokio::test]
async fn a_closed_plugin_that_rests_refuses_in_every_hook() {
    let hooks = "\nfn on_prompt(ctx, draft) { draft }\nfn on_response(ctx, text) { text }";
    let folder = Folder::new().with("a.rhai", &format!("{CLOSED}{}{hooks}", throwing("bad")));
    let plugins = folder.open();
    fail(&plugins, 3).await;
    let set = plugins.current().await;

    let denied = [
        set.on_message(&ctx(), "ok".into()).await.err(),
        set.on_prompt(&ctx(), draft(&[(Role::User, "ok")])).await.err(),
        set.on_response(&ctx(), "ok".into()).await.err(),
    ];

    for denied in denied {
        let denied = denied.expect("it must not pass");
        assert!(denied.plugin == "a" && denied.reason.contains("rests"), "{denied}");
    }
}

#[tokio::test]
async fn a_closed_plugin_whose_file_gets_out_of_reach_keeps_working() {
    let folder =
        Folder::new().with("a.rhai", &format!("{CLOSED}fn on_message(ctx, text) {{ deny(\"no\") }}"));
    let plugins = folder.open();
    folder.remove("a.rhai");
    let path = folder.dir.path().join("a.rhai");
    std::os::unix::fs::symlink(&path, &path).unwrap();

    let denied = plugins.current().await.on_message(&ctx(), "x".into()).await.unwrap_err();

    assert_eq!(denied.reason, "no");
    assert!(only_error(&plugins).starts_with("a.rhai: it cannot be read"), "{}", only_error(&plugins));
}

#[tokio::test]
async fn an_edit_of_a_closed_plugin_whose_test_fails_changes_nothing() {
    let guard = |test: &str| {
        format!(
            "{CLOSED}fn on_message(ctx, text) {{ deny(\"{test}\") }}\nfn test_a() {{ assert({test}, \"no\"); }}"
        )
    };
    let folder = Folder::new().with("a.rhai", &guard("true"));
    let plugins = folder.open();

    folder.write("a.rhai", guard("false"));
    let denied = plugins.current().await.on_message(&ctx(), "x".into()).await.unwrap_err();

    assert_eq!(denied.reason, "true");
    assert!(only_error(&plugins).starts_with("a.rhai:3:"), "{}", only_error(&plugins));
}
