use rocket::serde::json::Json;
use rocket::{State, get, routes};
use serde::Serialize;

use super::error::ApiError;
use super::key::ApiUser;
use crate::chat::Chat;
use crate::domain::now;
use crate::engine::Model;

pub(super) fn routes() -> Vec<rocket::Route> {
    routes![list, one]
}

/// Fails unless a request names the model that runs, or none.
pub(super) fn check_name(model: &Model, asked: Option<&str>) -> Result<(), ApiError> {
    let is_ours = |asked: &str| asked.strip_suffix(".gguf").unwrap_or(asked) == model.name;
    match asked.filter(|asked| !asked.is_empty()) {
        Some(asked) if !is_ours(asked) => Err(ApiError::no_such_model(asked, &model.name)),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
struct ModelList {
    object: &'static str,
    data: [ModelView; 1],
}

#[derive(Serialize)]
struct ModelView {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
    meta: Meta,
}

/// As llama-server tells it.
#[derive(Serialize)]
struct Meta {
    architecture: String,
    n_ctx: u32,
    n_ctx_train: u32,
    n_vocab: u32,
    size: u64,
}

impl From<&Model> for ModelView {
    fn from(model: &Model) -> Self {
        Self {
            id: model.name.clone(),
            object: "model",
            // A file does not say when its model was made.
            created: now() / 1000,
            owned_by: "fireside",
            meta: Meta {
                architecture: model.architecture.clone(),
                n_ctx: model.n_ctx,
                n_ctx_train: model.n_ctx_train,
                n_vocab: model.n_vocab,
                size: model.size,
            },
        }
    }
}

#[get("/models")]
fn list(_user: ApiUser, chat: &State<Chat>) -> Result<Json<ModelList>, ApiError> {
    let model = chat.model()?;
    Ok(Json(ModelList { object: "list", data: [ModelView::from(&*model)] }))
}

#[get("/models/<id>")]
fn one(_user: ApiUser, id: &str, chat: &State<Chat>) -> Result<Json<ModelView>, ApiError> {
    let model = chat.model()?;
    check_name(&model, Some(id))?;
    Ok(Json(ModelView::from(&*model)))
}
