//! A database file of which a part was overwritten.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{ECHO, Home, Person, TestApp};

/// A server that ended in order, with a database of some megabytes, and its one person.
async fn filled() -> (Home, Person) {
    let app = TestApp::start(ECHO).await;
    let ada = app.person("ada").await;
    let message = |n: usize| {
        json!({
            "id": format!("{n:032x}"), "parent": (n > 1).then(|| format!("{:032x}", n - 1)), "role": "user",
            "content": "word ".repeat(100_000), "status": "complete", "created_at": 1,
        })
    };
    let messages: Vec<_> = (1..=12).map(message).collect();
    let conversation = json!({ "title": "long", "created_at": 1, "updated_at": 1, "messages": messages });
    let file = json!({ "fireside_export": 1, "conversations": [conversation] }).to_string();
    let part = reqwest::multipart::Part::bytes(file.into_bytes()).file_name("export.json");
    let form = reqwest::multipart::Form::new().part("file", part);
    let answer = ada.request(reqwest::Method::POST, "/account/import").multipart(form).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let (status, _, home) = app.terminate();
    assert!(status.success());
    (home, ada)
}

fn database(home: &Home) -> PathBuf {
    home.path().join("data/fireside.db")
}

/// Overwrites the middle of a file.
fn damage(file: &Path) {
    let length = fs::metadata(file).unwrap().len();
    let file = File::options().write(true).open(file).unwrap();
    file.write_all_at(&vec![0xa5; (length / 2) as usize], length / 4).unwrap();
}

#[tokio::test]
async fn f19_a_damaged_database_stops_the_start_and_the_backup_with_a_sentence_and_stays_as_it_is() {
    let (home, _) = filled().await;
    damage(&database(&home));
    let before = fs::read(database(&home)).unwrap();

    let start = home.command(&["serve"]);
    let backup = home.command(&["backup", "copy.db"]);

    for (command, output) in [("serve", start), ("backup", backup)] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{command}: {said}");
        assert!(said.contains("The database is damaged"), "{command}: {said}");
    }
    assert!(!home.path().join("copy.db").exists());
    assert!(fs::read(database(&home)).unwrap() == before, "the file was changed");
}

#[tokio::test]
async fn an_export_that_meets_a_damaged_page_is_an_error_and_no_half_of_a_file() {
    let (home, mut ada) = filled().await;
    let app = TestApp::start_in(home).await;
    ada.url = app.url.clone();
    ada.sign_in().await;
    let conversation = ada.get("/").await.headers()["location"].to_str().unwrap().to_owned();
    let paths = [
        "/account/export".to_owned(),
        format!("{conversation}/export.json"),
        format!("{conversation}/export.md"),
    ];
    for path in &paths {
        assert_eq!(ada.get(path).await.status(), 200);
    }

    damage(&database(&app.home));

    for path in &paths {
        let answer = ada.get(path).await;
        assert_eq!(answer.status(), 500, "{path}");
        assert!(answer.text().await.unwrap().contains("The database is damaged"), "{path}");
    }
    assert!(ada.get("/healthz").await.status().is_success());
}
