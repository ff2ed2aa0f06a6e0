use std::time::{Duration, Instant};

use super::*;
use crate::plugins::{budget, sandbox};

/// Far above what a scheduler needs, far below a hang.
const GRACE: Duration = Duration::from_millis(400);
const MAX_GROWTH: usize = 64 << 20;

/// Runs a body as `on_message`, and asserts that it ends in time and in bounds. Returns what the reader is told.
async fn survived(body: &str) -> String {
    let script = format!("fn on_message(ctx, text) {{ {body} }}\nfn f(a) {{ f(a + 1) }}");
    let folder = Folder::new().with("hostile.rhai", &script);
    let plugins = folder.open();
    assert_eq!(plugins.list()[0].error, None, "{body}");
    let set = plugins.current().await;

    let start = Instant::now();
    let outcome = set.on_message(&ctx(), "hello".into()).await.unwrap();
    let took = start.elapsed();

    assert!(took < Duration::from_millis(folder.config.deadline_ms) + GRACE, "{body}: {took:?}");
    assert!(peak_of(&folder, &script) < MAX_GROWTH, "{body}");
    assert_eq!(outcome.action, MessageAction::Continue("hello".into()), "{body}");
    outcome.marks.into_iter().map(|mark| mark.text).collect()
}

/// The most memory that the script's call holds at once.
fn peak_of(folder: &Folder, script: &str) -> usize {
    let engine = sandbox::engine(&folder.config);
    let ast = engine.compile(script).unwrap();
    let call = || {
        let mut scope = rhai::Scope::new();
        let called =
            engine.call_fn::<rhai::Dynamic>(&mut scope, &ast, "on_message", ((), "hello".to_owned()));
        called.is_ok()
    };
    let (_, spent) = sandbox::run_blocking(|| budget::within(&folder.config, "hostile", call)).unwrap();
    spent.peak_bytes
}

#[tokio::test]
async fn loops_end_at_the_deadline() {
    for body in [
        "loop {}",
        "while true { try { loop {} } catch {} }",
        "for i in 0..9_000_000_000_000 { i + 1; }",
        "let a = []; a.pad(10_000, 1); loop { a.index_of(2); }",
        "let a = []; a.pad(90_000, 1); a.sort(|x, y| { let n = 0; while n < 1000 { n += 1; } 0 }); ()",
        "let a = []; a.pad(90_000, 1); loop { a.remove(0); a.push(1); }",
        "let s = \"ab\"; while s.len < 2_000_000 { s += s; } loop { s.contains(\"abb\"); }",
        "let s = \"1\"; while s.len < 1_000_000 { s += s; } loop { re_replace(s, \"(1|2)+3\", \"\"); }",
    ] {
        let told = survived(body).await;
        assert!(told.contains("deadline_ms") || told.contains("max_operations"), "{body}: {told}");
    }
}

#[tokio::test]
async fn bombs_end_within_the_memory_limit() {
    for body in [
        "let s = \"b\"; while s.len < 900_000 { s += s; } s.replace(\"b\", s); s",
        "let s = \"b\"; while s.len < 900_000 { s += s; } s.replace('b', s); s",
        "let s = \"x\"; loop { s += s; }",
        "let s = \"x\"; loop { s = s + s; }",
        "let s = \"x\"; loop { s = `${s}${s}`; }",
        "let s = \"x\"; s.pad(9_000_000_000, 'x'); s",
        "let s = \"x\"; s.pad(4_000_000, \"😀\"); s",
        "let a = [1]; loop { a += a; }",
        "let a = [1]; loop { a.append(a); }",
        "let a = []; loop { a.push([1, 2, 3]); }",
        "let a = []; a.pad(9_000_000_000, 0); a",
        "let a = []; a.pad(50_000, 0); let b = []; b.pad(50_000, a); b",
        "let m = #{}; let i = 0; loop { m[\"k\" + i] = i; i += 1; }",
        "let a = []; a.pad(50_000, 0); let m = #{}; let i = 0; loop { m[\"k\" + i] = a; i += 1; }",
        "let a = []; a.pad(50_000, 0); let m = #{}; m.a = a; loop { m.b = m; }",
        "let m = #{ a: 1 }; loop { m.a = m; m.b = m; }",
        "let s = \"x\"; while s.len < 2_000_000 { s += s; } s.split(\"\").len()",
        "let s = \"x\"; while s.len < 2_000_000 { s += s; } s.to_chars().len()",
        "let s = \"x\"; while s.len < 2_000_000 { s += s; } let m = #{}; for i in 0..9_000 { m[\"k\" + i] = s; } m.to_string()",
        "let s = \"x\"; while s.len < 2_000_000 { s += s; } let m = #{}; for i in 0..9_000 { m[\"k\" + i] = s; } `${m}`",
        "let s = \"x\"; while s.len < 2_000_000 { s += s; } let m = #{}; for i in 0..9_000 { m[\"k\" + i] = s; } \"a\" + m",
        "let s = \"x\"; while s.len < 2_000_000 { s += s; } let m = #{}; for i in 0..9_000 { m[\"k\" + i] = s; } m.to_json()",
        "let s = \"x\"; while s.len < 2_000_000 { s += s; } let m = #{}; for i in 0..9_000 { m[\"k\" + i] = s; } print(m)",
        "let s = \"x\"; while s.len < 1_000_000 { s += s; } re_replace(s, \".\", \"$0$0$0$0$0$0$0$0\")",
        "let s = \"x\"; while s.len < 1_000_000 { s += s; } re_find_all(s, \".\").len()",
        "re_is_match(text, \"(\\\\w{100}){100}\")",
        "let p = \"a\"; while p.len < 2_000 { p += p; } re_is_match(text, p)",
    ] {
        let told = survived(body).await;
        assert!(told.contains("was skipped"), "{body}: {told}");
    }
}

