use super::*;

/// Why a plugin does not load.
fn error(script: &str) -> String {
    only_error(&Folder::new().with("a.rhai", script).open())
}

#[tokio::test]
async fn a_version_whose_tests_fail_is_not_used_and_says_file_line_column_left_and_right() {
    let saying = |word: &str| {
        format!(
            "fn on_message(ctx, text) {{ \"{word}\" }}\nfn test_word() {{\n    \
             assert_eq(on_message(test_ctx(), \"x\"), \"one\");\n}}"
        )
    };
    let folder = Folder::new().with("a.rhai", &saying("one"));
    let plugins = folder.open();

    folder.write("a.rhai", saying("two"));

    assert_eq!(rewritten(&*plugins.current().await, "x").await, "one");
    assert_eq!(plugins.list()[0].state, PluginState::Running);
    assert_eq!(only_error(&plugins), "a.rhai:3:5: test_word: assert_eq: left is \"two\", right is \"one\"");
    let first = Folder::new().with("a.rhai", &saying("two")).open();
    assert_eq!(first.list()[0].state, PluginState::Broken);
}

#[tokio::test]
async fn fixtures_are_a_request_that_a_test_can_change_key_by_key() {
    let script = r#"
        const PLUGIN = #{ settings: #{ tone: "dry", most: 3 } };
        fn on_prompt(ctx, draft) {
            draft.messages[0].content += ` ${ctx.settings.tone} ${ctx.settings.most} ${ctx.user}`;
            draft
        }
        fn test_fixtures() {
            let ctx = test_ctx();
            assert_eq([ctx.source, ctx.kind, ctx.user, ctx.model], ["web", "chat", "ada", "test"]);
            assert_eq(ctx.conversation.len(), 32);
            assert_eq(test_draft().messages[1], #{ role: "user", content: "Hello" });
            assert_eq(test_draft().stop, []);
        }
        fn test_changes() {
            let ctx = test_ctx(#{ user: "bob", settings: #{ tone: "warm" } });
            let draft = test_draft(#{ messages: [#{ role: "user", content: "Hi" }], params: #{ top_k: 1 } });
            assert_eq(on_prompt(ctx, draft).messages[0].content, "Hi warm 3 bob");
            assert_eq(draft.params.top_k, 1);
            assert_eq(draft.params.top_p, 0.95);
        }
        fn test_answers() {
            assert_eq(reply("a"), reply("a"));
            assert_eq((), ());
            assert(1 < 2, "numbers have an order");
        }"#;
    let mut folder = Folder::new().with("a.rhai", script);
    // What an operator sets is no business of the tests.
    folder.config.settings = [("a".to_owned(), [("most".to_owned(), 5.into())].into())].into();

    let plugins = folder.open();

    assert_eq!(plugins.list()[0].error, None);
}

#[test]
fn a_test_that_is_wrong_is_told_by_its_name_and_place() {
    for (test, sentence) in [
        ("fn test_a() { assert(false, \"no way\"); }", "a.rhai:2:15: test_a: assert: no way"),
        ("fn test_a() {\n  throw \"thrown\";\n}", "a.rhai:3:3: test_a: thrown"),
        ("fn test_a() { assert_eq(1, [2, #{ a: () }]); }", "left is 1, right is [2, #{a: ()}]"),
        (
            "fn test_a() { assert_eq(deny(\"a\"), reply(\"a\")); }",
            "left is deny(\"a\"), right is reply(\"a\")",
        ),
        (
            "fn test_a() { test_ctx(#{ usr: 1 }); }",
            "ctx has no key \"usr\"; it has conversation, kind, model,",
        ),
        ("fn test_a() { loop {} }", "test_a: it takes more operations than max_operations allows"),
        ("fn test_a() { let l = [1]; loop { l.push(l); } }", "test_a: Size of array/BLOB is over its limit"),
        ("fn test_a() { test_panic(); }", "test_a: a host function panicked"),
        ("fn test_a(ctx) { }", "a.rhai:2: test_a is a test and takes no parameters"),
        ("fn test_ctx() { }", "a.rhai:2: test_ctx is a function of the host; give the test another name"),
    ] {
        let told = error(&format!("fn on_message(ctx, text) {{ }}\n{test}"));

        assert!(told.contains(sentence), "{test}: {told}");
    }
}

#[test]
fn the_tests_of_a_plugin_are_bounded_together() {
    let tests: String =
        (0..900).map(|n| format!("fn test_{n}() {{ for i in 0..3_000 {{ i + 1; }} }}\n")).collect();
    let mut folder = Folder::new().with("a.rhai", &format!("fn on_message(ctx, text) {{ }}\n{tests}"));
    folder.config.deadline_ms = 10;

    assert!(only_error(&folder.open()).contains("deadline_ms"));
}

#[tokio::test]
async fn a_hook_cannot_call_what_is_there_for_tests() {
    for body in ["assert(true, \"\")", "assert_eq(1, 1)", "test_ctx()", "test_draft()"] {
        let folder = Folder::new().with("a.rhai", &format!("fn on_message(ctx, text) {{ {body}; }}"));

        let marks = folder.set().await.on_message(&ctx(), "x".into()).await.unwrap().marks;

        assert!(marks[0].text.contains("Function not found"), "{body}: {marks:?}");
    }
}
