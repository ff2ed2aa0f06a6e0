use std::collections::BTreeMap;

use super::{Store, StoreError};

impl Store {
    /// Which plugins an administrator turned on (true) or off, by id.
    pub async fn plugin_states(&self) -> Result<BTreeMap<String, bool>, StoreError> {
        let query = sqlx::query_as::<_, (String, i64)>("SELECT plugin, enabled FROM plugin_states");
        let rows = query.fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(plugin, enabled)| (plugin, enabled != 0)).collect())
    }

    /// Keeps that an administrator turned a plugin on or off.
    pub async fn set_plugin_state(&self, plugin: &str, enabled: bool) -> Result<(), StoreError> {
        let write = sqlx::query(
            "INSERT INTO plugin_states (plugin, enabled) VALUES ($1, $2) \
             ON CONFLICT (plugin) DO UPDATE SET enabled = excluded.enabled",
        );
        self.execute(write.bind(plugin).bind(i64::from(enabled))).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::store::testing::store;

    #[tokio::test]
    async fn the_last_state_of_each_plugin_is_kept() {
        let (_folder, store) = store().await;

        for (plugin, enabled) in [("a", false), ("b", false), ("a", true)] {
            store.set_plugin_state(plugin, enabled).await.unwrap();
        }

        let states: Vec<_> = store.plugin_states().await.unwrap().into_iter().collect();
        assert_eq!(states, [("a".to_owned(), true), ("b".to_owned(), false)]);
    }
}
