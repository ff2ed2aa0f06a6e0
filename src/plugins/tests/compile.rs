//! Files that keep a parser busy, within the limit on a file's size.

use std::time::{Duration, Instant};

use super::*;
use crate::plugins::fault::Source;
use crate::plugins::look;

/// What a compilation may take on a machine that does other things; without its deadline some take minutes.
const AT_MOST: Duration = Duration::from_secs(5);

/// The n-th name.
fn name(n: usize) -> String {
    format!("n{n:x}")
}

fn names(count: usize, separator: &str) -> String {
    (0..count).map(name).collect::<Vec<_>>().join(separator)
}

fn many(count: usize, part: impl Fn(String) -> String) -> String {
    (0..count).map(|n| part(name(n))).collect()
}

fn hook(body: &str) -> String {
    format!("fn on_message(ctx, text) {{ {body} }}")
}

/// Compiles and tests a plugin as a server does; the sentence where it does not load.
fn load(text: String, config: &PluginsConfig) -> Result<(), String> {
    assert!(text.len() as u64 <= config.max_file_bytes, "{} bytes", text.len());
    let source = Source { file: "a.rhai".into(), text, ..Source::default() };
    look::load("a", &source, config).map(drop).map_err(|fault| fault.to_string())
}

#[test]
fn no_file_keeps_the_parser_busy_and_each_loads_or_is_refused_with_a_sentence() {
    let refused = |sentence: &'static str| Some(sentence);
    let loads = None;
    let cases = [
        ("parameters", format!("fn on_message({}) {{}}", names(38_000, ",")), refused("64 parameters")),
        ("of a closure", hook(&format!("let f = |{}| 1;", names(38_000, ","))), refused("64 parameters")),
        ("variables", hook(&many(20_000, |n| format!("let {n};"))), refused("1000 variables")),
        ("variables outside", many(20_000, |n| format!("let {n};")), refused("1000 variables")),
        (
            "variables and their uses",
            hook(&format!("{}{}", many(11_000, |n| format!("let {n};")), "n0;".repeat(40_000))),
            refused("1000 variables"),
        ),
        ("constants", many(15_000, |n| format!("const {n}=1;")), refused("1000 variables")),
        ("loops in loops", hook(&many(12_000, |n| format!("for {n} in 0..1{{"))), refused("a.rhai:1")),
        ("functions", many(13_000, |n| format!("fn {n}(){{}}\n")), refused("1000 functions")),
        (
            "functions and uses",
            format!("{}{}", many(900, |n| format!("fn {n}(){{}}")), hook(&"text;".repeat(48_000))),
            loads,
        ),
        ("closures", hook(&"|a|a;".repeat(45_000)), refused("a.rhai:1")),
        ("list", hook(&format!("[{}]", "1,".repeat(99_000))), loads),
        ("map", hook(&format!("#{{{}}}", many(25_000, |n| format!("{n}:1,")))), refused("a.rhai:1")),
        ("interpolations", hook(&format!("`{}`", "${text}".repeat(35_000))), loads),
        ("letters", hook(&format!("\"{}\"", "\\u0041".repeat(40_000))), loads),
        ("else if", hook(&format!("if 1==1 {{}} {}", "else if 1==1 {}".repeat(15_000))), refused("a.rhai:1")),
        ("if after if", hook(&"if text==1{}".repeat(20_000)), loads),
        ("cases", hook(&format!("switch text {{ {} }}", "1=>1,".repeat(50_000))), loads),
        (
            "ranges",
            hook(&format!(
                "switch text {{ {} }}",
                (0..14_000).map(|n| format!("{n}..={},", n + 2)).collect::<String>().replace(',', "=>1,")
            )),
            loads,
        ),
        (
            "alternatives",
            hook(&format!(
                "switch text {{ {} => 1 }}",
                (0..35_000).map(|n| n.to_string()).collect::<Vec<_>>().join("|")
            )),
            loads,
        ),
        ("indices", hook(&format!("text{}", "[0]".repeat(80_000))), refused("a.rhai:1")),
        ("methods", hook(&format!("text{}", ".x()".repeat(60_000))), refused("a.rhai:1")),
        ("sum", hook(&format!("1{}", "+1".repeat(120_000))), refused("a.rhai:1")),
        ("statements", hook(&"1;".repeat(125_000)), loads),
        ("blocks", hook(&"{};".repeat(80_000)), loads),
        ("imports", many(9_000, |n| format!("import \"w\" as {n};")), refused("a.rhai:1")),
        ("digits", hook(&"1".repeat(250_000)), loads),
        (
            "commands",
            many(1_000, |n| format!("fn command_{n}({n}é, args) {{}}\n")).replace('é', "_a"),
            refused("100 commands"),
        ),
        (
            "tests",
            format!("{}{}", hook(""), many(900, |n| format!("fn test_{n}() {{ loop {{}} }}\n"))),
            refused("test_n0: it takes "),
        ),
    ];
    let config = PluginsConfig { deadline_ms: 200, ..PluginsConfig::default() };
    for (what, text, expected) in cases {
        let start = Instant::now();

        let loaded = load(text, &config);

        let took = start.elapsed();
        println!("{what}: {took:?}, {loaded:?}");
        match (&loaded, expected) {
            (Ok(()), None) => {}
            (Err(told), Some(sentence)) => {
                assert!(told.starts_with("a.rhai:") && told.contains(sentence), "{what}: {told}");
            }
            _ => panic!("{what}: {loaded:?}"),
        }
        assert!(took < AT_MOST, "{what}: {took:?}");
    }
}

