//! Fireside: a chat server for language models on your own machine, that you can script.

pub mod accounts;
pub mod app;
pub mod chat;
pub mod config;
pub mod domain;
pub mod engine;
pub mod plugins;
pub mod store;
pub mod web;
