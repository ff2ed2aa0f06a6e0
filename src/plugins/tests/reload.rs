use super::*;

fn saying(word: &str) -> String {
    format!("fn on_message(ctx, text) {{ \"{word}\" }}")
}

#[tokio::test]
async fn edited_new_and_removed_files_take_effect_on_the_next_message() {
    let folder = Folder::new().with("a.rhai", &saying("one"));
    let plugins = folder.open();
    let first = plugins.current().await;

    folder.write("a.rhai", saying("two"));
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "two");
    assert_eq!(rewritten(&first, "x").await, "one", "a running reply keeps its set");

    folder.write("b.rhai", saying("new"));
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "new");

    folder.remove("a.rhai");
    folder.remove("b.rhai");
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "x");
    assert_eq!(plugins.list(), vec![]);
}

#[tokio::test]
async fn a_renamed_file_or_folder_takes_its_new_name_and_place_at_once() {
    let folder = Folder::new()
        .with("a.rhai", "fn on_message(ctx, text) { text + \"1\" }")
        .with("m.rhai", "fn on_message(ctx, text) { text + \"2\" }")
        .with("folder/main.rhai", "fn on_message(ctx, text) { text + \"3\" }");
    let plugins = folder.open();
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "x132");

    let path = |name| folder.dir.path().join(name);
    fs::rename(path("a.rhai"), path("z.rhai")).unwrap();
    fs::rename(path("folder"), path("n")).unwrap();

    assert_eq!(rewritten(&*plugins.current().await, "x").await, "x231");
    let ids: Vec<_> = plugins.list().into_iter().map(|plugin| plugin.id).collect();
    assert_eq!(ids, ["m", "n", "z"]);
}

#[tokio::test]
async fn nothing_is_compiled_again_while_no_file_changes() {
    let folder = Folder::new().with("a.rhai", &saying("one"));
    let plugins = folder.open();

    let (first, second) = (plugins.current().await, plugins.current().await);
    folder.write("a.rhai", saying("one"));
    let third = plugins.current().await;

    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &third));
}

#[tokio::test]
async fn many_edits_of_the_same_length_are_all_seen() {
    let folder = Folder::new().with("a.rhai", &saying("0000"));
    let plugins = folder.open();

    for edit in 1..=50 {
        folder.write("a.rhai", saying(&format!("{edit:04}")));
        assert_eq!(rewritten(&*plugins.current().await, "x").await, format!("{edit:04}"));
    }
}

#[tokio::test]
async fn f16_a_broken_edit_keeps_the_old_version_and_shows_file_line_and_column() {
    let folder = Folder::new().with("a.rhai", &saying("one"));
    let plugins = folder.open();

    folder.write("a.rhai", "fn on_message(ctx, text) {\n  let = 5;\n}");
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "one");
    assert_eq!(plugins.list()[0].state, PluginState::Running);
    assert!(only_error(&plugins).starts_with("a.rhai:2:7: "), "{}", only_error(&plugins));

    folder.write("a.rhai", saying("two"));
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "two");
    assert_eq!(plugins.list()[0].error, None);
}

#[tokio::test]
async fn a_plugin_that_never_loaded_is_broken_and_refuses_only_if_it_says_closed() {
    let folder = Folder::new().with("a.rhai", "fn on_message(");
    let plugins = folder.open();
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "x");
    assert_eq!(plugins.list()[0].state, PluginState::Broken);

    folder.write("b.rhai", "const PLUGIN = #{ fail:  \"closed\" }; fn on_message(");
    let set = plugins.current().await;
    assert!(set.holds_reply());
    assert_eq!(set.on_message(&ctx(), "x".into()).await.unwrap_err().plugin, "b");
    assert_eq!(set.on_prompt(&ctx(), draft(&[(Role::User, "x")])).await.unwrap_err().plugin, "b");
    let denied = set.on_response(&ctx(), "x".into()).await.unwrap_err();
    assert!(denied.reason.starts_with("it cannot work: b.rhai:1:"), "{denied}");
}

#[tokio::test]
async fn an_edit_gives_a_resting_plugin_one_more_try() {
    let folder = Folder::new().with("a.rhai", "fn on_message(ctx, text) { throw \"bad\" }");
    let plugins = folder.open();
    let set = plugins.current().await;
    for _ in 0..3 {
        set.on_message(&ctx(), "x".into()).await.unwrap();
    }
    assert_eq!(plugins.list()[0].state, PluginState::Resting);

    folder.write("a.rhai", "fn on_message(ctx, text) { throw \"worse\" }");
    let set = plugins.current().await;
    assert_eq!(plugins.list()[0].state, PluginState::OnTrial);
    set.on_message(&ctx(), "x".into()).await.unwrap();
    assert_eq!(plugins.list()[0].state, PluginState::Resting, "one failure is enough after the edit");

    folder.write("a.rhai", saying("good"));
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "good");
}