/// What no limit but the time names.
#[test]
fn a_compilation_ends_at_its_deadline_also_in_an_imported_file() {
    let config = PluginsConfig { max_file_bytes: 1 << 20, ..PluginsConfig::default() };
    // Each function begins a new count; the variables outside of functions are all there at once.
    let slow = (0..900).map(|f| {
        let variables: String = (0..100).map(|n| format!("let {};", name(f * 100 + n))).collect();
        format!("{variables}fn f{f}() {{}}\n")
    });
    let slow: String = slow.collect();
    let start = Instant::now();
    let told = load(slow.clone(), &config).unwrap_err();
    assert!(told.contains("compiling it takes longer than 2 seconds"), "{told}");
    assert!(start.elapsed() < AT_MOST, "{:?}", start.elapsed());

    let told = load_importing("import \"words\" as words;", slow, &config);
    assert!(told.starts_with("a/words.rhai:"), "{told}");
    assert!(told.contains("compiling it takes longer than 2 seconds"), "{told}");
}

/// What a plugin that imports a file is told.
fn load_importing(import: &str, words: String, config: &PluginsConfig) -> String {
    let neighbours = vec![("words".into(), words)];
    let source = Source { file: "a/main.rhai".into(), text: format!("{import}\n{}", hook("")), neighbours };
    look::load("a", &source, config).err().unwrap().to_string()
}

#[test]
fn the_limits_hold_for_an_imported_file_too_also_where_its_name_is_made_at_run_time() {
    let words = format!("fn greet({}) {{ }}", names(65, ", "));
    for import in ["import \"words\" as words;", "import (\"wor\" + \"ds\") as words;"] {
        let told = load_importing(import, words.clone(), &PluginsConfig::default());
        assert!(told.starts_with("a/words.rhai:1:") && told.contains("64 parameters"), "{told}");
    }
}

/// The parser has words of its own for what it did not expect, and does not expect just anything in the middle of a text.
#[test]
fn what_a_compilation_holds_is_bounded_and_told_also_in_the_middle_of_a_text_or_a_case() {
    let config = PluginsConfig { max_memory_bytes: 1 << 20, ..PluginsConfig::default() };
    let cases = many(25_000, |n| format!("\"{n}\"|"));
    for body in [
        "f(1);".repeat(45_000),
        format!("`{}`", "${text}".repeat(35_000)),
        format!("`{}`", "${1} and ".repeat(28_000)),
        format!("switch text {{ {cases}\"\" => 1 }}"),
    ] {
        let told = load(hook(&body), &config).unwrap_err();

        assert!(told.starts_with("a.rhai:"), "{told}");
        assert!(told.contains("more memory than max_memory_bytes allows (1048576 bytes)"), "{told}");
    }
}

#[test]
fn what_a_person_writes_is_below_every_limit() {
    let config = PluginsConfig::default();
    let lines = |count: usize| many(count, |n| format!("    let {n} = text.len() + 1;\n"));
    let functions: String = (0..200).map(|f| format!("fn f{f}(text) {{\n{}}}\n", lines(40))).collect();
    let wide = format!("fn wide({}) {{ }}\n", names(64, ", "));

    assert_eq!(load(format!("{}{functions}{wide}", hook("a(text)")), &config), Ok(()));
    assert_eq!(load(hook(&lines(1_000)), &config), Ok(()));
}

#[tokio::test]
async fn nobody_waits_for_a_plugin_that_takes_long_to_load() {
    let mut folder = Folder::new().with("a.rhai", "fn on_message(ctx, text) { \"one\" }");
    folder.config.deadline_ms = 3_000;
    folder.config.max_operations = 1_000_000_000;
    let plugins = folder.open();
    folder.write("a.rhai", format!("{}\nfn test_slow() {{ loop {{ }} }}", hook("\"two\"")));

    let start = Instant::now();
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "one");
    let first = start.elapsed();
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(rewritten(&*plugins.current().await, "x").await, "one");
        assert_eq!(plugins.list()[0].error, None, "it is still being tested");
    }
    plugins.switch("a", false);
    assert_eq!(plugins.list()[0].state, PluginState::Disabled);
    plugins.switch("a", true);
    let others = start.elapsed();

    assert!(first < Duration::from_millis(1_500), "{first:?}");
    assert!(others < Duration::from_millis(1_000), "{others:?}");
    while plugins.list()[0].error.is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "it is never done");
        tokio::time::sleep(Duration::from_millis(20)).await;
        plugins.current().await;
    }
    assert!(only_error(&plugins).contains("test_slow: it takes longer than"), "{}", only_error(&plugins));
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "one");
}
