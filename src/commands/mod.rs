//! Commands that need more than a call.

pub mod model;
pub mod plugin;
