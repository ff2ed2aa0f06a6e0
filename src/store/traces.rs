use sqlx::AnyConnection;

use super::text::{from_json, to_json};
use super::{Store, StoreError};
use crate::domain::{ConversationId, MessageId, Trace, UserId};

impl Store {
    /// How a reply came about; none where nothing is kept about it.
    pub async fn trace(
        &self,
        user: UserId,
        conversation: ConversationId,
        reply: MessageId,
    ) -> Result<Option<Trace>, StoreError> {
        let query = sqlx::query(
            "SELECT t.trace FROM messages m JOIN conversations c ON c.id = m.conversation_id \
             LEFT JOIN reply_traces t ON t.message_id = m.id \
             WHERE m.id = $3 AND c.id = $1 AND c.user_id = $2",
        );
        let row = query.bind(conversation).bind(user).bind(reply).fetch_one(self.of(conversation)).await?;
        Ok(from_json(&row, "trace")?)
    }
}

/// Writes the trace of a reply that ends in this transaction, in the place of the one that it had before it was written on.
pub(super) async fn insert(
    write: &mut AnyConnection,
    reply: MessageId,
    trace: &Trace,
) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO reply_traces (message_id, trace) VALUES ($1, $2) \
         ON CONFLICT (message_id) DO UPDATE SET trace = EXCLUDED.trace",
    );
    query.bind(reply).bind(to_json(trace)?).execute(&mut *write).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PartOrigin, PromptPart};
    use crate::store::Outcome;
    use crate::store::testing::{complete, store, turn, user};

    fn about(model: &str) -> Trace {
        let (number, plugins, text) = (Some(1), vec!["clock".into()], Some("Odd: 'x'; -- \u{202e}".into()));
        let part = PromptPart { origin: PartOrigin::System, number, plugins, chars: 14, text };
        Trace { model: model.into(), prompt: vec![part], ..Trace::default() }
    }

    async fn traces(store: &Store) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM reply_traces").fetch_one(&store.pool).await.unwrap()
    }

    #[tokio::test]
    async fn a_trace_comes_with_the_first_end_of_a_reply_and_goes_with_its_conversation() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let id = store.create_conversation(ada).await.unwrap().id;
        let reply = store.begin_turn(ada, id, turn("Hi")).await.unwrap().reply.id;
        let ended = |model: &str| Outcome { trace: Some(Box::new(about(model))), ..complete("Yes.") };
        assert_eq!(store.trace(ada, id, reply).await.unwrap(), None);

        assert!(store.finish(reply, &ended("first")).await.unwrap());
        assert!(!store.finish(reply, &ended("second")).await.unwrap());

        assert_eq!(store.trace(ada, id, reply).await.unwrap(), Some(about("first")));
        let answered =
            store.begin_answered_turn(ada, id, turn("Hi"), "Yes.".into(), &about("")).await.unwrap();
        assert_eq!(store.trace(ada, id, answered.reply.id).await.unwrap(), Some(about("")));
        assert_eq!(traces(&store).await, 2);
        store.delete_conversation(ada, id).await.unwrap();
        store.erase().await.unwrap();
        assert_eq!(traces(&store).await, 0);
    }
}
