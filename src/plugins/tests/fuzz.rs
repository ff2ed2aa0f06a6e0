//! Arbitrary values for every function that a script may call, and arbitrary files for the loader.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rhai::{Dynamic, FnPtr, Scope};

use super::*;
use crate::plugins::budget::{self, Panicked};
use crate::plugins::fault::Source;
use crate::plugins::literal::literal;
use crate::plugins::set::Member;
use crate::plugins::{look, sandbox};

/// Calls a function by its name with one to four values.
const CALLER: &str = "fn call1(f, a) { Fn(f).call(a) }
    fn call2(f, a, b) { Fn(f).call(a, b) }
    fn call3(f, a, b, c) { Fn(f).call(a, b, c) }
    fn call4(f, a, b, c, d) { Fn(f).call(a, b, c, d) }
    fn identity(x) { x }";

const FUNCTIONS: &[&str] = &[
    "reply",
    "deny",
    "log",
    "now",
    "re_is_match",
    "re_find_all",
    "re_replace",
    "replace",
    "to_chars",
    "split",
    "split_rev",
    "pad",
    "sort",
    "sort_by",
    "order",
    "order_by",
    "print",
    "debug",
    "to_string",
    "to_debug",
    "len",
    "trim",
    "crop",
    "sub_string",
    "truncate",
    "remove",
    "insert",
    "push",
    "append",
    "splice",
    "extract",
    "chop",
    "drain",
    "retain",
    "dedup",
    "reverse",
    "index_of",
    "contains",
    "get",
    "set",
    "range",
    "abs",
    "parse_int",
    "parse_float",
    "to_int",
    "to_float",
    "to_hex",
    "mixin",
    "fill_with",
    "keys",
    "values",
    "to_json",
    "starts_with",
    "chars",
    "bits",
    "min",
    "max",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "<<",
    ">>",
    "==",
    "<",
    "type_of",
    "is_shared",
    "map",
    "filter",
    "reduce",
    "find",
    "some",
    "all",
    "for_each",
    "zip",
    "pop",
    "shift",
    "clear",
    "sign",
    "sqrt",
    "exp",
    "round",
    "floor",
    "to_upper",
    "make_lower",
    "call",
    "name",
];

/// Stands in every text, and must stand in no failure.
const SECRET: &str = "s3cret";

static ENGINE: LazyLock<(rhai::Engine, rhai::AST)> = LazyLock::new(|| {
    let engine = sandbox::engine(&config());
    let ast = engine.compile(CALLER).unwrap();
    (engine, ast)
});

fn config() -> PluginsConfig {
    PluginsConfig { deadline_ms: 100, ..PluginsConfig::default() }
}

fn value() -> impl Strategy<Value = Dynamic> {
    let number =
        prop_oneof![Just(0), Just(1), Just(-1), Just(i64::MAX), Just(i64::MIN), -9..99_i64, any::<i64>()];
    let text = ("\\PC{0,8}", 0..4_usize, any::<bool>()).prop_map(|(text, size, secret)| {
        let secret = if secret { SECRET } else { "" };
        format!("{text}{secret}").repeat(10_usize.pow(size as u32))
    });
    let leaf = prop_oneof![
        Just(Dynamic::UNIT),
        any::<bool>().prop_map(Dynamic::from),
        number.prop_map(Dynamic::from),
        any::<f64>().prop_map(Dynamic::from),
        any::<char>().prop_map(Dynamic::from),
        text.prop_map(Dynamic::from),
        "[a-z(|)*+?.{}\\[\\]^$\\\\0-9]{0,24}".prop_map(Dynamic::from),
        Just(Dynamic::from(FnPtr::new("identity").unwrap())),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let entries = prop::collection::btree_map("[a-c]{1,2}", inner.clone(), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..8).prop_map(Dynamic::from_array),
            entries.prop_map(|entries| {
                Dynamic::from_map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
            }),
        ]
    })
}

/// What a file of a plugin may come to: noise, words of the language in any order, a plugin with a part exchanged.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "fn on_message(ctx, text) {",
        "fn test_a() {",
        "const PLUGIN = #{",
        "}",
        "{",
        "(",
        ")",
        "[",
        "]",
        "if",
        "else",
        "loop",
        "while true",
        "for i in 0..9",
        "let x =",
        "x",
        "x +=",
        "text",
        "1",
        "-",
        "0.5",
        "\"",
        "`${",
        "'",
        ";",
        ",",
        ".",
        "::",
        "|a|",
        "=>",
        "switch",
        "throw",
        "return",
        "break",
        "try",
        "catch",
        "import",
        "as",
        "fn",
        "#{",
        "settings:",
        "priority: 9223372036854775807",
        "hold: \"reply\"",
        "fail: \"closed\"",
        "//",
        "/*",
        "\n",
        "é",
        "\0",
    ];
    let soup = prop::collection::vec(prop::sample::select(words.to_vec()), 0..80);
    let plugin = include_str!("../../../plugins/examples/redact.rhai").as_bytes();
    let at = 0..plugin.len();
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        soup.prop_map(|words| words.join(" ").into_bytes()),
        (at.clone(), at, prop::collection::vec(any::<u8>(), 0..6)).prop_map(move |(from, to, noise)| {
            [&plugin[..from.min(to)], &noise, &plugin[from.max(to)..]].concat()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_value_makes_a_function_panic_run_late_or_quote_it(
        function in prop::sample::select(FUNCTIONS.to_vec()),
        values in prop::collection::vec(value(), 1..5),
    ) {
        // What a failing test of a plugin says about them is short.
        prop_assert!(values.iter().all(|value| literal(value).len() < 500));

        let (engine, ast) = &*ENGINE;
        let caller = format!("call{}", values.len());
        let mut arguments = vec![Dynamic::from(function)];
        arguments.extend(values);

        let call = || {
            let called = engine.call_fn::<Dynamic>(&mut Scope::new(), ast, caller, arguments);
            called.map(drop).map_err(|error| Source::default().failed(error).to_string())
        };
        let (result, spent) = workers::run_blocking(|| budget::within(&config(), "fuzz", call)).unwrap();

        prop_assert!(spent.peak_bytes < 64 << 20, "{} bytes", spent.peak_bytes);
        prop_assert!(spent.time < Duration::from_secs(2), "{:?}", spent.time);
        match result {
            Err(Panicked) => prop_assert!(false, "{} panicked", function),
            Ok(Err(sentence)) => prop_assert!(!sentence.contains(SECRET), "{}", sentence),
            Ok(Ok(())) => {}
        }
    }

    #[test]
    fn whatever_lies_in_the_folder_loads_or_is_told_in_time(bytes in file()) {
        let start = Instant::now();
        let source = Source {
            file: "fuzz.rhai".into(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
            neighbours: Vec::new(),
        };

        let loaded = look::load("fuzz", &source, &config());

        match loaded {
            Err(fault) => prop_assert!(fault.to_string().starts_with("fuzz.rhai"), "{}", fault),
            Ok(plugin) => {
                let sandbox = Arc::new(Sandbox::new(config(), Services::default()));
                let set = PluginSet::new(sandbox, vec![Member::Loaded(Arc::new(plugin))]);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                // Whether it fails is its own affair; that it ends is not.
                drop(runtime.block_on(set.on_message(&ctx(), "hello".into())));
            }
        }
        prop_assert!(start.elapsed() < Duration::from_secs(5));
    }
}
