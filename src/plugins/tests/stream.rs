//! A reply on its way through `on_chunk`.

use super::*;

#[tokio::test]
async fn every_plugin_sees_each_piece_on_the_way_out_in_reverse_order() {
    let tagging = |tag: &str, priority: i64| {
        format!("const PLUGIN = #{{ priority: {priority} }}; fn on_chunk(ctx, text) {{ text + \"{tag}\" }}")
    };
    let folder = Folder::new().with("a.rhai", &tagging("a", 1)).with("b.rhai", &tagging("b", 2));
    let set = folder.set().await;

    assert_eq!(streamed(&set, &["1", "2"]).await, "1ba2ba");
    assert!(set.filters_reply() && !set.holds_reply());
}

#[tokio::test]
async fn a_reply_without_such_plugins_passes_untouched() {
    let set = Folder::new().with("a.rhai", "fn on_response(ctx, text) { text }").set().await;
    let mut stream = set.stream(&ctx());

    assert_eq!(stream.push("x".into()).await, Ok(Released { text: "x".into(), stop: false }));
    assert_eq!(stream.finish().await, Ok(String::new()));
    assert!(!stream.altered() && !set.filters_reply());
}

#[tokio::test]
async fn what_is_kept_back_comes_with_the_next_pieces_or_at_the_end() {
    let script = "const PLUGIN = #{ hold: 3 }; fn on_chunk(ctx, text) { re_replace(text, `abcd`, `-`) }";
    let set = Folder::new().with("a.rhai", script).set().await;
    let mut stream = set.stream(&ctx());

    let mut said = Vec::new();
    for piece in ["xyab", "c", "d", "ef", "g"] {
        said.push(stream.push(piece.into()).await.unwrap().text);
    }

    assert_eq!(said, ["x", "y", "", "", "-"]);
    assert_eq!(stream.finish().await.unwrap(), "efg");
    assert!(stream.altered());
}

#[tokio::test]
async fn a_plugin_may_end_the_reply() {
    let script =
        r#"fn on_chunk(ctx, text) { if "END" in text { stop(text.sub_string(0, text.index_of("END"))) } }"#;
    let folder = Folder::new().with("a.rhai", script);
    let set = folder.with("b.rhai", "fn on_chunk(ctx, text) { text.to_upper() }").set().await;
    let mut stream = set.stream(&ctx());

    assert_eq!(stream.push("one".into()).await.unwrap(), Released { text: "ONE".into(), stop: false });
    assert_eq!(stream.push("two end".into()).await.unwrap(), Released { text: "TWO ".into(), stop: true });
    assert_eq!(stream.finish().await.unwrap(), "");
}

#[tokio::test]
async fn an_open_plugin_that_fails_is_left_out_of_this_reply_with_a_mark() {
    let script = "const PLUGIN = #{ hold: 2 }; fn on_chunk(ctx, text) { if `!` in text { throw `no` } text.to_upper() }";
    let set = Folder::new().with("a.rhai", script).set().await;
    let mut stream = set.stream(&ctx());

    let mut said = String::new();
    for piece in ["abc", "d!", "e"] {
        said += &stream.push(piece.into()).await.unwrap().text;
    }
    said += &stream.finish().await.unwrap();

    assert_eq!(said, "abcd!e");
    let marks = stream.marks();
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert!(marks[0].text.contains("was skipped: it failed at a.rhai:1:"), "{marks:?}");
}

#[tokio::test]
async fn a_closed_plugin_that_fails_ends_the_reply_by_name() {
    let script = "const PLUGIN = #{ fail: \"closed\" }; fn on_chunk(ctx, text) { 42 }";
    let set = Folder::new().with("a.rhai", script).set().await;

    let denied = set.stream(&ctx()).push("x".into()).await.unwrap_err();

    assert_eq!(
        denied.to_string(),
        "The plugin a refused: it failed at a.rhai:1: on_chunk must return a text, stop(), stop(text) or (), not int"
    );
}

