//! Fireside: a chat server for language models on your own machine, that you can script.

pub mod config;
pub mod domain;
pub mod plugins;
