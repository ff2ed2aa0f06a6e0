//! `fireside model …`: what is in a file, and a better one made from it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Home, TestApp, real_model};

fn home() -> Home {
    Home::new(&format!("[default.llm]\nmodel = \"{}\"\nn_ctx = 1024\n", real_model().display()))
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_better_file_is_made_described_and_never_overwritten() {
    let home = home();
    let source = real_model();
    let convert = ["model", "convert", source.to_str().unwrap(), "new.gguf", "--type", "Q8_0"];

    let (made, said) = text(&home.command(&convert));
    let (described, _) = text(&home.command(&["model", "info", "new.gguf"]));
    let again = home.command(&convert);

    assert_eq!(made, "new.gguf\n");
    assert!(said.contains("Q8_0 keeps its quality") && said.contains("\n100 %\n"), "{said}");
    assert!(described.contains("\nquantization      Q8_0 99.9 %"), "{described}");
    assert!(described.contains("\nchat template     the model's own"), "{described}");
    assert!(described.contains("\none conversation  22.5 MiB for 1024 tokens\n"), "{described}");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).1.starts_with("fireside: new.gguf exists already"), "{again:?}");
}

#[test]
fn ctrl_c_leaves_no_half_file() {
    let home = home();
    let source = real_model();
    let mut program = home.program();
    program.args(["model", "convert", source.to_str().unwrap(), "new.gguf", "--type", "q4_k_m"]);
    let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "  0 %"));

    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();

    assert_eq!(lines.last().unwrap(), "fireside: Stopped; nothing was written.");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let names = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("gguf")));
}

#[tokio::test]
async fn the_start_gives_the_advice_that_the_description_gives() {
    let (described, _) = text(&home().command(&["model", "info"]));

    let app = TestApp::start_in(home()).await;

    // Which types are fast is the processor's; that both say the same is ours.
    let advised = |text: &str| text.contains("has no fast kernel on this processor");
    assert_eq!(advised(&app.home.log()), advised(&described), "{described}\n{}", app.home.log());
}
