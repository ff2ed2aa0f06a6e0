//! Models that remember otherwise than the default one: what they say must not depend on what was in memory.

use futures::future::join_all;
use tempfile::TempDir;

use super::memory::{Talk, greedy, long, read_tokens, start};
use super::tiny::Kind;
use super::*;
use crate::config::CacheType;

/// Two ways to share the memory: a part for everyone, and one for all.
const MEMORIES: [u32; 2] = [16 * 1024, 1536];

/// A model of a kind, and an engine in which nothing is ever used again.
struct Bench {
    kind: Kind,
    folder: TempDir,
    file: PathBuf,
    cold: Engine,
}

impl Bench {
    async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = kind.write(folder.path());
        let config = LlmConfig { n_parallel: 1, kv_ram_mib: 0, ..config(&file) };
        // Under this system prompt, which none of the tests uses, not even the beginning is shared.
        let options = EngineOptions { system_prompt: "None.".into(), ..EngineOptions::default() };
        let cold = start(config, options).await;
        Self { kind, folder, file, cold }
    }

    fn kv_dir(&self) -> EngineOptions {
        EngineOptions { kv_dir: Some(self.folder.path().join("kv")), ..EngineOptions::default() }
    }

    /// The last reply of a talk must be what a model says that reads everything anew, as far as it is sure of that.
    async fn check(&self, talk: &Talk, what: &str) {
        let prompt = self.cold.model().unwrap().prepare(&talk.said[..talk.said.len() - 1], 16).unwrap();
        let task = Task { logprobs: Some(2), ..greedy(16).into() };
        let mut generation = self.cold.reserve(UserId::new()).unwrap().submit(prompt, task).unwrap();
        let mut tokens = Vec::new();
        let finished = loop {
            match generation.next().await {
                Event::Text { logprobs, .. } => tokens.extend(logprobs),
                Event::Finished(finished) => break finished,
                Event::Failed(sentence) => panic!("{sentence}"),
                Event::Queued { .. } | Event::Prefill { .. } => {}
            }
        };
        let margin = |token: &TokenLogprob| token.top[0].logprob - token.top[1].logprob;
        let sure: Vec<u8> = tokens
            .iter()
            .take_while(|token| margin(token) > SURE)
            .flat_map(|token| token.token.bytes.clone())
            .collect();
        let sure = String::from_utf8(sure).unwrap();

        assert_eq!(finished.timings.reused_tokens, 0);
        let margins: Vec<_> = tokens.iter().map(margin).collect();
        let (kind, said) = (self.kind, talk.last_reply());
        assert!(
            !sure.is_empty() && said.starts_with(&sure),
            "{kind:?}, {what}: {said:?}, not {sure:?} ({margins:?})"
        );
    }
}

/// How much likelier a token is than the next one, as a logarithm, where no rounding changes the choice: llama.cpp computes
/// several tokens with other kernels than one. Nearly all are.
const SURE: f32 = 0.001;

fn config(file: &Path) -> LlmConfig {
    // Caches of full precision: what is rounded differently must not decide between two words.
    LlmConfig {
        model: file.into(),
        n_ctx: 1024,
        cache_type_k: CacheType::F32,
        cache_type_v: CacheType::F32,
        ..real_config()
    }
}

/// Runs a test for every kind and each way to share the memory.
async fn for_every_kind(parallel: u32, test: impl AsyncFn(&Bench, LlmConfig)) {
    for kind in Kind::ALL {
        let bench = Bench::new(kind).await;
        for kv_tokens in MEMORIES {
            let config = LlmConfig { n_parallel: parallel, kv_tokens, ..config(&bench.file) };
            test(&bench, config).await;
        }
    }
}