#[tokio::test]
async fn depth_does_not_overflow_the_stack() {
    for body in [
        "f(0)",
        "let a = []; loop { a = [a]; }",
        "let a = []; let b = []; loop { a.push([b.pop()]); b.push([a.pop()]); }",
        "let a = #{}; loop { let b = #{}; b.x = a; a = b; }",
        "let a = []; for i in 0..2_000 { a = [a]; } a == a; a.to_string(); 7",
    ] {
        let told = survived(body).await;
        assert!(told.contains("was skipped"), "{body}: {told}");
    }
}

#[tokio::test]
async fn a_regular_expression_gives_up_before_it_takes_long() {
    // Pseudo-random text, so that a DFA would need a state of its own for nearly every byte.
    let noise = "let x = 1234567; let s = \"\"; while s.len < 20_000 {
        x = (x * 1103515245 + 12345) % 2147483648; s += if (x / 65536) % 2 == 0 { '0' } else { '1' };
    } while s.len < 2_000_000 { s += s; }";
    for pattern in ["[01]*1[01]{200}x", "[01]*1[01]{2000}x", "(0|1|00|11|01|10)*1(0|1){700}x"] {
        let told = survived(&format!("{noise} re_replace(s, \"{pattern}\", \"\")")).await;
        assert!(told.contains("too complicated") || told.contains("deadline_ms"), "{pattern}: {told}");
    }
}

#[tokio::test]
async fn what_a_plugin_must_not_do_does_not_exist() {
    for body in ["sleep(1)", "sleep(1e30)", "timestamp()", "exit()", "open_file(\"x\")", "import_file(\"x\")"]
    {
        assert!(survived(body).await.contains("Function not found"), "{body}");
    }
    for script in [
        "fn on_message(ctx, text) { eval(\"1\") }",
        "fn on_message(ctx, text) { text.grow() } fn grow() { this + this }",
        "fn on_message(ctx, text) { Fn(\"f\").curry(text) } fn f(x) { x }",
        "import \"other\" as o; fn on_message(ctx, text) {}",
    ] {
        let plugins =
            Folder::new().with("a.rhai", script).with("other.rhai", "fn on_message(c, t) {}").open();
        assert!(only_error(&plugins).starts_with("a.rhai:1:"), "{script}");
    }
}

#[tokio::test]
async fn a_panic_in_a_host_function_is_a_failure_of_that_plugin_only() {
    let told = survived("test_panic(); text").await;

    assert!(told.contains("a host function panicked"), "{told}");
    assert!(
        survived("let a = [3, 1, 2]; a.sort(|x, y| true); throw \"sorted\"").await.contains("was skipped")
    );
}

#[tokio::test]
async fn arithmetic_and_wrong_types_are_ordinary_failures() {
    for body in [
        "1 / 0",
        "9_223_372_036_854_775_807 + 1",
        "[1, 2][7]",
        "text[99]",
        "ctx.user = \"Eve\"; 7",
        "text.nothing()",
        "\"\"",
        "reply(\"\")",
        "0.0 / 0.0",
        "[text]",
        "|x| x",
    ] {
        assert!(survived(body).await.contains("hostile.rhai:1"), "{body}");
    }
}

#[tokio::test]
async fn a_loop_in_one_request_delays_no_other() {
    let folder = Folder::new()
        .with("a.rhai", "fn on_message(ctx, text) { if text == \"loop\" { loop {} } text + \"!\" }");
    let set = folder.set().await;

    let ctx = ctx();
    let endless = set.on_message(&ctx, "loop".into());
    let quick = async {
        let start = Instant::now();
        let text = rewritten(&set, "quick").await;
        (text, start.elapsed())
    };
    let (endless, (text, took)) = futures::join!(endless, quick);

    assert_eq!(endless.unwrap().marks.len(), 1);
    assert_eq!(text, "quick!");
    assert!(took < Duration::from_millis(folder.config.deadline_ms), "{took:?}");
}
