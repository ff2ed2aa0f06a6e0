//! What an operator does on the command line: passwords, roles, backups.

use std::os::unix::fs::PermissionsExt;

use crate::support::{ECHO, Home, Person, TestApp};

#[tokio::test]
async fn a_forgotten_password_is_reset_on_the_command_line() {
    let app = TestApp::start(ECHO).await;
    let mut ada = app.person("ada").await;

    let printed = String::from_utf8(app.home.command(&["user", "reset-password", "ada"]).stdout).unwrap();

    ada.password = printed.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(ada.get("/").await.headers()["location"].to_str().unwrap().starts_with("/login"), "signed out");
    assert_eq!(ada.sign_in().await.status(), 303);
}

#[tokio::test]
async fn an_account_is_promoted_and_deleted_on_the_command_line() {
    let app = TestApp::start(ECHO).await;
    app.person("ada").await;
    let bob = app.person("bob").await;

    assert!(app.home.command(&["user", "promote", "Bob"]).status.success());
    let list = String::from_utf8(app.home.command(&["user", "list"]).stdout).unwrap();
    assert!(list.contains("bob\tadministrator"), "{list}");
    assert!(app.home.command(&["user", "delete", "bob"]).status.success());
    assert!(bob.get("/").await.headers()["location"].to_str().unwrap().starts_with("/login"));
    let unknown = app.home.command(&["user", "delete", "bob"]);
    assert!(!unknown.status.success() && !unknown.stderr.is_empty());
}

#[tokio::test]
async fn f33_a_backup_of_a_running_server_is_private_and_whole() {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;
    ada.ask(&conversation, "keep this safe").await;

    let made = app.home.command(&["backup", "copy.db"]);
    let again = app.home.command(&["backup", "copy.db"]);

    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(!again.status.success(), "an existing file is never overwritten");
    let copy = app.home.path().join("copy.db");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let restored = Home::new(ECHO);
    std::fs::create_dir(restored.path().join("data")).unwrap();
    std::fs::copy(copy, restored.path().join("data/fireside.db")).unwrap();
    let restored = TestApp::start_in(restored).await;
    let ada = Person::new(&restored.url, "ada");
    ada.sign_in().await;
    assert!(ada.page(&format!("/c/{conversation}")).await.contains("keep this safe"));
}