#[tokio::test]
async fn the_tiny_models_say_words_that_depend_on_what_was_said_long_before() {
    for kind in Kind::ALL {
        let bench = Bench::new(kind).await;
        let mut replies = Vec::new();
        for topic in ["rivers", "bread", "salt"] {
            let mut talk = Talk::new(UserId::new());
            talk.say(&bench.cold, &long(topic)).await;
            talk.said.truncate(1);
            talk.said.push(says(Role::Assistant, "I see."));
            talk.say(&bench.cold, "What did I ask?").await;
            replies.push(talk.last_reply().to_owned());
        }

        replies.sort();
        replies.dedup();
        assert_eq!(replies.len(), 3, "{kind:?}: {replies:?}");
    }
}

#[tokio::test]
async fn turns_an_edit_and_a_regenerated_reply_are_what_a_model_says_that_reads_all_anew() {
    for_every_kind(8, async |bench, config| {
        // Without the store, which would bring back the state after an earlier turn.
        let engine = start(LlmConfig { kv_ram_mib: 0, ..config }, EngineOptions::default()).await;
        let shared = engine.model().unwrap().shared.len();
        let can_go_back = bench.kind == Kind::SlidingWindow;
        let mut talk = Talk::new(UserId::new());
        talk.say(&engine, &long("rivers")).await;
        bench.check(&talk, "the first turn").await;
        for turn in ["Go on.", &long("lakes"), "And then?"] {
            let next = talk.say(&engine, turn).await;
            bench.check(&talk, turn).await;
            assert!(read_tokens(&next) < 200 && next.timings.reused_tokens > 100, "{next:?}");
        }

        talk.said.truncate(4);
        let edited = talk.say(&engine, "Tell me about the sea.").await;
        bench.check(&talk, "an edited message").await;
        talk.said.truncate(5);
        let question = talk.said.pop().unwrap();
        let again = talk.say(&engine, &question.content).await;
        bench.check(&talk, "the same question again").await;

        for finished in [edited, again] {
            let reused = finished.timings.reused_tokens as usize;
            assert_eq!(reused > shared, can_go_back, "{:?}: {finished:?}", bench.kind);
        }
    })
    .await;
}

#[tokio::test]
async fn eight_at_once_say_what_each_says_alone_in_every_kind_of_model() {
    for_every_kind(8, async |bench, config| {
        let engine = start(config, EngineOptions::default()).await;
        let mut talks: Vec<_> = (0..8).map(|_| Talk::new(UserId::new())).collect();

        for turn in ["Tell me about number", "Go on, number"] {
            let questions = (0..8).map(|number| format!("{turn} {number}. ").repeat(number + 1));
            let engine = &engine;
            let asked = talks
                .iter_mut()
                .zip(questions)
                .map(|(talk, question)| async move { talk.say(engine, &question).await });
            join_all(asked).await;

            for talk in &talks {
                bench.check(talk, turn).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_conversation_that_came_back_from_ram_and_from_disk_goes_on_in_every_kind_of_model() {
    for_every_kind(2, async |bench, config| {
        let engine = start(config.clone(), bench.kv_dir()).await;
        let mut talks: Vec<_> = (0..6).map(|_| Talk::new(UserId::new())).collect();
        for (number, talk) in talks.iter_mut().enumerate() {
            talk.say(&engine, &long(&format!("number {number}"))).await;
        }
        for talk in &mut talks {
            let next = talk.say(&engine, "Go on.").await;
            assert!(read_tokens(&next) < 20, "{:?}, from RAM: {next:?}", bench.kind);
            bench.check(talk, "from RAM").await;
        }
        engine.shutdown();
        assert!(engine.stopped(Duration::from_secs(30)).await);

        let engine = start(config, bench.kv_dir()).await;
        for talk in &mut talks {
            let next = talk.say(&engine, "And now?").await;
            assert!(read_tokens(&next) < 20, "{:?}, from disk: {next:?}", bench.kind);
            bench.check(talk, "from disk").await;
        }
        engine.shutdown();
        assert!(engine.stopped(Duration::from_secs(30)).await);
    })
    .await;
}
