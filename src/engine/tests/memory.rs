//! What stays in memory, in the store and on disk, and who may use it.

use super::*;

pub(super) fn greedy(max_tokens: u32) -> SamplingParams {
    SamplingParams { temperature: 0.0, max_tokens, ..SamplingParams::default() }
}

/// An engine of its own: another test's request would change what is in memory.
pub(super) async fn start(config: LlmConfig, options: EngineOptions) -> Engine {
    let engine = Engine::start(config, options).unwrap();
    ready(&engine).await;
    engine
}

async fn alone() -> Engine {
    start(real_config(), EngineOptions::default()).await
}

/// One conversation of one person.
pub(super) struct Talk {
    user: UserId,
    id: ConversationId,
    pub(super) said: Vec<PromptMessage>,
    keep_reply: bool,
}

impl Talk {
    pub(super) fn new(user: UserId) -> Self {
        Self { user, id: ConversationId::new(), said: Vec::new(), keep_reply: true }
    }

    pub(super) async fn say(&mut self, engine: &Engine, message: &str) -> Finished {
        self.said.push(says(Role::User, message));
        let prompt = engine.model().unwrap().prepare(&self.said, 16).unwrap();
        let task = Task { conversation: Some(self.id), keep_reply: self.keep_reply, ..greedy(16).into() };
        let (reply, finished) = read(engine.reserve(self.user).unwrap().submit(prompt, task).unwrap()).await;
        let finished = finished.unwrap();
        let token_ids = finished.token_ids.clone();
        self.said.push(PromptMessage { token_ids, ..says(Role::Assistant, &reply) });
        finished
    }

    pub(super) fn last_reply(&self) -> &str {
        &self.said.last().unwrap().content
    }
}

/// Some 150 tokens that no other talk has.
pub(super) fn long(topic: &str) -> String {
    format!("Tell me about {topic}. ").repeat(25)
}

/// Tokens of the prompt that had to be read.
pub(super) fn read_tokens(finished: &Finished) -> u32 {
    finished.usage.prompt_tokens - finished.timings.reused_tokens
}

#[tokio::test]
async fn the_next_turn_reads_exactly_what_is_new() {
    let engine = alone().await;
    let mut talk = Talk::new(UserId::new());
    talk.say(&engine, &long("rivers")).await;

    let next = talk.say(&engine, "Go on.").await;

    // The end of the reply, and the new message between the template's marks.
    assert!(read_tokens(&next) < 20, "{next:?}");
}

#[tokio::test]
async fn what_follows_a_reply_is_read_while_nobody_waits() {
    let engine = alone().await;
    let between = engine.model().unwrap().prompts.between_turns().len();
    assert!(between > 3, "the marks of the template");
    let mut talk = Talk::new(UserId::new());
    let mut last = talk.say(&engine, &long("rivers")).await.usage;
    let mut read_ahead = false;

    // As soon as the engine has a moment.
    for patience in [50, 400, 2_000, 5_000] {
        tokio::time::sleep(Duration::from_millis(patience)).await;
        let next = talk.say(&engine, "Go on.").await;
        let known = (last.prompt_tokens + last.completion_tokens) as usize + between;
        read_ahead |= next.timings.reused_tokens as usize == known;
        last = next.usage;
    }

    assert!(read_ahead);
}

#[tokio::test]
async fn an_edited_message_keeps_what_comes_before_it() {
    let engine = alone().await;
    let mut talk = Talk::new(UserId::new());
    talk.say(&engine, &long("rivers")).await;
    talk.say(&engine, &long("lakes")).await;
    talk.said.truncate(2);

    let edited = talk.say(&engine, &long("seas")).await;

    let before = engine.model().unwrap().prepare(&talk.said[..2], 16).unwrap().token_count();
    assert!(edited.timings.reused_tokens as usize + 64 >= before, "{edited:?}");
}

#[tokio::test]
async fn more_conversations_than_places_are_all_remembered() {
    let engine =
        start(LlmConfig { n_parallel: 2, kv_tokens: 2048, ..real_config() }, EngineOptions::default()).await;
    let mut talks: Vec<_> = (0..8).map(|_| Talk::new(UserId::new())).collect();
    for (number, talk) in talks.iter_mut().enumerate() {
        talk.say(&engine, &long(&format!("number {number}"))).await;
    }

    for talk in &mut talks {
        let next = talk.say(&engine, "Go on.").await;

        assert!(read_tokens(&next) < 20, "{next:?}");
    }
}

#[tokio::test]
async fn what_came_back_from_the_store_says_what_would_have_been_said() {
    let config = LlmConfig { n_parallel: 1, kv_tokens: 2048, n_ctx: 2048, ..real_config() };
    let stored = start(config.clone(), EngineOptions::default()).await;
    let forgetful = start(LlmConfig { kv_ram_mib: 0, ..config }, EngineOptions::default()).await;
    let mut replies = Vec::new();
    for engine in [&stored, &forgetful] {
        let mut talk = Talk::new(UserId::new());
        talk.said =
            vec![says(Role::User, "What is the capital of France?"), says(Role::Assistant, "It is Paris.")];
        talk.say(engine, &long("its rivers")).await;
        for other in ["bread", "salt", "wine"] {
            Talk::new(UserId::new()).say(engine, &long(other)).await;
        }
        let next = talk.say(engine, "Which capital did I ask about? Answer in one word.").await;
        replies.push((talk.last_reply().to_owned(), next.timings.reused_tokens > 100));
    }

    assert_eq!(replies[0].0, replies[1].0);
    assert!(replies[0].1, "the store brought it back");
}

