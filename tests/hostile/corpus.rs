//! Scripts that try to harm: the files of this folder, and those that are too large to keep as files.
//!
//! A file begins with `// told: a | b`, one of the words that a reader is told, or `// error: a | b`, where it must not
//! load. The others do harm to `mallory` only.

use std::fs;
use std::path::Path;

/// A script of the corpus.
pub struct Hostile {
    /// A plugin's id.
    pub name: String,
    /// The file.
    pub script: Vec<u8>,
    /// Whether it loads.
    pub loads: bool,
    /// Words of which the failure holds one.
    pub told: Vec<String>,
}

/// The whole corpus.
pub fn scripts() -> Vec<Hostile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rhai"));
    files.sort();
    let kept = files.into_iter().map(|path| {
        let script = fs::read_to_string(&path).unwrap();
        let head = script.lines().next().unwrap();
        let (kind, told) = head.strip_prefix("// ").and_then(|head| head.split_once(": ")).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Hostile::new(&name, kind == "told", told, script.clone())
    });
    kept.chain(large()).collect()
}

impl Hostile {
    fn new(name: &str, loads: bool, told: &str, script: impl Into<Vec<u8>>) -> Self {
        let told = told.split(" | ").map(str::to_owned).collect();
        Self { name: name.to_owned(), script: script.into(), loads, told }
    }
}

/// What a person would not write by hand.
fn large() -> Vec<Hostile> {
    let broken = |name, told, script: String| Hostile::new(name, false, told, script);
    let hook = |body: &str| format!("fn on_message(ctx, text) {{ {body} }}");
    let attack = |body: &str| hook(&format!("if ctx.user == \"mallory\" {{ {body} }}"));
    let functions: String = (0..10_000).map(|n| format!("fn f{n}() {{ {n} }}\n")).collect();
    let tests: String = (0..900).map(|n| format!("fn test_{n}() {{ loop {{}} }}\n")).collect();
    let deep = |open: &str, close: &str| hook(&format!("{}1{}", open.repeat(20_000), close.repeat(20_000)));
    vec![
        broken("large_ten_thousand_functions", "hostile.rhai:1001", functions),
        broken("large_five_megabytes", "max_file_bytes", format!("//{}\n{}", "x".repeat(5 << 20), hook(""))),
        broken(
            "large_nine_hundred_endless_tests",
            "deadline_ms | max_operations",
            format!("{}\n{tests}", hook("")),
        ),
        broken("deep_parentheses", "hostile.rhai:1", deep("(", ")")),
        broken("deep_lists", "hostile.rhai:1", deep("[", "]")),
        broken("deep_blocks", "hostile.rhai:1", deep("{", "}")),
        broken("deep_maps", "hostile.rhai:1", deep("#{a:", "}")),
        broken("deep_negations", "hostile.rhai:1", deep("-", "")),
        broken("deep_calls", "hostile.rhai:1", deep("f(", ")")),
        broken("deep_interpolations", "hostile.rhai:1", deep("`${", "}`")),
        broken("deep_ifs", "hostile.rhai:1", deep("if 1==", "{}")),
        broken("long_sum", "hostile.rhai:1", hook(&format!("1{}", "+1".repeat(50_000)))),
        broken("long_chain_of_dots", "maximum complexity", hook(&format!("text{}", ".x".repeat(120_000)))),
        broken(
            "unfinished_text",
            "hostile.rhai:1",
            format!("fn on_message(ctx, text) {{ \"{}", "x".repeat(99_999)),
        ),
        broken("unfinished_comment", "hostile.rhai", format!("/*{}", "/*".repeat(50_000))),
        Hostile::new(
            "large_text",
            true,
            "hostile.rhai:1",
            attack(&format!("throw \"{}\"", "x".repeat(250_000))),
        ),
        Hostile::new("large_list", false, "hostile.rhai:1", attack(&format!("[{}]", "1,".repeat(110_000)))),
        Hostile::new("large_name", true, "", attack(&format!("let {} = 1; throw 1", "x".repeat(200_000)))),
        Hostile::new(
            "no_utf8",
            false,
            "no UTF-8 text in line 2",
            b"fn on_message(ctx, text) {\n\xff\xfe }".as_slice(),
        ),
        Hostile::new("no_text", false, "hostile.rhai", [b"\x7fELF\0\0\0".as_slice(), &[0; 4096]].concat()),
        Hostile::new("no_byte", false, "defines no hook", Vec::new()),
    ]
}
