//! The manual's examples and the shipped plugins do what they say.

use super::*;
use crate::plugins::{compile, folder, plugin, sandbox};

const MANUAL: &str = include_str!("../../../plugins/README.md");
const CLOCK: &str = include_str!("../../../plugins/clock.rhai");
const CONCISE: &str = include_str!("../../../plugins/examples/concise.rhai");
const REDACT: &str = include_str!("../../../plugins/examples/redact.rhai");
const WORD_FILTER: &str = include_str!("../../../plugins/examples/word_filter.rhai");

/// The scripts between ```` ```rhai ```` and ```` ``` ````.
fn examples() -> Vec<&'static str> {
    let blocks = MANUAL.split("```rhai\n").skip(1);
    blocks.map(|rest| rest.split_once("```").map_or(rest, |(block, _)| block)).collect()
}

#[tokio::test]
async fn every_example_of_the_manual_loads_and_its_hooks_run() {
    assert_eq!(examples().len(), MANUAL.matches("```rhai").count());
    assert!(examples().len() >= 6);
    for example in examples() {
        let folder = Folder::new().with("example.rhai", example);
        let plugins = Plugins::with_services(folder.config.clone(), host::shelves().1);
        let info = plugins.list().remove(0);
        assert_eq!((info.state, info.error), (PluginState::Running, None), "{example}");
        let set = plugins.current().await;

        for command in set.commands() {
            let called = set.on_message(&ctx(), format!("/{} this", command.name)).await.unwrap();
            assert_eq!(called.marks, vec![], "{example}");
        }
        let message = set.on_message(&ctx(), "a message about ORD1234".into()).await.unwrap();
        let (_, prompt) = set.on_prompt(&ctx(), draft(&[(Role::User, "hi")])).await.unwrap();
        let segments = vec![RenderedSegment { origin: SegmentOrigin::User, text: "hi".into() }];
        let (_, rendered) = set.on_rendered(&ctx(), segments).await.unwrap();
        assert_eq!(rendered, vec![], "{example}");
        let (_, chunks) = set.stream(&ctx()).whole("a reply".into()).await.unwrap();
        let exchange = vec![said(Role::User, "hi"), said(Role::Assistant, "Hello.")];
        let (_, titled) = set.on_title(&ctx(), exchange).await.unwrap();
        assert_eq!(titled, vec![], "{example}");
        let response = set.on_response(&ctx(), "a reply, 123-45-6789".into()).await.unwrap().marks;

        assert_eq!((message.marks, prompt, chunks, response), (vec![], vec![], vec![], vec![]), "{example}");
    }
}

#[test]
fn the_manual_names_every_hook_and_every_host_function() {
    for hook in Hook::ALL {
        let signature = format!("`{}({})`", hook.name(), hook.parameters().join(", "));
        assert!(MANUAL.contains(&signature), "{signature} is missing");
    }
    let host = [
        include_str!("../host.rs"),
        include_str!("../json.rs"),
        include_str!("../kv.rs"),
        include_str!("../llm.rs"),
        include_str!("../trial.rs"),
    ]
    .concat();
    let registered = host.split("register_fn(\"").skip(1).filter_map(|rest| rest.split('"').next());
    for function in registered.filter(|name| !["to_string", "test_panic"].contains(name)) {
        assert!(MANUAL.contains(&format!("`{function}(")), "{function} is missing");
    }
}

#[test]
fn the_manual_names_the_limits_of_loading() {
    for limit in [
        format!("{} functions", sandbox::MAX_FUNCTIONS),
        format!("{} parameters", compile::MAX_PARAMETERS),
        format!("{} variables", sandbox::MAX_VARIABLES),
        format!("{} files", folder::MAX_FILES),
        format!("{} commands", plugin::MAX_COMMANDS),
        format!("{} seconds", compile::DEADLINE.time.as_secs()),
    ] {
        assert!(MANUAL.contains(&limit), "{limit} is missing");
    }
}

#[tokio::test]
async fn the_clock_adds_the_date_to_the_system_prompt_or_makes_one() {
    let set = Folder::new().with("clock.rhai", CLOCK).set().await;
    let today = jiff::Zoned::now().strftime("Today is %A, %Y-%m-%d.").to_string();

    let (with, _) =
        set.on_prompt(&ctx(), draft(&[(Role::System, "Be kind."), (Role::User, "hi")])).await.unwrap();
    let (without, _) = set.on_prompt(&ctx(), draft(&[(Role::User, "hi")])).await.unwrap();

    assert_eq!(with.messages[0].content, format!("Be kind.\n{today}"));
    assert_eq!(without.messages, [said(Role::System, &today), said(Role::User, "hi")]);
}