#[tokio::test]
async fn after_a_refusal_nothing_passes_any_more() {
    let script = "const PLUGIN = #{ fail: \"closed\", hold: 5 }; fn on_chunk(ctx, text) { if `!` in text { throw `no` } }";
    let set = Folder::new().with("a.rhai", script).set().await;
    let mut stream = set.stream(&ctx());

    let denied = stream.push("abc!".into()).await.unwrap_err();

    assert_eq!(stream.push("more".into()).await, Err(denied.clone()));
    assert_eq!(stream.finish().await, Err(denied));
}

#[tokio::test]
async fn a_reply_that_breaks_off_loses_what_was_kept_back() {
    let script = "const PLUGIN = #{ hold: 4 }; fn on_chunk(ctx, text) { }";
    let set = Folder::new().with("a.rhai", script).set().await;
    let mut stream = set.stream(&ctx());

    let said = stream.push("a secr".into()).await.unwrap().text;
    stream.break_off();

    assert_eq!((said.as_str(), stream.finish().await), ("a ", Ok(String::new())));
    assert!(stream.altered(), "the model's tokens spell more than was shown");
}

#[tokio::test]
async fn a_mask_that_leaves_the_beginning_is_whole_however_it_is_split() {
    let script = r"const PLUGIN = #{ hold: 10 };
        fn on_chunk(ctx, text) { re_replace(text, `(\d{3})-\d{2}-\d{4}`, `$1-xx-xxxx`) }";
    let set = Folder::new().with("a.rhai", script).set().await;
    let before = "It is 123-45-6789, she said.";

    for at in 0..before.len() {
        let (head, tail) = before.split_at(at);
        assert_eq!(streamed(&set, &[head, tail]).await, "It is 123-xx-xxxx, she said.", "{head}|{tail}");
    }
}

#[test]
fn a_hold_without_its_hook_is_an_error() {
    let error = |hold: &str| {
        let script = format!("const PLUGIN = #{{ hold: {hold} }}; fn on_message(ctx, text) {{ }}");
        only_error(&Folder::new().with("a.rhai", &script).open())
    };

    assert!(error("5").ends_with("there is no on_chunk to keep text back for"), "{}", error("5"));
    assert!(error("\"reply\"").ends_with("there is no on_response to wait for"), "{}", error("\"reply\""));
}

/// Notes the threads on which it is asked.
struct Threads(std::sync::Mutex<Vec<std::thread::ThreadId>>);

impl Tokens for Threads {
    fn count(&self, _: &str) -> Result<usize, String> {
        self.0.lock().unwrap().push(std::thread::current().id());
        Ok(1)
    }
}

#[tokio::test]
async fn a_reply_that_is_written_near_the_plugins_wakes_no_other_thread_for_a_piece() {
    const PIECES: usize = 100;
    let script = "fn on_chunk(ctx, text) { tokens(text); text }";
    let (folder, threads) = (Folder::new().with("a.rhai", script), Arc::new(Threads(Default::default())));
    let services = Services { tokens: Some(threads.clone()), ..Services::default() };
    let set = Plugins::with_services(folder.config.clone(), services).current().await;

    let mut stream = set.stream(&ctx());
    let written = set.spawn(async move {
        let mut own = Vec::new();
        for _ in 0..PIECES {
            own.push(std::thread::current().id());
            stream.push("x".into()).await.unwrap();
        }
        own
    });

    assert_eq!(written.await.unwrap(), *threads.0.lock().unwrap());
}

#[tokio::test]
async fn replies_that_are_written_together_call_their_plugins_less_often_each() {
    let set = Folder::new().with("a.rhai", "fn on_chunk(ctx, text) { text }").set().await;
    let (mut first, waiting) = (set.stream(&ctx()), set.stream(&ctx()));
    let mut others: Vec<_> = (1..16).map(|_| set.stream(&ctx())).collect();

    for other in &mut others {
        other.push("a".into()).await.unwrap();
    }
    let of_sixteen = first.least_pause();
    let mut more: Vec<_> = (16..100).map(|_| set.stream(&ctx())).collect();
    for other in &mut more {
        other.push("a".into()).await.unwrap();
    }
    let of_a_hundred = first.least_pause();
    drop((others, more));

    let pauses = [first.least_pause(), of_sixteen, of_a_hundred].map(|pause| pause.as_millis());
    assert_eq!(pauses, [20, 96, 100]);
    drop(waiting); // What waits for its first piece does not count.
}
