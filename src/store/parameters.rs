//! What people set for their replies: for all conversations, for one, and under names.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row};

use super::text::{from_json, to_json};
use super::{Store, StoreError, found};
use crate::domain::{ConversationId, ParameterLevels, Parameters, Preset, PresetId, PresetName, UserId};

impl FromRow<'_, AnyRow> for Preset {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let parameters = from_json(row, "parameters")?.unwrap_or_default();
        Ok(Self { id: row.try_get("id")?, name: row.try_get("name")?, parameters })
    }
}

impl Store {
    /// What a person set, with what they set for one of their conversations. Someone else's conversation adds nothing.
    pub async fn parameters(
        &self,
        user: UserId,
        conversation: Option<ConversationId>,
    ) -> Result<ParameterLevels, StoreError> {
        let query = sqlx::query("SELECT parameters FROM user_parameters WHERE user_id = $1");
        let person = query.bind(user).fetch_optional(&self.pool).await?;
        let id = conversation.unwrap_or(ConversationId::UNKNOWN);
        let query = sqlx::query(
            "SELECT p.parameters FROM conversation_parameters p JOIN conversations c ON c.id = p.conversation_id \
             WHERE c.id = $1 AND c.user_id = $2",
        );
        let conversation = query.bind(id).bind(user).fetch_optional(self.of(id)).await?;
        let set = |row: Option<AnyRow>| -> Result<Parameters, sqlx::Error> {
            Ok(row.map(|row| from_json(&row, "parameters")).transpose()?.flatten().unwrap_or_default())
        };
        Ok(ParameterLevels { person: set(person)?, conversation: set(conversation)? })
    }

    /// Replaces what a person set for all their conversations.
    pub async fn set_person_parameters(
        &self,
        user: UserId,
        parameters: &Parameters,
    ) -> Result<(), StoreError> {
        let insert = sqlx::query(
            "INSERT INTO user_parameters (user_id, parameters) VALUES ($1, $2) \
             ON CONFLICT (user_id) DO UPDATE SET parameters = excluded.parameters",
        );
        self.execute(insert.bind(user).bind(to_json(parameters)?)).await?;
        Ok(())
    }

    /// Replaces what a person set for one of their conversations.
    pub async fn set_conversation_parameters(
        &self,
        user: UserId,
        conversation: ConversationId,
        parameters: &Parameters,
    ) -> Result<(), StoreError> {
        let insert = sqlx::query(
            "INSERT INTO conversation_parameters (conversation_id, parameters) \
             SELECT id, $3 FROM conversations WHERE id = $1 AND user_id = $2 \
             ON CONFLICT (conversation_id) DO UPDATE SET parameters = excluded.parameters",
        );
        let insert = insert.bind(conversation).bind(user).bind(to_json(parameters)?);
        found(self.execute_in(conversation.is_temporary(), insert).await?)
    }

    /// A person's presets by name.
    pub async fn presets(&self, user: UserId) -> Result<Vec<Preset>, StoreError> {
        let query = sqlx::query_as("SELECT * FROM parameter_presets WHERE user_id = $1 ORDER BY name");
        Ok(query.bind(user).fetch_all(&self.pool).await?)
    }

    /// Keeps a preset. `false`: there are [`Preset::MOST`] already, and nothing was kept.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when another preset of the person's has this name.
    pub async fn create_preset(&self, user: UserId, preset: &Preset) -> Result<bool, StoreError> {
        let insert = sqlx::query(
            "INSERT INTO parameter_presets (id, user_id, name, parameters) SELECT $1, $2, $3, $4 \
             WHERE (SELECT COUNT(*) FROM parameter_presets WHERE user_id = $2) < $5",
        );
        let insert = insert.bind(preset.id).bind(user).bind(&preset.name).bind(to_json(&preset.parameters)?);
        let kept = self.execute(insert.bind(i64::from(Preset::MOST))).await;
        Ok(kept.map_err(name_taken)?.rows_affected() == 1)
    }

    /// Gives a preset another name.
    ///
    /// # Errors
    /// As [`Store::create_preset`].
    pub async fn rename_preset(
        &self,
        user: UserId,
        preset: PresetId,
        name: &PresetName,
    ) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE parameter_presets SET name = $3 WHERE id = $1 AND user_id = $2");
        found(self.execute(update.bind(preset).bind(user).bind(name)).await.map_err(name_taken)?)
    }

    /// Deletes a preset. Where it was applied its values stay.
    pub async fn delete_preset(&self, user: UserId, preset: PresetId) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM parameter_presets WHERE id = $1 AND user_id = $2");
        found(self.execute(delete.bind(preset).bind(user)).await?)
    }

    /// Replaces what is set for a conversation with a preset.
    pub async fn apply_preset(
        &self,
        user: UserId,
        conversation: ConversationId,
        preset: PresetId,
    ) -> Result<(), StoreError> {
        let query = sqlx::query_as("SELECT * FROM parameter_presets WHERE id = $1 AND user_id = $2");
        let preset: Preset = query.bind(preset).bind(user).fetch_one(&self.pool).await?;
        self.set_conversation_parameters(user, conversation, &preset.parameters).await
    }
}