#[tokio::test]
async fn disabled_plugins_examples_and_other_files_are_not_called() {
    let mut folder = Folder::new()
        .with("off.rhai", &saying("off"))
        .with("examples/demo.rhai", &saying("demo"))
        .with(".hidden.rhai", &saying("hidden"))
        .with("README.md", "# Plugins")
        .with("data/words.txt", "words");
    folder.config.disabled = vec!["off".into()];
    let plugins = folder.open();

    assert_eq!(rewritten(&*plugins.current().await, "x").await, "x");
    let states: Vec<_> = plugins.list().into_iter().map(|plugin| (plugin.id, plugin.state)).collect();
    assert_eq!(states, [("off".to_owned(), PluginState::Disabled)]);
}

#[tokio::test]
async fn a_folder_may_import_its_neighbours_and_nothing_else() {
    let main = "import \"words\" as words;\nfn on_message(ctx, text) { words::greet(text) }";
    let folder = Folder::new()
        .with("hi/main.rhai", main)
        .with("hi/words.rhai", "fn greet(name) { \"Hi \" + name }")
        .with("words.rhai", "fn on_message(ctx, text) { () }");
    let plugins = folder.open();
    assert_eq!(rewritten(&*plugins.current().await, "Ada").await, "Hi Ada");

    folder.write("hi/words.rhai", "fn greet(name) { \"Ho \" + name }");
    assert_eq!(rewritten(&*plugins.current().await, "Ada").await, "Ho Ada");

    folder.write("hi/words.rhai", "fn greet(name) {\n  nobody(name)\n}");
    let outcome = plugins.current().await.on_message(&ctx(), "Ada".into()).await.unwrap();
    assert!(outcome.marks[0].text.contains("hi/words.rhai:2:3"), "{:?}", outcome.marks);

    for path in ["../words", "/etc/passwd", "words.rhai", "nobody"] {
        folder.write("hi/main.rhai", main.replace("\"words\"", &format!("\"{path}\"")));
        plugins.current().await;
        assert!(only_error(&plugins).starts_with("hi/main.rhai:1:"), "{}", only_error(&plugins));
    }
}

#[tokio::test]
async fn a_file_that_is_no_plugin_is_listed_with_a_sentence() {
    let long = format!("//{}\nfn on_message(ctx, text) {{ () }}", "x".repeat(300 << 10));
    let functions: String = (0..10_000).map(|n| format!("fn f{n}() {{ {n} }}\n")).collect();
    let cases: [(&str, &[u8], &str); 12] = [
        ("a.rhai", b"\n\n\xff\xfe", "a.rhai: it is no UTF-8 text in line 3"),
        ("a.rhai", long.as_bytes(), "a.rhai: it is larger than max_file_bytes allows (262144 bytes)"),
        ("a.rhai", functions.as_bytes(), "a.rhai:1001"),
        ("a.rhai", b"", "a.rhai: defines no hook; there are"),
        (
            "My Plugin.rhai",
            b"",
            "My Plugin.rhai: rename it: a plugin's name has small letters, digits, _ and - only",
        ),
        ("a.rhai", b"\nfn on_mesage(ctx, text) {}", "a.rhai:2: there is no hook on_mesage; there are"),
        ("a.rhai", b"fn on_message(text) {}", "a.rhai:1: on_message takes (ctx, text)"),
        ("a.rhai", b"let PLUGIN = #{}; fn on_message(ctx, text) {}", "a.rhai:1: PLUGIN must be a constant"),
        (
            "a.rhai",
            b"\nconst PLUGIN = #{ api: 2 }; fn on_message(ctx, text) {}",
            "a.rhai:2: PLUGIN.api must be 1, not 2",
        ),
        (
            "a.rhai",
            b"const PLUGIN = #{ hold: \"reply\" }; fn on_message(ctx, text) {}",
            "a.rhai:1: PLUGIN.hold",
        ),
        (
            "a.rhai",
            b"fn on_message(ctx, text) { [1].map(|n| n + text) }",
            "a.rhai:1:44: Undefined variable: text",
        ),
        ("a.rhai", b"loop {} fn on_message(ctx, text) {}", "a.rhai:1:6: it takes "),
    ];
    for (file, text, sentence) in cases {
        let folder = Folder::new();
        folder.write(file, text);

        let plugins = folder.open();

        assert!(only_error(&plugins).starts_with(sentence), "{:?}", only_error(&plugins));
        assert_eq!(plugins.list()[0].state, PluginState::Broken);
    }
}

#[tokio::test]
async fn two_plugins_of_one_name_and_wrong_settings_are_refused_with_a_sentence() {
    let folder = Folder::new().with("a.rhai", &saying("x")).with("a/main.rhai", &saying("y"));
    assert!(only_error(&folder.open()).contains("has the same name; keep one of them"));

    let mut folder = Folder::new().with("a.rhai", &saying("x"));
    folder.config.settings = [("a".to_owned(), [("most".to_owned(), 5.into())].into())].into();
    assert!(
        only_error(&folder.open()).contains("Rocket.toml: [default.plugins.settings.a] has no key \"most\"")
    );
}
