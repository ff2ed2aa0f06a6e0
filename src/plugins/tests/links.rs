//! Links, pipes and other entries of the plugins' folder that are no regular files in it.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::*;

const SHOUT: &str = "fn on_message(ctx, text) { text + \"!\" }";
const NOT_FOLLOWED: &str = "it is a link that leads out of its folder, which is not followed";

/// A file outside of every plugins' folder, and the folder that keeps it.
fn outside(text: &str) -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("main.rhai");
    fs::write(&file, text).unwrap();
    (dir, file)
}

#[tokio::test]
async fn a_link_out_of_the_folder_is_not_followed_and_says_so() {
    let (dir, file) = outside(SHOUT);
    let cases: [(&str, &std::path::Path); 2] = [("a.rhai", &file), ("a", dir.path())];
    for (link, target) in cases {
        let folder = Folder::new();
        symlink(target, folder.dir.path().join(link)).unwrap();

        let plugins = folder.open();

        assert!(only_error(&plugins).contains(NOT_FOLLOWED), "{}", only_error(&plugins));
        assert_eq!(plugins.list()[0].state, PluginState::Broken);
        let files = plugins.detail("a").unwrap().files;
        assert!(files.iter().all(|file| file.text.is_empty()), "nothing of it is shown: {files:?}");
        assert_eq!(rewritten(&*plugins.current().await, "x").await, "x");
    }
}

#[tokio::test]
async fn a_neighbour_must_lie_in_its_plugins_own_folder() {
    let (_dir, file) = outside("fn greet(name) { \"Hi \" + name }");
    let main = "import \"words\" as words;\nfn on_message(ctx, text) { words::greet(text) }";
    let folder = Folder::new().with("hi/main.rhai", main).with("other.rhai", SHOUT);
    let words = folder.dir.path().join("hi/words.rhai");
    for target in [file, "../other.rhai".into(), "/proc/self/environ".into()] {
        symlink(&target, &words).unwrap();

        let plugins = folder.open();

        let error = plugins.detail("hi").unwrap().info.error.unwrap();
        assert!(error.starts_with("hi/main.rhai: words.rhai: ") && error.contains(NOT_FOLLOWED), "{error}");
        fs::remove_file(&words).unwrap();
    }
}

#[tokio::test]
async fn a_link_within_the_folder_and_a_folder_that_is_a_link_itself_are_followed() {
    let folder = Folder::new()
        .with("examples/shout.rhai", SHOUT)
        .with("examples/hi/main.rhai", "import \"words\" as w;\nfn on_message(ctx, text) { w::greet(text) }")
        .with("examples/hi/there/words.rhai", "fn greet(name) { \"Hi \" + name }");
    let path = |name: &str| folder.dir.path().join(name);
    symlink("examples/shout.rhai", path("shout.rhai")).unwrap();
    symlink("examples/hi", path("hi")).unwrap();
    symlink("there/words.rhai", path("examples/hi/words.rhai")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("plugins");
    symlink(folder.dir.path(), &link).unwrap();

    for dir in [folder.dir.path(), &link] {
        let plugins = Plugins::open(PluginsConfig { dir: dir.to_owned(), ..folder.config.clone() });
        assert_eq!(rewritten(&*plugins.current().await, "x").await, "Hi x!");
    }
}

#[tokio::test]
async fn an_edit_that_makes_a_link_of_a_file_keeps_the_version_before() {
    let (_dir, file) = outside("fn on_message(ctx, text) { \"stolen\" }");
    let folder = Folder::new().with("a.rhai", SHOUT);
    let plugins = folder.open();

    folder.remove("a.rhai");
    symlink(&file, folder.dir.path().join("a.rhai")).unwrap();

    assert_eq!(rewritten(&*plugins.current().await, "x").await, "x!");
    assert!(only_error(&plugins).contains(NOT_FOLLOWED), "{}", only_error(&plugins));
}

#[tokio::test]
async fn a_pipe_a_device_and_a_folder_keep_nobody_waiting() {
    let folder = Folder::new().with("shout.rhai", SHOUT);
    let path = |name: &str| folder.dir.path().join(name);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe.rhai"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    symlink("/dev/zero", path("zero.rhai")).unwrap();
    symlink("nothing.rhai", path("loose.rhai")).unwrap();
    symlink("round.rhai", path("round.rhai")).unwrap();
    fs::create_dir(path("folder.rhai")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket.rhai")).unwrap();
    let start = Instant::now();

    let plugins = folder.open();

    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let errors: Vec<_> = plugins.list().into_iter().map(|it| (it.id, it.error.unwrap_or_default())).collect();
    let ids: Vec<_> = errors.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["pipe", "round", "shout", "socket", "zero"]);
    assert!(errors[0].1.contains("it is no regular file"), "{errors:?}");
    assert!(errors[4].1.contains(NOT_FOLLOWED), "{errors:?}");
    assert_eq!(rewritten(&*plugins.current().await, "x").await, "x!");
}
