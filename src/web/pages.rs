//! Loading of templates and of the hash that names the static files.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use rocket::fairing::Fairing;
use rocket_dyn_templates::Template;
use rocket_dyn_templates::minijinja::Environment;

use super::texts::Texts;
use super::written::written;

/// Templates with the texts of a language, with the filter `written`, and with a global `assets`, the hash of all static files: links carry it, so that a browser may keep a
/// file for ever and still gets the new one after an upgrade. A broken template stops the start.
pub(super) fn templates(texts: Texts) -> impl Fairing {
    Template::try_custom(move |engines| {
        let environment = &mut engines.minijinja;
        environment.add_global("assets", assets_hash(Path::new("static"))?);
        environment.add_filter("written", written);
        texts.add_to(environment);
        check_all(environment)
    })
}

fn check_all(environment: &Environment<'static>) -> Result<(), Box<dyn std::error::Error>> {
    for file in files(Path::new("templates"))? {
        let name = file.strip_prefix("templates")?.to_string_lossy().replace('\\', "/");
        if let Some(name) = name.strip_suffix(".html.j2") {
            environment.get_template(name)?;
        }
    }
    Ok(())
}

fn assets_hash(folder: &Path) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files(folder)? {
        file.hash(&mut hasher);
        fs::read(&file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// All files below a folder, in a stable order.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