#[tokio::test]
async fn s25_what_one_person_said_is_never_used_for_another() {
    let engine = alone().await;
    let shared = engine.model().unwrap().shared.len();
    let mut of_ada = Talk::new(UserId::new());
    of_ada.say(&engine, &long("secrets")).await;
    let mut of_ben = Talk::new(UserId::new());

    let copied = of_ben.say(&engine, &long("secrets")).await;

    assert_eq!(copied.timings.reused_tokens as usize, shared);
}

#[tokio::test]
async fn another_conversation_of_the_same_person_shares_its_beginning_and_disturbs_nothing() {
    let engine = alone().await;
    let user = UserId::new();
    let (mut first, mut second) = (Talk::new(user), Talk::new(user));
    first.say(&engine, &long("rivers")).await;
    first.say(&engine, &long("lakes")).await;
    second.said = first.said[..2].to_vec();

    let begins = second.say(&engine, &long("bread")).await;
    let goes_on = first.say(&engine, "Go on.").await;

    assert!(begins.timings.reused_tokens > 100, "{begins:?}");
    assert!(read_tokens(&goes_on) < 20, "{goes_on:?}");
}

#[tokio::test]
async fn the_operators_system_prompt_is_read_once_for_everybody() {
    let system_prompt = "You are a pirate and speak of the sea, of ships and of rum. ".repeat(12);
    let options = EngineOptions { system_prompt: system_prompt.clone(), ..EngineOptions::default() };
    let engine = start(real_config(), options).await;
    let ask = |question| {
        let mut talk = Talk::new(UserId::new());
        talk.said.push(says(Role::System, system_prompt.trim()));
        let engine = &engine;
        async move { talk.say(engine, question).await }
    };

    let (first, second) = tokio::join!(ask("Who are you?"), ask("What do you drink?"));
    let third = ask("Where do you live?").await;

    let mut read = [read_tokens(&first), read_tokens(&second), read_tokens(&third)];
    read.sort_unstable();
    assert!(read[1] < 30 && read[2] > 150, "{read:?}");
}

#[tokio::test]
async fn after_a_restart_the_operators_system_prompt_comes_from_whoever_has_it_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let system_prompt = "You are a pirate and speak of the sea, of ships and of rum. ".repeat(12);
    let options =
        || EngineOptions { system_prompt: system_prompt.clone(), kv_dir: Some(dir.path().join("kv")) };
    let (ada, ben) = (UserId::new(), UserId::new());
    let ask = async |engine: &Engine, user, question| {
        let mut talk = Talk::new(user);
        talk.said.push(says(Role::System, system_prompt.trim()));
        read_tokens(&talk.say(engine, question).await)
    };
    let engine = start(real_config(), options()).await;
    let cold = ask(&engine, ada, "Who are you?").await;
    engine.shutdown();
    assert!(engine.stopped(Duration::from_secs(30)).await);

    let engine = start(real_config(), options()).await;
    let hers = ask(&engine, ada, "What do you drink?").await;
    let his = ask(&engine, ben, "Where do you live?").await;

    assert!(cold > 150 && hers < 30 && his < 30, "{cold}, {hers}, {his}");
}

#[tokio::test]
async fn the_first_turn_after_a_restart_is_warm_and_a_deleted_conversation_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = || EngineOptions { kv_dir: Some(dir.path().join("kv")), ..EngineOptions::default() };
    let files = || -> usize {
        let folders = std::fs::read_dir(dir.path().join("kv")).unwrap();
        folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    };
    let (mut kept, mut deleted) = (Talk::new(UserId::new()), Talk::new(UserId::new()));
    let engine = start(real_config(), options()).await;
    kept.say(&engine, &long("rivers")).await;
    deleted.say(&engine, &long("secrets")).await;
    engine.shutdown();
    assert!(engine.stopped(Duration::from_secs(30)).await);
    assert_eq!(files(), 2);

    let engine = start(real_config(), options()).await;
    engine.forget(deleted.id);
    let warm = kept.say(&engine, "Go on.").await;
    let cold = deleted.say(&engine, "Go on.").await;
    engine.forget(deleted.id);
    engine.shutdown();
    assert!(engine.stopped(Duration::from_secs(30)).await);

    assert!(read_tokens(&warm) < 20, "{warm:?}");
    assert!(read_tokens(&cold) > 100, "{cold:?}");
    assert_eq!(files(), 1);
    forget_user(&dir.path().join("kv"), kept.user).unwrap();
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn a_reply_that_a_plugin_may_still_take_back_stays_nowhere() {
    let engine = alone().await;
    let mut talk = Talk { keep_reply: false, ..Talk::new(UserId::new()) };
    let first = talk.say(&engine, &long("secrets")).await;

    let next = talk.say(&engine, "Go on.").await;

    assert!(next.timings.reused_tokens <= first.usage.prompt_tokens, "{next:?}");
    assert!(read_tokens(&next) >= first.usage.completion_tokens, "{next:?}");
}
