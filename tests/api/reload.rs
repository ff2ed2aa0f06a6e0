//! A plugin that is edited all the time while people chat.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::{ECHO, Home, PATIENCE, Person, TestApp};

const EDITS: usize = 1_000;
/// After so many edits without a pause the writer waits until a reply was made by the last one.
const BURST: usize = 4;
const CHATS: usize = 4;
/// Replies of one conversation, so that its prompt stays short.
const TURNS: usize = 20;

/// What chats have seen and shall do.
#[derive(Clone, Copy, Default)]
struct Progress {
    latest: usize,
    over: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_edits_under_load_lose_no_reply_and_never_show_half_a_plugin() {
    let home = Home::new(ECHO);
    let file = home.path().join("plugins/stamp.rhai");
    write(&file, 0);
    let app = TestApp::start_in(home).await;
    let progress = Arc::new(watch::Sender::new(Progress::default()));
    let mut chats = Vec::new();
    for name in ["ada", "bob", "cleo", "dan"].into_iter().take(CHATS) {
        chats.push(tokio::spawn(chat(app.person(name).await, progress.clone())));
    }

    let mut seen = progress.subscribe();
    for edit in 1..=EDITS {
        write(&file, edit);
        if edit % BURST == 0 {
            let taken = timeout(PATIENCE, seen.wait_for(|progress| progress.latest >= edit)).await;
            assert!(taken.is_ok(), "edit {edit} never took effect: {}", app.home.log());
        }
    }
    progress.send_modify(|progress| progress.over = true);
    let mut replies = 0;
    for chat in chats {
        replies += chat.await.unwrap();
    }

    assert!(replies >= EDITS / BURST, "{replies} replies");
    assert_eq!(progress.borrow().latest, EDITS);
}

/// Chats until the writer is done; returns the number of replies.
async fn chat(person: Person, progress: Arc<watch::Sender<Progress>>) -> usize {
    let (mut replies, mut before) = (0, 0);
    let mut conversation = String::new();
    while !progress.borrow().over {
        if replies % TURNS == 0 {
            conversation = person.new_conversation().await;
        }
        let said = person.ask(&conversation, "hi").await;
        let version = version(&said);
        assert!(version >= before, "version {version} after {before}");
        assert!(!is_broken(version), "{version} was run and never loads");
        progress.send_modify(|progress| progress.latest = progress.latest.max(version));
        (replies, before) = (replies + 1, version);
    }
    replies
}

/// The version that stamped a reply in both hooks.
fn version(said: &str) -> usize {
    let stamps: Vec<_> = said.split(' ').collect();
    let [text, message, response] = stamps[..] else { panic!("{said}") };
    assert_eq!((text, message), ("hi", response), "{said}");
    message.parse().unwrap()
}

/// Every fiftieth edit is a mistake.
fn is_broken(edit: usize) -> bool {
    edit % 50 == 25
}

/// Writes a version as editors do: in place or by renaming, longer or shorter than before.
fn write(file: &Path, edit: usize) {
    // Cut off in the middle it would still be a plugin, without its last hook.
    let padding = "// The plugin goes on below.\n".repeat(edit % 7 * 15);
    let end = if is_broken(edit) { "fn" } else { "" };
    let script = format!(
        "const PLUGIN = #{{ fail: \"closed\", hold: \"reply\" }};\n\
         fn on_message(ctx, text) {{ text + \" {edit}\" }}\n{padding}\
         fn test_stamp() {{ assert_eq(on_message(test_ctx(), \"hi\"), \"hi {edit}\"); }}\n\
         fn on_response(ctx, text) {{ text + \" {edit}\" }}\n{end}"
    );
    if edit.is_multiple_of(3) {
        let new = file.with_extension("new");
        fs::write(&new, script).unwrap();
        fs::rename(&new, file).unwrap();
    } else {
        fs::write(file, script).unwrap();
    }
}
