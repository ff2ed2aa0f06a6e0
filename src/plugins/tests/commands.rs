//! What a person types after a `/`.

use super::*;

const NOTES: &str = r#"
    /// Translates what you write.
    /// Into French, that is.
    fn command_translate(ctx, args) { "Translate into French: " + args }

    fn command_help(ctx, args) { reply("Type /translate.") }
    fn command_admin(ctx, args) { deny("That is not for " + ctx.user + ".") }
    fn command_nothing(ctx, args) { }
"#;

#[tokio::test]
async fn a_command_gets_the_rest_and_makes_the_message_answers_it_or_refuses_it() {
    let set = Folder::new().with("notes.rhai", NOTES).set().await;

    assert_eq!(rewritten(&set, "/translate  good\nmorning ").await, "Translate into French: good\nmorning");
    assert_eq!(rewritten(&set, "/nothing to do").await, "/nothing to do");
    let answered = set.on_message(&ctx(), "/help".into()).await.unwrap();
    let denied = set.on_message(&ctx(), "/admin".into()).await.unwrap_err();

    let reply = MessageAction::Reply { message: "/help".into(), reply: "Type /translate.".into() };
    assert_eq!(answered, MessageOutcome { action: reply, marks: vec![] });
    assert_eq!(denied.to_string(), "The plugin notes refused: That is not for Ada.");
}

#[tokio::test]
async fn what_is_no_command_is_a_text() {
    let set = Folder::new().with("notes.rhai", NOTES).set().await;

    for text in ["/unknown x", "/", "/ help", "//help", " /help", "help", "/help!", "/HELP", "/etc/hosts"] {
        assert_eq!(rewritten(&set, text).await, text);
    }
}

#[tokio::test]
async fn what_a_command_made_goes_on_through_on_message() {
    let clean = "fn on_message(ctx, text) {
        if text.contains(\"bomb\") { return deny(\"no\"); }
        text.replace(\"secret\", \"-\");
        text
    }";
    let set = Folder::new().with("notes.rhai", NOTES).with("clean.rhai", clean).set().await;

    assert_eq!(rewritten(&set, "/translate my secret").await, "Translate into French: my -");
    let answered = set.on_message(&ctx(), "/help with my secret".into()).await.unwrap();
    let denied = set.on_message(&ctx(), "/help with a bomb".into()).await.unwrap_err();

    let reply = MessageAction::Reply { message: "/help with my -".into(), reply: "Type /translate.".into() };
    assert_eq!(answered.action, reply);
    assert_eq!(denied.plugin, "clean");
}

#[tokio::test]
async fn a_command_gets_what_the_plugins_before_its_own_left_of_the_message() {
    let at = |priority: i64, body: &str| format!("const PLUGIN = #{{ priority: {priority} }};\n{body}");
    let first = at(1, "fn on_message(ctx, text) { text.replace(\"secret\", \"-\"); text }");
    let second =
        at(2, "fn on_message(ctx, text) { text + \".\" } fn command_keep(ctx, args) { `kept ${args}` }");
    let third = at(3, "fn on_message(ctx, text) { text + \"!\" } fn command_kept(ctx, args) { \"twice\" }");
    let folder = Folder::new().with("third.rhai", &third).with("second.rhai", &second);
    let set = folder.with("first.rhai", &first).set().await;

    assert_eq!(rewritten(&set, "/keep my secret").await, "kept my -.!");
    assert_eq!(rewritten(&set, "keep my secret").await, "keep my -.!");
}

#[tokio::test]
async fn one_plugin_gets_a_command_and_the_list_names_the_others() {
    let said = |priority: i64, text: &str| {
        format!(
            "const PLUGIN = #{{ priority: {priority} }};\n/// Says {text}.\nfn command_say(ctx, args) {{ \"{text}\" }}"
        )
    };
    let folder = Folder::new().with("a.rhai", &said(5, "a")).with("b.rhai", &said(1, "b"));
    let set = folder.with("notes.rhai", NOTES).set().await;

    assert_eq!(rewritten(&set, "/say").await, "b");
    let commands = set.commands();
    let names: Vec<_> = commands.iter().map(|command| command.name.as_str()).collect();
    assert_eq!(names, ["admin", "help", "nothing", "say", "translate"]);
    let say = Command {
        name: "say".into(),
        plugin: "b".into(),
        about: "Says b.".into(),
        passed_over: vec!["a".into()],
    };
    assert_eq!(commands[3], say);
    assert_eq!(commands[4].about, "Translates what you write.");
    assert_eq!(commands[1].about, "");
}

#[tokio::test]
async fn a_command_that_fails_is_skipped_with_a_mark_or_refused_by_name() {
    let failing =
        |fail: &str| format!("const PLUGIN = #{{ fail: \"{fail}\" }};\nfn command_go(ctx, args) {{ 7 }}");
    let sentence =
        "it failed at a.rhai:2: command_go must return a text, reply(text), deny(reason) or (), not int";

    let open = Folder::new().with("a.rhai", &failing("open")).set().await;
    let closed = Folder::new().with("a.rhai", &failing("closed")).set().await;

    let outcome = open.on_message(&ctx(), "/go now".into()).await.unwrap();
    assert_eq!(outcome.action, MessageAction::Continue("/go now".into()));
    assert_eq!(outcome.marks[0].text, format!("The plugin a was skipped: {sentence}."));
    assert_eq!(closed.on_message(&ctx(), "/go now".into()).await.unwrap_err().reason, sentence);
}

#[test]
fn a_command_that_nobody_could_type_is_an_error() {
    let error =
        |function: &str| only_error(&Folder::new().with("a.rhai", &format!("fn {function} {{ }}")).open());

    let name = "the name of a command has small letters, digits and _";
    assert_eq!(error("command_Go(ctx, args)"), format!("a.rhai:1: {name}"));
    assert_eq!(error("command_(ctx, args)"), format!("a.rhai:1: {name}"));
    assert_eq!(error("command_go(args)"), "a.rhai:1: command_go takes (ctx, args)");
}