fn name_taken(error: sqlx::Error) -> StoreError {
    StoreError::on_conflict(error, StoreError::NameTaken)
}

/// What is set for a conversation that has just been written.
pub(super) async fn insert(
    write: &mut AnyConnection,
    conversation: ConversationId,
    parameters: &Parameters,
) -> Result<(), StoreError> {
    if !parameters.is_empty() {
        let insert =
            sqlx::query("INSERT INTO conversation_parameters (conversation_id, parameters) VALUES ($1, $2)");
        insert.bind(conversation).bind(to_json(parameters)?).execute(&mut *write).await?;
    }
    Ok(())
}

/// A fork has what is set for its origin.
pub(super) async fn copy(
    write: &mut AnyConnection,
    from: ConversationId,
    to: ConversationId,
) -> Result<(), StoreError> {
    let copy = sqlx::query(
        "INSERT INTO conversation_parameters (conversation_id, parameters) \
         SELECT $2, parameters FROM conversation_parameters WHERE conversation_id = $1",
    );
    copy.bind(from).bind(to).execute(&mut *write).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::testing::{store, user};

    fn parameters(json: serde_json::Value) -> Parameters {
        serde_json::from_value(json).unwrap()
    }

    fn preset(name: &str, temperature: f64) -> Preset {
        let parameters = parameters(json!({ "temperature": temperature }));
        Preset { id: PresetId::new(), name: PresetName::parse(name).unwrap(), parameters }
    }

    #[tokio::test]
    async fn parameters_are_their_persons_alone_and_go_with_them_and_their_conversation() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let mine = store.create_conversation(ada).await.unwrap().id;
        let (all, here) = (parameters(json!({ "top_k": 3 })), parameters(json!({ "prefill": "So," })));
        store.set_person_parameters(ada, &parameters(json!({ "top_k": 2 }))).await.unwrap();
        store.set_person_parameters(ada, &all).await.unwrap();
        store.set_conversation_parameters(ada, mine, &here).await.unwrap();

        let stolen = store.set_conversation_parameters(eve, mine, &all).await;
        let levels = store.parameters(ada, Some(mine)).await.unwrap();

        assert!(matches!(stolen, Err(StoreError::NotFound)), "{stolen:?}");
        assert_eq!(levels, ParameterLevels { person: all, conversation: here });
        assert_eq!(store.parameters(eve, Some(mine)).await.unwrap(), ParameterLevels::default());
        assert!(store.parameters(ada, None).await.unwrap().conversation.is_empty());
        store.delete_conversation(ada, mine).await.unwrap();
        store.delete_user(ada).await.unwrap();
        assert_eq!(store.parameters(ada, Some(mine)).await.unwrap(), ParameterLevels::default());
    }

    #[tokio::test]
    async fn presets_are_bounded_have_names_of_their_own_and_belong_to_one_person() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let (mine, hers) = (
            store.create_conversation(ada).await.unwrap().id,
            store.create_conversation(eve).await.unwrap().id,
        );
        let cold = preset("cold", 0.0);
        assert!(store.create_preset(ada, &cold).await.unwrap());
        assert!(store.create_preset(eve, &preset("cold", 1.0)).await.unwrap());

        let taken = store.create_preset(ada, &preset("cold", 1.0)).await;
        let stolen = [
            store.apply_preset(eve, hers, cold.id).await,
            store.apply_preset(eve, mine, cold.id).await,
            store.rename_preset(eve, cold.id, &cold.name).await,
            store.delete_preset(eve, cold.id).await,
        ];
        store.apply_preset(ada, mine, cold.id).await.unwrap();
        for number in 1..Preset::MOST {
            assert!(store.create_preset(ada, &preset(&number.to_string(), 0.5)).await.unwrap());
        }

        assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
        assert!(stolen.iter().all(|answer| matches!(answer, Err(StoreError::NotFound))), "{stolen:?}");
        assert_eq!(store.parameters(ada, Some(mine)).await.unwrap().conversation, cold.parameters);
        assert!(!store.create_preset(ada, &preset("one more", 0.5)).await.unwrap());
        store.delete_preset(ada, cold.id).await.unwrap();
        assert_eq!(store.presets(ada).await.unwrap().len(), Preset::MOST as usize - 1);
        assert_eq!(store.parameters(ada, Some(mine)).await.unwrap().conversation, cold.parameters);
    }
}
