//! `llm_generate`: a script lets the model write something for itself.

use rhai::{Dynamic, EvalAltResult, Map, NativeCallContext};

use super::fault::host_error;
use super::services::LlmOrder;
use super::{caller, draft, json};
use crate::domain::{PromptMessage, Role};

type Fallible<T> = Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut rhai::Engine) {
    engine
        .register_fn("llm_generate", |ctx: NativeCallContext, prompt: Dynamic| {
            generate(&ctx, &prompt, &Map::new())
        })
        .register_fn("llm_generate", |ctx: NativeCallContext, prompt: Dynamic, options: Map| {
            generate(&ctx, &prompt, &options)
        });
}

/// The text that the model writes, or with a schema the value.
fn generate(ctx: &NativeCallContext, prompt: &Dynamic, options: &Map) -> Fallible<Dynamic> {
    caller::with(|caller| {
        let (llm, mut order) = caller.llm()?;
        fill(&mut order, prompt, options).map_err(|why| {
            // Shared with `on_prompt`, where a script returns what it gives here.
            host_error(format!("llm_generate: {}", why.trim_start_matches("returned ")))
        })?;
        let typed = order.json_schema.is_some();
        caller.generate(llm, order, |text| match typed {
            false => Ok(text.as_str().into()),
            true => json::parse(text, ctx.engine())
                .map_err(|_| host_error("llm_generate: max_tokens ended the JSON before it was whole")),
        })
    })
}

fn fill(order: &mut LlmOrder, prompt: &Dynamic, options: &Map) -> Result<(), String> {
    order.messages = match prompt.is_array() {
        true => draft::messages(prompt, &[])?,
        false => vec![PromptMessage {
            role: Role::User,
            content: draft::text(prompt).map_err(|why| format!("the prompt {why}"))?,
            token_ids: None,
        }],
    };
    if let Some(schema) = options.get("json_schema") {
        order.json_schema = draft::schema(schema, None)?;
    }
    let params = options.iter().filter(|(key, _)| *key != "json_schema");
    draft::set(&mut order.params, params.map(|(key, value)| (key.as_str(), value)))?;
    order.params.check().map_err(|wrong| wrong.to_string())
}
