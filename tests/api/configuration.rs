//! Rocket.toml, the environment, and the sentence for what is wrong.

use std::fs;

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Value;
use fireside::config::Config;

use crate::support::{ECHO, Home, TestApp, repository};

/// What the program says when it does not start.
fn complaint(toml: &str, environment: &[(&str, &str)]) -> String {
    let home = Home::new(toml);
    let output = home.program().envs(environment.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "it started");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_shipped_file_holds_every_key_with_its_default() {
    let path = repository().join("Rocket.toml");
    let shipped = Figment::from(Toml::file(&path).nested());
    let config = Config::extract(&shipped).unwrap();

    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    let text = fs::read_to_string(path).unwrap();
    let defaults = Config::default();
    let tables = [
        ("llm", Value::serialize(&defaults.llm)),
        ("generation", Value::serialize(&defaults.generation)),
        ("generation_limits", Value::serialize(&defaults.limits)),
        ("chat", Value::serialize(&defaults.chat)),
        ("accounts", Value::serialize(&defaults.accounts)),
        ("plugins", Value::serialize(&defaults.plugins)),
    ];
    for (table, value) in tables {
        let section =
            text.split(&format!("[default.{table}]\n")).nth(1).unwrap().split("\n[").next().unwrap();
        for key in value.unwrap().as_dict().unwrap().keys().filter(|key| *key != "settings") {
            let line = section.lines().find(|line| line.starts_with(&format!("{key} = ")));
            assert!(line.is_some_and(|line| line.contains('#') || key == "dir"), "[default.{table}] {key}");
        }
    }
}

#[test]
fn a_misspelled_key_is_named_with_the_right_one() {
    let said = complaint(&format!("{ECHO}[default.generation]\ntemprature = 0.2\n"), &[]);

    assert_eq!(
        said,
        "fireside: Rocket.toml: [default.generation] has no key \"temprature\"; did you mean \"temperature\"?\n"
    );
}

#[test]
fn a_misspelled_table_is_named_with_the_right_one() {
    let said = complaint(&format!("{ECHO}[default.generaton]\ntemperature = 0.2\n"), &[]);

    assert_eq!(
        said,
        "fireside: Rocket.toml: [default] has no key \"generaton\"; did you mean \"generation\"?\n"
    );
}

#[test]
fn what_would_be_ignored_or_replaced_stops_the_start() {
    let bare = complaint("[llm]\nqueue_size = 3\n", &[]);
    let database = complaint(&format!("{ECHO}[default.databases.fireside]\nurl = 42\n"), &[]);
    let key = complaint(&format!("[default]\nsecret_key = \"short\"\n{ECHO}"), &[]);

    assert_eq!(bare, "fireside: Rocket.toml: write [default.llm] in place of [llm].\n");
    assert!(
        database.contains("[default.databases.fireside] url: ") && database.contains("a string"),
        "{database}"
    );
    assert!(key.contains("secret_key"), "{key}");
}

#[test]
fn a_wrong_type_and_a_wrong_range_say_what_is_allowed() {
    let kind = complaint(&format!("{ECHO}[default.generation]\ntop_k = \"many\"\n"), &[]);
    let range = complaint(&format!("{ECHO}[default.generation]\ntop_p = 1.5\n"), &[]);
    let word = complaint("[default.llm]\nbackend = \"lama\"\n", &[]);

    assert_eq!(kind, "fireside: Rocket.toml: [default.generation] top_k must be i32, not string \"many\".\n");
    assert_eq!(range, "fireside: Rocket.toml: [default.generation] top_p must be from 0 to 1, not 1.5.\n");
    assert!(word.contains("[default.llm] backend must be one of llama, echo, not \"lama\""), "{word}");
}

#[test]
fn the_environment_wins_and_is_named_when_it_is_wrong() {
    let said = complaint(ECHO, &[("FIRESIDE_GENERATION__TEMPERATURE", "9")]);

    assert!(
        said.contains("environment: ") && said.contains("temperature must be from 0 to 5, not 9"),
        "{said}"
    );
}

#[tokio::test]
async fn a_dot_env_file_is_read_and_the_environment_wins_over_it() {
    let home = Home::new(ECHO);
    home.write(".env", "FIRESIDE_CHAT__GREETING=\"Greetings from the file\"\n");
    let app = TestApp::start_in(home).await;
    let ada = app.person("ada").await;
    let conversation = ada.new_conversation().await;

    assert!(ada.page(&format!("/c/{conversation}")).await.contains("Greetings from the file"));
}

#[test]
fn c_libraries_find_their_settings_unless_the_operator_chose_otherwise() {
    let begun = |chosen: &[(&str, &str)]| {
        let home = Home::new(ECHO);
        let mut program = home.program();
        program.arg("serve").envs(chosen.iter().copied());
        let name = program.get_program().to_string_lossy().into_owned();
        let [arguments, environment] = TestApp::start_program(home, program).begun_with();
        assert_eq!(arguments, [name, "serve".into()]);
        let is_setting = |word: &String| ["GOMP_", "OMP_", "MALLOC_"].iter().any(|of| word.starts_with(of));
        let mut settings: Vec<String> = environment.into_iter().filter(is_setting).collect();
        settings.sort();
        settings
    };
    let memory = ["MALLOC_ARENA_MAX=4", "MALLOC_MMAP_THRESHOLD_=262144"];

    assert_eq!(begun(&[]), ["GOMP_SPINCOUNT=10000", memory[0], memory[1]]);
    assert_eq!(begun(&[("OMP_WAIT_POLICY", "active")]), [memory[0], memory[1], "OMP_WAIT_POLICY=active"]);
    let chosen = [("GOMP_SPINCOUNT", "7"), ("MALLOC_ARENA_MAX", "1")];
    assert_eq!(begun(&chosen), ["GOMP_SPINCOUNT=7", "MALLOC_ARENA_MAX=1", memory[1]]);
}

#[test]
fn a_missing_model_is_one_sentence_with_the_ways_to_get_one() {
    let none = complaint("", &[]);
    let named = complaint("", &[("CHAT_MODEL_GGUF", "nowhere.gguf")]);

    assert_eq!(none.lines().count(), 1, "{none}");
    for way in ["models/", "[default.llm] model", "CHAT_MODEL_GGUF", "./run"] {
        assert!(none.contains(way), "{way}: {none}");
    }
    assert!(named.contains("nowhere.gguf"), "{named}");
}

#[test]
fn a_file_that_is_no_gguf_or_is_cut_off_is_one_sentence_and_exit_code_1() {
    let home = Home::new("");
    home.write("not.gguf", "GIF89a");
    let wrong = home.program().env("CHAT_MODEL_GGUF", "not.gguf").output().unwrap();
    let bytes = fs::read(crate::support::real_model()).unwrap();
    fs::write(home.path().join("cut.gguf"), &bytes[..bytes.len() / 2]).unwrap();
    let cut = home.program().env("CHAT_MODEL_GGUF", "cut.gguf").output().unwrap();

    for (output, name) in [(wrong, "not.gguf"), (cut, "cut.gguf")] {
        let said = String::from_utf8(output.stderr).unwrap();
        let ours: Vec<_> = said.lines().filter(|line| line.starts_with("fireside: ")).collect();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(ours.len() == 1 && ours[0].contains(name), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_taken_port_is_one_sentence() {
    let app = TestApp::start(ECHO).await;
    let port = app.url.rsplit(':').next().unwrap();

    let said = complaint(ECHO, &[("ROCKET_PORT", port)]);

    assert!(said.contains("ROCKET_PORT") && !said.contains("panicked"), "{said}");
}
