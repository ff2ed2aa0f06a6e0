//! What the list of plugins receives: a row for each, with its state and its calls in numbers.

use std::time::Duration;

use rocket::http::RawStr;
use serde::Serialize;

use super::views::{UserView, grouped};
use crate::domain::User;
use crate::plugins::{CallStats, PluginInfo, PluginState};

/// The list.
#[derive(Serialize)]
pub struct PluginsView {
    user: UserView,
    plugins: Vec<RowView>,
    troubled: usize,
}

impl PluginsView {
    /// Of all plugins, those that messages meet first, in their order.
    pub fn new(user: &User, plugins: Vec<PluginInfo>) -> Self {
        let troubled = plugins.iter().filter(|plugin| is_troubled(plugin)).count();
        let mut place = 0;
        let rows = plugins.into_iter().map(|plugin| {
            place += usize::from(plugin.takes_part());
            RowView::new(&plugin, plugin.takes_part().then_some(place))
        });
        Self { plugins: rows.collect(), troubled, user: UserView::new(user) }
    }
}

/// What the list shows of a plugin, and its page at the top.
#[derive(Serialize)]
pub struct RowView {
    id: String,
    /// The address of its page.
    path: String,
    name: String,
    version: String,
    description: String,
    hooks: Vec<&'static str>,
    priority: i64,
    /// Its place in the order in which messages meet the plugins, if they meet it.
    place: Option<usize>,
    refuses: bool,
    /// A word and a colour of its own.
    state: &'static str,
    colour: &'static str,
    /// Its files do not load, and the version before works on.
    outdated: bool,
    /// Which text tells what the state means.
    advice: &'static str,
    error: Option<String>,
    stats: StatsView,
}

impl RowView {
    /// `place` is its place among those that messages meet.
    pub fn new(plugin: &PluginInfo, place: Option<usize>) -> Self {
        let (state, colour) = named(plugin.state);
        let calls = plugin.stats.iter().fold(CallStats::default(), |sum, (_, stats)| sum.and(*stats));
        let works = matches!(plugin.state, PluginState::Running | PluginState::OnTrial);
        let failed = (plugin.state == PluginState::Resting).then(|| plugin.last_failure.clone()).flatten();
        Self {
            id: plugin.id.clone(),
            path: path(&plugin.id),
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            description: plugin.description.clone(),
            hooks: plugin.hooks.iter().map(|hook| hook.name()).collect(),
            priority: plugin.priority,
            place,
            refuses: plugin.refuses,
            state,
            colour,
            outdated: plugin.error.is_some() && works,
            advice: advice(plugin),
            error: plugin.error.clone().or(failed),
            stats: StatsView::from(calls),
        }
    }
}

/// Calls since the server started, times in milliseconds.
#[derive(Serialize)]
pub struct StatsView {
    calls: String,
    mean: Option<String>,
    worst: Option<String>,
    failures: String,
    failed: bool,
}

impl From<CallStats> for StatsView {
    fn from(stats: CallStats) -> Self {
        Self {
            calls: grouped(stats.calls),
            mean: stats.mean().map(millis),
            worst: (stats.calls > 0).then(|| millis(stats.worst)),
            failures: grouped(stats.failures),
            failed: stats.failures > 0,
        }
    }
}

/// Where a plugin's page is; a file that cannot be a plugin may have any name.
pub fn path(id: &str) -> String {
    format!("/admin/plugins/{}", RawStr::new(id).percent_encode())
}

/// The state's name, and the colour that goes with it.
fn named(state: PluginState) -> (&'static str, &'static str) {
    match state {
        PluginState::Running => ("running", "good"),
        PluginState::Disabled => ("disabled", "off"),
        PluginState::Broken => ("broken", "bad"),
        PluginState::Resting => ("resting", "bad"),
        PluginState::OnTrial => ("on_trial", "warm"),
    }
}

fn is_troubled(plugin: &PluginInfo) -> bool {
    match plugin.state {
        PluginState::Disabled => false,
        PluginState::Broken | PluginState::Resting | PluginState::OnTrial => true,
        PluginState::Running => plugin.error.is_some(),
    }
}

/// The text that tells what the state means, and what to do about it.
fn advice(plugin: &PluginInfo) -> &'static str {
    match (plugin.state, plugin.error.is_some(), plugin.refuses) {
        (PluginState::Disabled, ..) => "disabled",
        (PluginState::Broken, _, false) => "broken",
        (PluginState::Broken, _, true) => "broken_refuses",
        (PluginState::Resting, _, false) => "resting",
        (PluginState::Resting, _, true) => "resting_refuses",
        (PluginState::OnTrial, false, _) => "on_trial",
        (PluginState::Running | PluginState::OnTrial, true, _) => "outdated",
        (PluginState::Running, false, _) => "running",
    }
}

/// Milliseconds in three digits or so.
fn millis(time: Duration) -> String {
    match time.as_secs_f64() * 1_000.0 {
        ms if ms < 0.01 => "< 0.01".to_owned(),
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        let times =
            [0, 4_000, 55_000, 12_340_000, 250_400_000].map(|nanos| millis(Duration::from_nanos(nanos)));

        assert_eq!(times, ["< 0.01", "< 0.01", "0.06", "12.3", "250"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
