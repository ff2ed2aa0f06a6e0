use std::collections::{BTreeMap, BTreeSet};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::text::{from_json, to_json};
use super::{Store, StoreError};
use crate::domain::{ConversationId, OperatorChoices, PersonChoices, SettingChanges, UserId};

impl Store {
    /// What the operator chose on the forms of all plugins.
    pub async fn operator_choices(&self) -> Result<BTreeMap<String, OperatorChoices>, StoreError> {
        let query = sqlx::query(
            "SELECT plugin, name, value FROM plugin_settings \
             UNION ALL SELECT plugin, NULL AS name, NULL AS value FROM optional_plugins",
        );
        let mut choices: BTreeMap<String, OperatorChoices> = BTreeMap::new();
        for row in query.fetch_all(&self.pool).await? {
            let (plugin, setting) = setting(&row)?;
            let of_plugin = choices.entry(plugin).or_default();
            match setting {
                Some((name, value)) => drop(of_plugin.settings.insert(name, value)),
                None => of_plugin.optional = true,
            }
        }
        Ok(choices)
    }

    /// Keeps what the operator chose for a plugin; what is not named stays.
    pub async fn choose_as_operator(
        &self,
        plugin: &str,
        changes: &SettingChanges,
        optional: Option<bool>,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for (name, value) in changes {
            let delete = sqlx::query("DELETE FROM plugin_settings WHERE plugin = $1 AND name = $2");
            delete.bind(plugin).bind(name).execute(&mut *write).await?;
            if let Some(value) = value {
                let insert =
                    sqlx::query("INSERT INTO plugin_settings (plugin, name, value) VALUES ($1, $2, $3)");
                insert.bind(plugin).bind(name).bind(to_json(value)?).execute(&mut *write).await?;
            }
        }
        if let Some(optional) = optional {
            let delete = sqlx::query("DELETE FROM optional_plugins WHERE plugin = $1");
            delete.bind(plugin).execute(&mut *write).await?;
            if optional {
                let insert = sqlx::query("INSERT INTO optional_plugins (plugin) VALUES ($1)");
                insert.bind(plugin).execute(&mut *write).await?;
            }
        }
        write.commit().await
    }

    /// What a person chose, with what they chose in one of their conversations. Someone else's conversation adds nothing.
    pub async fn person_choices(
        &self,
        user: UserId,
        conversation: Option<ConversationId>,
    ) -> Result<PersonChoices, StoreError> {
        let query = sqlx::query(
            "SELECT plugin, name, value FROM user_plugin_settings WHERE user_id = $1 \
             UNION ALL SELECT plugin, NULL AS name, NULL AS value FROM user_plugins_off WHERE user_id = $1 \
             UNION ALL SELECT o.plugin, NULL AS name, NULL AS value FROM conversation_plugins_off o \
             JOIN conversations c ON c.id = o.conversation_id WHERE c.id = $2 AND c.user_id = $1",
        );
        let query = query.bind(user).bind(conversation.unwrap_or(ConversationId::UNKNOWN));
        let mut choices = PersonChoices::default();
        if let Some(conversation) = conversation.filter(|id| id.is_temporary()) {
            choices.off = self.off_in_conversation(user, conversation).await?;
        }
        for row in query.fetch_all(&self.pool).await? {
            let (plugin, setting) = setting(&row)?;
            match setting {
                Some((name, value)) => drop(choices.settings.entry(plugin).or_default().insert(name, value)),
                None => drop(choices.off.insert(plugin)),
            }
        }
        Ok(choices)
    }

    /// Keeps what a person chose for a plugin; what is not named stays.
    pub async fn choose_as_person(
        &self,
        user: UserId,
        plugin: &str,
        changes: &SettingChanges,
        off: Option<bool>,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for (name, value) in changes {
            let delete = "DELETE FROM user_plugin_settings WHERE user_id = $1 AND plugin = $2 AND name = $3";
            sqlx::query(delete).bind(user).bind(plugin).bind(name).execute(&mut *write).await?;
            if let Some(value) = value {
                let insert = sqlx::query(
                    "INSERT INTO user_plugin_settings (user_id, plugin, name, value) VALUES ($1, $2, $3, $4)",
                );
                let insert = insert.bind(user).bind(plugin).bind(name).bind(to_json(value)?);
                insert.execute(&mut *write).await?;
            }
        }
        if let Some(off) = off {
            let delete = sqlx::query("DELETE FROM user_plugins_off WHERE user_id = $1 AND plugin = $2");
            delete.bind(user).bind(plugin).execute(&mut *write).await?;
            if off {
                let insert = sqlx::query("INSERT INTO user_plugins_off (user_id, plugin) VALUES ($1, $2)");
                insert.bind(user).bind(plugin).execute(&mut *write).await?;
            }
        }
        write.commit().await
    }

