use super::*;

/// A plugin that appends its tag on the way in and on the way out.
fn tagging(tag: &str, priority: i64) -> String {
    format!(
        "const PLUGIN = #{{ priority: {priority} }};
         fn on_message(ctx, text) {{ text + \"{tag}\" }}
         fn on_response(ctx, text) {{ text + \"{tag}\" }}"
    )
}

#[tokio::test]
async fn lower_priority_runs_first_on_the_way_in_and_last_on_the_way_out() {
    let folder = Folder::new()
        .with("a.rhai", &tagging("3", 200))
        .with("b.rhai", &tagging("1", -5))
        .with("d.rhai", &tagging("2b", 100))
        .with("c.rhai", &tagging("2a", 100));
    let set = folder.set().await;

    let message = rewritten(&set, ">").await;
    let response = responded(&set, ">").await;

    assert_eq!(message, ">12a2b3");
    assert_eq!(response, ">32b2a1");
}

#[tokio::test]
async fn a_script_sees_who_asks_where_and_its_settings() {
    let mut folder = Folder::new().with(
        "who.rhai",
        r#"const PLUGIN = #{ settings: #{ tone: "dry" } };
           fn on_message(ctx, text) {
               `${ctx.source} ${ctx.kind} ${ctx.user} ${ctx.model} ${ctx.conversation.len()} ${ctx.settings.tone}`
           }"#,
    );
    folder.config.settings = [("who".to_owned(), [("tone".to_owned(), "warm".into())].into())].into();

    assert_eq!(rewritten(&*folder.set().await, "x").await, "web chat Ada SmolLM2 32 warm");
}

#[tokio::test]
async fn a_message_can_be_answered_or_refused_without_the_model() {
    let folder = Folder::new().with("a.rhai", "fn on_message(ctx, text) { text + \"!\" }").with(
        "b.rhai",
        "fn on_message(ctx, text) { if text == \"hi!\" { reply(\"Hello.\") } else { deny(\"Say hi.\") } }",
    );
    let set = folder.set().await;

    let answered = set.on_message(&ctx(), "hi".into()).await.unwrap();
    let denied = set.on_message(&ctx(), "ho".into()).await.unwrap_err();

    assert_eq!(answered.action, MessageAction::Reply { message: "hi!".into(), reply: "Hello.".into() });
    assert_eq!(denied, Denied { plugin: "b".into(), reason: "Say hi.".into() });
}

#[tokio::test]
async fn the_draft_comes_back_with_messages_parameters_and_stop_strings() {
    let folder = Folder::new().with(
        "a.rhai",
        r#"fn on_prompt(ctx, draft) {
               draft.messages.insert(0, #{ role: "system", content: "Be kind." });
               draft.messages[3].content += "?";
               if draft.params.temperature == 0.8 { draft.params.temperature = 0; }
               draft.params.logit_bias = #{ "5": -100 };
               draft.stop += "END";
               draft
           }"#,
    );
    let mut before = draft(&[(Role::User, "hi"), (Role::Assistant, "Hello."), (Role::User, "why")]);
    before.messages[1].token_ids = Some(vec![1, 2, 3]);

    let (after, marks) = folder.set().await.on_prompt(&ctx(), before.clone()).await.unwrap();

    assert_eq!(marks, vec![]);
    assert_eq!(after.messages[0], said(Role::System, "Be kind."));
    assert_eq!(after.messages[2], before.messages[1]);
    assert_eq!(after.messages[3].content, "why?");
    assert_eq!(after.params.temperature, 0.0);
    assert_eq!(after.params.stop, ["END"]);
    assert_eq!(after.params.logit_bias, [("5".to_owned(), -100.0)].into());
    assert_eq!(after.params.top_p.to_bits(), before.params.top_p.to_bits());
}

#[tokio::test]
async fn what_the_model_said_loses_its_tokens_when_a_plugin_changes_it() {
    let folder = Folder::new()
        .with("a.rhai", "fn on_prompt(ctx, draft) { draft.messages[0].content += \"!\"; draft }");
    let mut before = draft(&[(Role::Assistant, "Hello")]);
    before.messages[0].token_ids = Some(vec![7]);

    let (after, _) = folder.set().await.on_prompt(&ctx(), before).await.unwrap();

    assert_eq!(after.messages, [said(Role::Assistant, "Hello!")]);
}

#[tokio::test]
async fn a_wrong_return_value_is_an_error_with_file_and_line_and_changes_nothing() {
    let before = draft(&[(Role::User, "hi")]);
    for (body, sentence) in [
        ("7", "on_prompt must return the draft or (), not int"),
        (
            "#{ mesages: [] }",
            "on_prompt returned a draft with \"mesages\"; it has messages, params, stop, grammar, json_schema, prefill",
        ),
        ("#{ messages: [] }", "on_prompt returned no messages; at least one must stay"),
        ("#{ messages: [1] }", "on_prompt returned messages[0] of type int; it must be #{role, content}"),
        (
            "#{ messages: [#{ role: \"tool\", content: \"\" }] }",
            "on_prompt returned messages[0] with a role other than \"system\", \"user\", \"assistant\"",
        ),
        (
            "#{ messages: [#{ role: \"user\", content: 5 }] }",
            "on_prompt returned messages[0] whose content is not a string but int",
        ),
        (
            "#{ params: #{ temprature: 1 } }",
            "on_prompt returned params.temprature; there is no such parameter",
        ),
        (
            "#{ params: #{ top_k: \"many\" } }",
            "on_prompt returned params.top_k of a wrong type: invalid type: string \"many\", expected i32",
        ),
        ("#{ params: #{ top_p: 1.5 } }", "on_prompt returned params.top_p must be from 0 to 1, not 1.5"),
        ("#{ params: #{ top_p: 0.0 / 0.0 } }", "on_prompt returned params.top_p, where NaN is not a number"),
        (
            "#{ stop: [\"\"] }",
            "on_prompt returned params.stop entries have 1 to 1000 bytes and no NUL; one has 0",
        ),
    ] {
        let folder = Folder::new().with("a.rhai", &format!("\nfn on_prompt(ctx, draft) {{ {body} }}"));

        let (after, marks) = folder.set().await.on_prompt(&ctx(), before.clone()).await.unwrap();

        assert_eq!(after, before, "{body}");
        assert_eq!(marks[0].text, format!("The plugin a was skipped: it failed at a.rhai:2: {sentence}."));
    }
}

#[tokio::test]
async fn an_open_plugin_that_fails_is_skipped_with_a_mark_and_the_others_work() {
    let folder = Folder::new()
        .with("a.rhai", "fn on_message(ctx, text) {\n  text + missing(text)\n}")
        .with("b.rhai", &tagging("!", 100));

    let outcome = folder.set().await.on_message(&ctx(), "secret".into()).await.unwrap();

    assert_eq!(outcome.action, MessageAction::Continue("secret!".into()));
    assert_eq!(
        outcome.marks,
        [Mark {
            source: "a".into(),
            text: "The plugin a was skipped: it failed at a.rhai:2:10: Function not found: missing (&str | ImmutableString | String).".into()
        }]
    );
}

#[tokio::test]
async fn a_closed_plugin_that_fails_refuses_by_name() {
    let folder = Folder::new().with(
        "guard.rhai",
        "const PLUGIN = #{ fail: \"closed\" };\nfn on_response(ctx, text) { throw \"no way\" }",
    );

    let denied = folder.set().await.on_response(&ctx(), "x".into()).await.unwrap_err();

    assert_eq!(denied.plugin, "guard");
    assert_eq!(denied.reason, "it failed at guard.rhai:2:29: no way");
}

#[tokio::test]
async fn a_failure_never_quotes_the_conversation() {
    for body in [
        "throw text",
        "throw \"found \" + text",
        "parse_int(text)",
        "let m = #{}; m[text].x",
        "Fn(text).call()",
        "re_is_match(\"\", text + \"(\")",
        "[1][parse_int(\"9\")]",
    ] {
        let folder = Folder::new().with("a.rhai", &format!("fn on_message(ctx, text) {{ {body} }}"));

        let outcome = folder.set().await.on_message(&ctx(), "s3cret".into()).await.unwrap();

        assert_eq!(outcome.marks.len(), 1, "{body}");
        assert!(!outcome.marks[0].text.contains("s3cret"), "{:?}", outcome.marks);
    }
}

#[tokio::test]
async fn three_failures_in_a_row_rest_an_open_plugin_and_keep_a_closed_one_refusing() {
    let failing = "fn on_message(ctx, text) { if text == \"ok\" { () } else { throw \"bad\" } }";
    let folder = Folder::new().with("open.rhai", failing);
    let plugins = folder.open();
    let set = plugins.current().await;
    let mark = |text: &'static str| {
        let set = set.clone();
        async move { set.on_message(&ctx(), text.into()).await.unwrap().marks.pop().map(|mark| mark.text) }
    };

    mark("x").await;
    mark("x").await;
    assert_eq!(mark("ok").await, None);
    for _ in 0..3 {
        assert!(mark("x").await.unwrap().contains("bad"));
    }
    assert_eq!(
        mark("ok").await.unwrap(),
        "The plugin open was skipped: it failed 3 times in a row and rests until its file changes."
    );
    assert_eq!(plugins.list()[0].state, PluginState::Resting);

    let folder =
        Folder::new().with("closed.rhai", &format!("const PLUGIN = #{{ fail: \"closed\" }}; {failing}"));
    let set = folder.set().await;
    for _ in 0..3 {
        set.on_message(&ctx(), "x".into()).await.unwrap_err();
    }
    assert!(set.on_message(&ctx(), "ok".into()).await.unwrap_err().reason.contains("rests"));
}

#[tokio::test]
async fn only_a_plugin_that_holds_holds_the_reply() {
    let hold = |hold| format!("const PLUGIN = #{{ hold: {hold} }}; fn on_response(ctx, text) {{ () }}");

    assert!(!Folder::new().with("a.rhai", &hold("0")).set().await.holds_reply());
    assert!(Folder::new().with("a.rhai", &hold("\"reply\"")).set().await.holds_reply());
}

#[tokio::test]
async fn however_a_script_reads_its_ctx_it_is_there() {
    let scripts = [
        "fn on_message(ctx, text) { ctx.user }",
        "fn on_message(ctx, text) { `${ctx.user}` }",
        "fn on_message(who, text) { who[\"user\"] }",
        "fn on_message(ctx, text) { name(ctx) } fn name(ctx) { ctx.user }",
        "fn name(it) { it.user } fn on_message( ctx , text) { call(Fn(\"name\"), ctx) }",
        "fn on_message(ctx, text) { on_response(ctx, text) } fn on_response(c, text) { c.user }",
        "fn on_response(text, ctx) { ctx } fn on_message(ctx, text) { on_response(text, `${ctx.user}`) }",
        "fn on_message(ctx, text) { if is_def_var(\"ctx\") { return ctx.user; } text }",
    ];
    for script in scripts {
        let set = Folder::new().with("a.rhai", script).set().await;

        assert_eq!(rewritten(&set, "hello").await, "Ada", "{script}");
    }
}
