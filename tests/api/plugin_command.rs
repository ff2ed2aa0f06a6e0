//! `fireside plugin …` as a plugin's author uses it: without a server, a model or a database.

use std::process::Output;

use crate::support::{Home, repository};

/// Exit code and output of `fireside plugin` with these arguments.
fn plugin(home: &Home, arguments: &[&str]) -> (i32, String) {
    let arguments = [&["plugin"], arguments].concat();
    let Output { status, stdout, stderr } = home.command(&arguments);
    (status.code().unwrap(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn the_shipped_plugins_load_and_pass_their_tests() {
    let home = Home::new("");
    let folders = [repository().join("plugins"), repository().join("plugins/examples")];
    let folders: Vec<_> = folders.iter().map(|folder| folder.to_str().unwrap()).collect();

    let (checked, check) = plugin(&home, &[&["check"], folders.as_slice()].concat());
    let (tested, test) = plugin(&home, &[&["test"], folders.as_slice()].concat());

    assert_eq!((checked, tested), (0, 0), "{check}{test}");
    for id in [
        "clock",
        "concise",
        "glossary",
        "json_answer",
        "memory",
        "redact",
        "title",
        "translate",
        "word_filter",
    ] {
        assert!(check.contains(&format!("ok      {id}: ")), "{check}");
        assert!(test.contains(&format!("ok      {id}: test_")), "{id} has no test: {test}");
    }
    assert!(test.ends_with(" passed, 0 failed\n"), "{test}");
}

#[test]
fn a_new_plugin_passes_its_test_and_is_never_overwritten() {
    let home = Home::new("");

    let (code, said) = plugin(&home, &["new", "ping"]);
    let (tested, test) = plugin(&home, &["test"]);
    let (again, complaint) = plugin(&home, &["new", "ping"]);
    let (misnamed, sentence) = plugin(&home, &["new", "../Ping"]);

    assert_eq!((code, said.as_str()), (0, "plugins/ping.rhai\n"));
    assert_eq!((tested, test.contains("2 passed, 0 failed")), (0, true), "{test}");
    assert_eq!((again, complaint.contains("plugins/ping.rhai exists already")), (1, true), "{complaint}");
    assert_eq!((misnamed, sentence.contains("small letters")), (1, true), "{sentence}");
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_column_and_exit_code_1() {
    let home = Home::new("");
    home.write("plugins/good.rhai", "fn on_message(ctx, text) { }\nfn test_good() { }");
    home.write("plugins/bad.rhai", "fn on_message(ctx, text) {\n  text +\n}");
    home.write("plugins/wrong.rhai", "fn on_message(ctx, text) { 7 }\nfn test_seven() {\n  assert_eq(on_message(test_ctx(), \"\"), 8);\n}\nfn test_more() { }");

    let (checked, check) = plugin(&home, &["check"]);
    let (tested, test) = plugin(&home, &["test"]);
    let (alone, good) = plugin(&home, &["test", "plugins/good.rhai"]);
    let (missing, nothing) = plugin(&home, &["test", "plugins/nobody.rhai"]);
    let (listed, list) = plugin(&home, &["list"]);

    assert_eq!(checked, 1);
    assert!(
        check.starts_with("plugins/bad.rhai:3:1: ") && check.contains("ok      wrong: on_message"),
        "{check}"
    );
    assert_eq!(tested, 1);
    assert!(
        test.contains("plugins/wrong.rhai:3:3: test_seven: assert_eq: left is 7, right is 8\n")
            && test.contains("ok      wrong: test_more\n")
            && test.ends_with("2 passed, 2 failed\n"),
        "{test}"
    );
    assert_eq!((alone, good.as_str()), (0, "ok      good: test_good\n1 passed, 0 failed\n"));
    assert_eq!((missing, nothing.contains("plugins/nobody.rhai")), (1, true), "{nothing}");
    assert_eq!(listed, 0);
    for line in [
        "good\t\trunning\tpriority 100\ton_message\n",
        "bad\t\tbroken\t",
        "plugins/wrong.rhai:3:3: test_seven",
    ] {
        assert!(list.contains(line), "{line}: {list}");
    }
}

#[test]
fn try_shows_what_each_hook_changes_and_compares_it_with_a_file() {
    let home = Home::new("[default.chat]\nsystem_prompt = \"Be kind.\"\n");
    home.add_plugin("examples/redact");
    home.write(
        "plugins/brief.rhai",
        "fn on_prompt(ctx, draft) { draft.messages[0].content += \"\\nBe brief.\"; draft.params.max_tokens = 9; draft }",
    );
    let arguments = ["try", "--message", "I am ada@example.org", "--reply", "Hi,\nada@example.org"];
    let golden =
        |more: &[&str]| plugin(&home, &[arguments.as_slice(), &["--golden", "golden.txt"], more].concat());

    let (code, all) = plugin(&home, &arguments);
    let (missing, _) = golden(&[]);
    let (updated, _) = golden(&["--update"]);
    let (same, _) = golden(&[]);
    home.write("plugins/brief.rhai", "fn on_prompt(ctx, draft) { draft.params.max_tokens = 8; draft }");
    let (different, difference) = golden(&[]);

    assert_eq!(code, 0, "{all}");
    assert_eq!(
        all,
        "message\n  I am ada@example.org\n\
         on_message of redact\n- I am ada@example.org\n+ I am [e-mail removed]\n\
         draft\n  system: Be kind.\n  user: I am [e-mail removed]\n\
         on_prompt of redact changes nothing\n\
         on_prompt of brief\n  system: Be kind.\n+     Be brief.\n  user: I am [e-mail removed]\n+ params.max_tokens = 9\n\
         reply\n  Hi,\n  ada@example.org\n\
         on_chunk of redact\n  Hi,\n- ada@example.org\n+ [e-mail removed]\n"
    );
    assert_eq!((missing, updated, same, different), (1, 0, 0, 1));
    assert!(difference.contains("- + params.max_tokens = 9\n+ + params.max_tokens = 8\n"), "{difference}");
}

#[test]
fn try_takes_one_plugin_and_tells_answers_refusals_and_failures() {
    let home = Home::new("");
    home.write(
        "plugins/a.rhai",
        "fn on_message(ctx, text) { if text == \"ping\" { reply(\"pong\") } else { deny(ctx.user) } }",
    );
    home.write("plugins/b.rhai", "fn on_message(ctx, text) {\n  text.missing()\n}");

    let (answered, pong) = plugin(&home, &["try", "a", "--message", "ping"]);
    let (refused, no) = plugin(&home, &["try", "plugins/a.rhai", "--message", "x", "--user", "eve"]);
    let (failed, why) = plugin(&home, &["try", "b", "--message", "x"]);
    let (unknown, _) = plugin(&home, &["try", "c", "--message", "x"]);

    assert_eq!((answered, pong.as_str()), (0, "message\n  ping\non_message of a answers\n  pong\n"));
    assert_eq!((refused, no.as_str()), (0, "message\n  x\non_message of a refuses: eve\n"));
    assert_eq!(
        (failed, why.contains("on_message of b: The plugin b was skipped: it failed at b.rhai:2:8: ")),
        (1, true),
        "{why}"
    );
    assert_eq!(unknown, 1);
}

#[test]
fn the_manual_names_every_command_and_option() {
    let home = Home::new("");
    let manual = std::fs::read_to_string(repository().join("plugins/README.md")).unwrap();
    let (_, help) = plugin(&home, &["--help"]);
    let (_, options) = plugin(&home, &["try", "--help"]);
    let commands =
        help.split("Commands:").nth(1).unwrap().lines().skip(1).take_while(|line| !line.is_empty());

    let commands: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    let options = options.split_whitespace().filter(|word| word.starts_with("--") && *word != "--help");

    assert!(commands.len() >= 6, "{help}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(manual.contains(&format!("`fireside plugin {command}")), "{command} is missing");
    }
    for option in options {
        assert!(manual.contains(option), "{option} is missing");
    }
}
