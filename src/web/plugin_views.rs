//! What a plugin's own page receives.

use serde::Serialize;

use super::plugin_form_view::PluginFormView;
use super::plugin_rows::{RowView, StatsView};
use super::rehearsal_view::StepView;
use super::views::UserView;
use crate::chat::{Chat, ChatError, Script};
use crate::domain::User;
use crate::plugins::{PluginDetail, PluginFile, PluginState, Rehearsed, Tested};

/// Most lines of source that one page shows.
const MAX_LINES: usize = 10_000;

/// A plugin's own page, and every part of it.
#[derive(Serialize)]
pub struct PluginView {
    user: UserView,
    plugin: RowView,
    enabled: bool,
    resting: bool,
    last_failure: Option<String>,
    /// A line of the source is marked.
    marked: bool,
    hooks: Vec<HookView>,
    files: Vec<FileView>,
    /// Its settings, as far as it ever loaded.
    form: Option<PluginFormView>,
    tests: TestsView,
    rehearsal: RehearsalView,
}

/// What was just done on the page.
#[derive(Default)]
pub struct Done {
    /// The form of its settings, as it was filled in.
    pub form: Option<PluginFormView>,
    /// How the tests ended; the error says why there are none.
    pub tested: Option<Result<Vec<Tested>, String>>,
    /// What was tried.
    pub script: Option<Script>,
    /// What came of it.
    pub rehearsed: Option<Rehearsed>,
    /// Why nothing came of it.
    pub refusal: Option<String>,
}

#[derive(Serialize)]
struct HookView {
    name: &'static str,
    stats: StatsView,
}

#[derive(Serialize)]
struct FileView {
    name: String,
    lines: Vec<LineView>,
    left_out: usize,
}

#[derive(Serialize)]
struct LineView {
    number: usize,
    text: String,
    wrong: bool,
}

#[derive(Serialize)]
struct TestsView {
    names: Vec<String>,
    ran: bool,
    error: Option<String>,
    passed: usize,
    results: Vec<TestView>,
}

#[derive(Serialize)]
struct TestView {
    name: String,
    failure: Option<String>,
}

#[derive(Serialize)]
struct RehearsalView {
    system_prompt: String,
    conversation: String,
    answer: String,
    refusal: Option<String>,
    /// Set when something was tried.
    steps: Option<Vec<StepView>>,
    failed: bool,
}

impl PluginView {
    /// Reads what the page of one plugin shows.
    pub async fn load(chat: &Chat, user: &User, id: &str, done: Done) -> Result<Self, ChatError> {
        let PluginDetail { info, files, tests } = chat.plugin(id).await?;
        let place = chat.plugins().await.iter().position(|plugin| plugin.id == id).map(|at| at + 1);
        let script = done.script.unwrap_or_else(|| Script {
            system_prompt: chat.config().system_prompt.clone(),
            ..Script::default()
        });
        let form = match done.form {
            // What loaded once has a hook.
            None if !info.hooks.is_empty() => Some(PluginFormView::of_operator(chat, id).await?),
            form => form,
        };
        let mut lines_left = MAX_LINES;
        let marked = files.iter().any(|file| file.wrong_line.is_some());
        Ok(Self {
            user: UserView::new(user),
            plugin: RowView::new(&info, place.filter(|_| info.takes_part())),
            enabled: info.state != PluginState::Disabled,
            resting: info.state == PluginState::Resting,
            last_failure: info.last_failure.clone().filter(|_| info.error.is_none()),
            marked,
            hooks: info
                .stats
                .iter()
                .map(|(hook, stats)| HookView { name: hook.name(), stats: (*stats).into() })
                .collect(),
            files: files.into_iter().map(|file| FileView::new(file, &mut lines_left)).collect(),
            form,
            tests: TestsView::new(tests, done.tested),
            rehearsal: RehearsalView {
                system_prompt: script.system_prompt,
                conversation: script.conversation,
                answer: script.answer,
                refusal: done.refusal,
                failed: done.rehearsed.as_ref().is_some_and(|rehearsed| rehearsed.failed),
                steps: done.rehearsed.map(|rehearsed| StepView::all(rehearsed, id)),
            },
        })
    }
}

impl FileView {
    fn new(file: PluginFile, lines_left: &mut usize) -> Self {
        let count = file.text.lines().count();
        let shown = count.min(*lines_left);
        *lines_left -= shown;
        let line = |(at, text): (usize, &str)| {
            let number = at + 1;
            LineView { number, text: text.to_owned(), wrong: file.wrong_line == Some(number) }
        };
        let lines = file.text.lines().take(shown).enumerate().map(line).collect();
        Self { name: file.name, lines, left_out: count - shown }
    }
}

impl TestsView {
    fn new(names: Vec<String>, tested: Option<Result<Vec<Tested>, String>>) -> Self {
        let ran = tested.is_some();
        let (results, error) = match tested {
            None => (Vec::new(), None),
            Some(Ok(results)) => (results, None),
            Some(Err(error)) => (Vec::new(), Some(error)),
        };
        let passed = results.iter().filter(|test| test.failure.is_none()).count();
        let test = |test: Tested| TestView { name: test.name, failure: test.failure };
        Self { names, ran, error, passed, results: results.into_iter().map(test).collect() }
    }
}