    /// The plugins that are off in one conversation alone.
    pub async fn off_in_conversation(
        &self,
        user: UserId,
        conversation: ConversationId,
    ) -> Result<BTreeSet<String>, StoreError> {
        self.find_conversation(user, conversation).await?;
        let query = sqlx::query_scalar(
            "SELECT o.plugin FROM conversation_plugins_off o JOIN conversations c ON c.id = o.conversation_id \
             WHERE c.id = $1 AND c.user_id = $2",
        );
        let off: Vec<String> = query.bind(conversation).bind(user).fetch_all(self.of(conversation)).await?;
        Ok(off.into_iter().collect())
    }

    /// Turns plugins on (true) and off in one conversation; others stay as they are.
    pub async fn switch_in_conversation(
        &self,
        user: UserId,
        conversation: ConversationId,
        switches: &BTreeMap<String, bool>,
    ) -> Result<(), StoreError> {
        let mut write = self.write_in(conversation).await?;
        check_owner(&mut write, user, conversation).await?;
        for (plugin, on) in switches {
            let delete = "DELETE FROM conversation_plugins_off WHERE conversation_id = $1 AND plugin = $2";
            sqlx::query(delete).bind(conversation).bind(plugin).execute(&mut *write).await?;
            if !on {
                let insert = "INSERT INTO conversation_plugins_off (conversation_id, plugin) VALUES ($1, $2)";
                sqlx::query(insert).bind(conversation).bind(plugin).execute(&mut *write).await?;
            }
        }
        write.commit().await
    }
}

/// A row's plugin, and its setting where it is not the row of a switch.
fn setting(row: &AnyRow) -> Result<(String, Option<(String, serde_json::Value)>), sqlx::Error> {
    let name: Option<String> = row.try_get("name")?;
    Ok((row.try_get("plugin")?, name.zip(from_json(row, "value")?)))
}

async fn check_owner(
    write: &mut AnyConnection,
    user: UserId,
    conversation: ConversationId,
) -> Result<(), StoreError> {
    let query = sqlx::query("SELECT id FROM conversations WHERE id = $1 AND user_id = $2");
    query.bind(conversation).bind(user).fetch_one(&mut *write).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::testing::{store, user};

    fn set(name: &str, value: serde_json::Value) -> SettingChanges {
        [(name.to_owned(), Some(value))].into()
    }

    #[tokio::test]
    async fn the_operators_choices_are_kept_by_plugin_until_they_are_taken_back() {
        let (_folder, store) = store().await;
        assert!(store.operator_choices().await.unwrap().is_empty());

        store.choose_as_operator("a", &set("most", json!(3)), Some(true)).await.unwrap();
        store.choose_as_operator("a", &set("words", json!(["x"])), None).await.unwrap();
        store.choose_as_operator("b", &set("most", json!(null)), Some(false)).await.unwrap();
        let kept = store.operator_choices().await.unwrap();
        store.choose_as_operator("a", &[("most".to_owned(), None)].into(), Some(false)).await.unwrap();
        let left = store.operator_choices().await.unwrap();

        assert!(kept["a"].optional && !kept["b"].optional);
        let settings = [("most".to_owned(), json!(3)), ("words".to_owned(), json!(["x"]))];
        assert_eq!(kept["a"].settings, settings.into());
        assert!(!left["a"].optional && left["a"].settings.len() == 1);
    }

    #[tokio::test]
    async fn a_persons_choices_are_theirs_alone_and_go_with_them_and_their_conversation() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let mine = store.create_conversation(ada).await.unwrap().id;
        store.choose_as_person(ada, "a", &set("tone", json!("dry")), Some(true)).await.unwrap();
        let off = [("b".to_owned(), false), ("c".to_owned(), true)].into();
        store.switch_in_conversation(ada, mine, &off).await.unwrap();

        let here = store.person_choices(ada, Some(mine)).await.unwrap();
        let elsewhere = store.person_choices(ada, None).await.unwrap();
        let stolen = store.switch_in_conversation(eve, mine, &[("a".to_owned(), false)].into()).await;

        assert_eq!(here.off, ["a".to_owned(), "b".to_owned()].into());
        assert_eq!(here.settings["a"]["tone"], json!("dry"));
        assert_eq!((elsewhere.off, &elsewhere.settings), (["a".to_owned()].into(), &here.settings));
        assert!(store.person_choices(eve, Some(mine)).await.unwrap().is_empty());
        assert!(matches!(stolen, Err(StoreError::NotFound)), "{stolen:?}");
        assert!(matches!(store.off_in_conversation(eve, mine).await, Err(StoreError::NotFound)));
        store.delete_conversation(ada, mine).await.unwrap();
        store.delete_user(ada).await.unwrap();
        assert!(store.person_choices(ada, Some(mine)).await.unwrap().is_empty());
        let gone = store.choose_as_person(ada, "a", &SettingChanges::new(), Some(true)).await;
        assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
    }
}
