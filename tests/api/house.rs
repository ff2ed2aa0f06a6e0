//! The rules of the house: which room may import what. They hold because this fails when they do not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::repository;

/// Rooms from the ground up. A room imports only rooms of lower floors.
const FLOORS: [&[&str]; 6] =
    [&["domain"], &["config"], &["engine", "plugins", "store"], &["chat", "accounts"], &["web"], &["app"]];

/// A crate or keyword, and the only places that may name it.
// `store/pool.rs` gives Rocket its database, and `store/pool_tests.rs` tries it under a Rocket.
const FENCES: [(&str, &[&str]); 7] = [
    ("llama_cpp_2", &["engine/"]),
    ("llama_cpp_sys_2", &["engine/ffi.rs"]),
    ("rhai", &["plugins/"]),
    ("sqlx", &["store/"]),
    ("rocket_db_pools", &["store/pool.rs"]),
    ("rocket", &["web/", "app.rs", "main.rs", "store/pool.rs", "store/pool_tests.rs"]),
    ("unsafe", &["engine/ffi.rs", "plugins/memory.rs"]),
];

/// Lines that one file may have; "one sitting" and some room to breathe.
const LONGEST_FILE: usize = 350;

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        let Some(own_floor) = floor(room(&file)) else { continue };
        for imported in words_after(&code, "crate::") {
            if imported != room(&file) && floor(&imported).is_some_and(|floor| floor >= own_floor) {
                wrong.push(format!("{file} imports {imported}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_foreign_crate_stays_in_its_room() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        for (name, places) in FENCES {
            let named = words(&code).any(|word| word == name);
            if named && !places.iter().any(|place| file.starts_with(place)) {
                wrong.push(format!("{file} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_fits_one_sitting() {
    let long: Vec<_> = all_files("src")
        .into_iter()
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// Every source file as its path below `src/` and its code without comments and strings.
fn sources() -> Vec<(String, String)> {
    let source = repository().join("src");
    let files = all_files("src").into_iter().map(|path| {
        let name = path.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        (name, code_only(&fs::read_to_string(path).unwrap()))
    });
    let files: Vec<_> = files.collect();
    assert!(files.len() > 30, "the sources were not found");
    files
}

fn all_files(folder: &str) -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { collect(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    collect(&repository().join(folder), &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found
}

fn code_only(source: &str) -> String {
    let without_comments = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let outside_strings =
        without_comments.map(|line| line.split('"').step_by(2).collect::<Vec<_>>().join(" "));
    outside_strings.collect::<Vec<_>>().join("\n")
}

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The first path segments after `prefix`, also of a group: `crate::{chat, web}`.
fn words_after(code: &str, prefix: &str) -> Vec<String> {
    code.split(prefix)
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split(';').next().unwrap_or_default();
                words(group).map(str::to_owned).collect()
            }
            None => words(rest).next().map(str::to_owned).into_iter().collect::<Vec<_>>(),
        })
        .collect()
}