#[tokio::test]
async fn concise_asks_for_few_words_and_lowers_max_tokens() {
    let mut folder = Folder::new().with("concise.rhai", CONCISE);
    folder.config.settings = [("concise".to_owned(), [("max_words".to_owned(), 30.into())].into())].into();

    let (after, _) = folder.set().await.on_prompt(&ctx(), draft(&[(Role::User, "hi")])).await.unwrap();

    assert_eq!(after.messages[0].content, "Answer in at most 30 words.");
    assert_eq!(after.params.max_tokens, 80);
}

#[tokio::test]
async fn redact_removes_addresses_and_card_numbers_and_nothing_else() {
    let set = Folder::new().with("redact.rhai", REDACT).set().await;
    assert!(set.filters_reply());
    for (before, after) in [
        ("mail ada.l+x@mail.example.org, ok?", "mail [e-mail removed], ok?"),
        ("jürgen@münchen.de", "[e-mail removed]"),
        ("card 4111111111111111.", "card [card number removed]."),
        ("4111 1111 1111 1111 and 5500-0000-0000-0004", "[card number removed] and [card number removed]"),
        ("378282246310005", "[card number removed]"),
        ("1 4111 1111 1111 1111 7", "[card number removed]"),
        ("4111\u{a0}1111\u{a0}1111\u{a0}1111", "[card number removed]"),
        ("4222222222222", "[card number removed]"),
        ("in 2024 4111 1111 1111 1111", "in [card number removed]"),
        ("3782 822463 10005", "[card number removed]"),
        ("2026-03-01 2026-03-02 2026-03-03", "2026-03-01 2026-03-02 2026-03-03"),
        ("order 4111111111111112", "order 4111111111111112"),
        ("call 030 123456, room @5, 2026-03-01", "call 030 123456, room @5, 2026-03-01"),
    ] {
        assert_eq!(rewritten(&set, before).await, after);
        assert_eq!(streamed(&set, &[before]).await, after);
        for at in before.char_indices().map(|(at, _)| at) {
            let (head, tail) = before.split_at(at);
            assert_eq!(streamed(&set, &[head, tail]).await, after, "{head}|{tail}");
        }
        let (prompt, _) =
            set.on_prompt(&ctx(), draft(&[(Role::User, "x"), (Role::Assistant, before)])).await.unwrap();
        assert_eq!(prompt.messages[1].content, after);
    }
}

#[tokio::test]
async fn redact_passes_a_long_table_of_numbers() {
    let mut folder = Folder::new().with("redact.rhai", REDACT);
    folder.config.deadline_ms = 20_000; // What counts is that it passes, also on a busy machine.
    let set = folder.set().await;
    let table: String = (0..10_000).map(|n| format!("{} ", 10 + n % 90)).collect();

    assert_eq!(rewritten(&set, &table).await, table);
}

#[tokio::test]
async fn the_word_filter_refuses_whole_words_in_any_case() {
    let mut folder = Folder::new().with("word_filter.rhai", WORD_FILTER);
    folder.config.settings =
        [("word_filter".to_owned(), [("words".to_owned(), vec!["Äpfel", "rose"].into())].into())].into();
    let set = folder.set().await;

    let denied = set.on_message(&ctx(), "Two ÄPFEL, please".into()).await.unwrap_err();

    assert_eq!(denied.to_string(), "The plugin word_filter refused: Please leave out the word \"Äpfel\".");
    assert_eq!(rewritten(&set, "He arose among roses.").await, "He arose among roses.");
}

#[test]
fn the_plugins_that_are_shipped_load_with_a_name_and_a_description() {
    for (file, text) in
        [("clock", CLOCK), ("concise", CONCISE), ("redact", REDACT), ("word_filter", WORD_FILTER)]
    {
        let info = Folder::new().with(&format!("{file}.rhai"), text).open().list().remove(0);

        assert_eq!((info.state, info.error), (PluginState::Running, None), "{file}");
        assert!(!info.name.is_empty() && !info.version.is_empty() && !info.description.is_empty(), "{file}");
    }
}
