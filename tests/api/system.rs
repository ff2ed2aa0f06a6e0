//! A system that gives the server less than it needs: a sentence, never a signal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use crate::support::{ECHO, Home, TestApp};

/// Somebody who owns nothing.
const NOBODY: u32 = 65_534;

/// Runs the server below a limit of the shell's until it ends by itself or is reachable; what it said.
fn below(home: &Home, limit: &str) -> Output {
    let program = home.program();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit {limit}; exec \"$0\" serve")).arg(program.get_program());
    shell.current_dir(home.path()).env("ROCKET_PORT", "0").stdin(Stdio::null());
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.starts_with("Fireside is at") {
        let id = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }
    child.wait_with_output().unwrap()
}

#[test]
fn too_little_address_space_is_a_sentence() {
    for kib in [100_000, 250_000, 400_000, 550_000, 700_000, 900_000, 1_200_000] {
        let home = Home::new(ECHO);

        let ended = below(&home, &format!("-v {kib}"));

        let said = String::from_utf8_lossy(&ended.stderr);
        match ended.status.code() {
            Some(0) => {}
            Some(1) => assert!(said.contains("fireside: ") && said.lines().count() < 12, "{kib}: {said}"),
            // It did not even begin: the shell says so.
            Some(127) => {
                assert!(said.contains("Cannot allocate memory") || said.contains("mmap"), "{kib}: {said}")
            }
            code => panic!("{kib}: {code:?} {:?} {said}", ended.status),
        }
    }
}

#[tokio::test]
async fn few_open_files_are_said_and_pages_answer() {
    let home = Home::new(ECHO);
    let mut program = Command::new("sh");
    program.arg("-c").arg("ulimit -n 64; exec \"$0\" serve").arg(home.program().get_program());
    program.current_dir(home.path()).env("ROCKET_PORT", "0");
    let app = TestApp::start_program(home, program);
    app.wait_until_ready().await;

    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    for number in 0..30 {
        let message = format!("number {number}");
        assert_eq!(ada.ask(&conversation, &message).await, message);
    }
    assert!(app.home.log().contains("only 64 files may be open at a time"), "{}", app.home.log());
}

#[tokio::test]
async fn f19_a_folder_or_database_that_cannot_be_written_is_a_sentence() {
    let app = TestApp::start(ECHO).await;
    app.person("ada").await;
    let (_, _, home) = app.terminate();
    let data = home.path().join("data");
    let mode =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(home.path(), 0o755);
    let attempt = || {
        let mut program = home.program();
        if rustix::process::geteuid().is_root() {
            program.uid(NOBODY).gid(NOBODY);
        }
        let ended = program.arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains(&*data.to_string_lossy()) || said.contains("data"), "{said}");
        said
    };

    // Everybody may read, nobody may write.
    for file in fs::read_dir(&data).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            mode(&file, 0o444);
        }
    }
    mode(&data, 0o555);
    let all = attempt();
    // The folder may be written, the database may not.
    mode(&data, 0o777);
    mode(&data.join("lock"), 0o666);
    let database = attempt();

    assert!(all.contains("Permission denied") || all.contains("read-only"), "{all}");
    assert!(database.contains("fireside.db"), "{database}");
}
