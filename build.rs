//! Links what the feature `dynamic-backends` needs beyond what llama-cpp-sys-2 links itself; does nothing without it.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // They are part of the program, and the macro that reads them does not notice new ones.
    println!("cargo::rerun-if-changed=migrations");
    // Set by llama-cpp-sys-2 where llama.cpp is built as libraries.
    let Some(kernels) = std::env::var_os("DEP_LLAMA_BACKENDS_DIR") else { return };
    // The library with the conversion of JSON schemas is built and never installed, so that llama-cpp-sys-2 misses it.
    let built = Path::new(&kernels).with_file_name("build").join("bin");
    println!("cargo::rustc-link-arg=-L{}", built.display());
    println!("cargo::rustc-link-arg=-lllama-common");
    // Old tags, because they hold for the libraries that the libraries name as well.
    println!("cargo::rustc-link-arg-bins=-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib");
}
