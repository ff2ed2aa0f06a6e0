//! Black-box tests: the real program, its real database, and people who speak HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test that meets a surprise should fail.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod admin_plugins;
mod configuration;
mod crashes;
mod damage;
mod draft;
mod export;
mod finding;
mod hostile;
mod hosts;
mod hot_path;
mod house;
mod import;
mod isolation;
mod keys;
mod llm;
mod log;
mod models;
mod openai;
mod openai_plugins;
mod openai_real;
mod operator;
mod parameters;
mod plugin_command;
mod plugin_hooks;
mod plugin_settings;
mod plugin_streams;
mod plugin_switches;
mod plugins;
mod queue;
mod real_model;
mod reasoning;
mod reload;
mod replies;
mod shipped;
mod sign_in_load;
mod system;
mod temporary;
mod texts;
mod traces;
mod trouble;
mod versions;
mod weight;
