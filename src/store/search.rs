//! Full-text search over titles and messages. The statement is SQLite's (FTS5, see `migrations/sqlite`); another database
//! answers the same question its own way.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::{Store, StoreError};
use crate::domain::{
    ConversationId, MessageId, Role, Search, Shelf, Title, UnixMillis, UserId, is_spaceless,
};

/// A message, or a title, in which everything is that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies among all that is searched: larger the later it came.
    pub position: i64,
    /// The conversation.
    pub conversation: ConversationId,
    /// Its title.
    pub title: Title,
    /// Where it stands.
    pub shelf: Shelf,
    /// The message; none where the title was found.
    pub message: Option<FoundMessage>,
}

/// A message in which everything is that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMessage {
    /// Which one.
    pub id: MessageId,
    /// Who wrote it.
    pub role: Role,
    /// What it says, up to 100,000 characters.
    pub content: String,
    /// When it was written.
    pub created_at: UnixMillis,
}

impl FromRow<'_, AnyRow> for Found {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let message = match row.try_get("message_id")? {
            None => None,
            Some(id) => Some(FoundMessage {
                id,
                role: row.try_get("role")?,
                content: row.try_get("content")?,
                created_at: row.try_get("created_at")?,
            }),
        };
        Ok(Self {
            position: row.try_get("position")?,
            conversation: row.try_get("conversation_id")?,
            title: row.try_get("title")?,
            shelf: row.try_get("shelf")?,
            message,
        })
    }
}

/// What is told of a place.
macro_rules! columns {
    () => {
        "SELECT s.id AS position, c.id AS conversation_id, c.title, c.shelf, m.id AS message_id, m.role, \
             substr(m.content, 1, 100000) AS content, m.created_at "
    };
}

impl Store {
    /// What a person finds in their conversations, archived ones too, before a position; the last that came first.
    pub async fn search(
        &self,
        user: UserId,
        search: &Search,
        before: i64,
        at_most: u32,
    ) -> Result<Vec<Found>, StoreError> {
        // CROSS JOIN: the words are looked up first, from the last to the first, and no further than needed.
        let query = sqlx::query_as(concat!(
            columns!(),
            "FROM words CROSS JOIN searchable s ON s.id = words.rowid \
             CROSS JOIN conversations c ON c.id = s.conversation_id \
             LEFT JOIN messages m ON m.id = s.message_id \
             WHERE words MATCH $2 AND words.rowid < $3 AND c.user_id = $1 ORDER BY words.rowid DESC LIMIT $4"
        ));
        let query = query.bind(user).bind(expression(user, search)).bind(before).bind(i64::from(at_most));
        Ok(query.fetch_all(&self.pool).await?)
    }
}

/// The search as FTS5 writes it. What stands between quotation marks is cut into words as the texts were.
fn expression(user: UserId, search: &Search) -> String {
    let mut expression = format!("owner : \"{user}\"");
    for term in search.terms() {
        let open = if term.open || term.text.ends_with(is_spaceless) { "*" } else { "" };
        expression += &format!(" AND text : \"{}\"{open}", in_pairs(&term.text));
    }
    expression
}

/// As the view `indexed` has it: where words are not set apart, each letter with the one behind it.
fn in_pairs(text: &str) -> String {
    let mut pairs = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match is_spaceless(letter) {
            true => pairs.extend([' ', letter].into_iter().chain(letters.peek().copied()).chain([' '])),
            false => pairs.push(letter),
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{complete, store, turn, user};

    async fn find(store: &Store, user: UserId, typed: &str) -> Vec<String> {
        let search = Search::parse(typed).unwrap();
        let found = store.search(user, &search, i64::MAX, 100).await.unwrap();
        let told = |found: Found| found.message.map_or(found.title.to_string(), |message| message.content);
        found.into_iter().map(told).collect()
    }

    #[tokio::test]
    async fn messages_and_titles_are_found_as_soon_as_they_stand_and_no_longer() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let id = store.create_conversation(ada).await.unwrap().id;
        let begun = store.begin_turn(ada, id, turn("Where do swallows go?")).await.unwrap();
        store.checkpoint(begun.reply.id, "Swallows fly to").await.unwrap();
        // A reply is found when it is over.
        assert_eq!(find(&store, ada, "swallow").await, ["Where do swallows go?", "Where do swallows go?"]);
        store.finish(begun.reply.id, &complete("Swallows fly to Zaïre.")).await.unwrap();

        assert_eq!(find(&store, ada, "zaire swallows").await, ["Swallows fly to Zaïre."]);
        assert_eq!(find(&store, ada, "\"swallows fly\"").await, ["Swallows fly to Zaïre."]);
        assert_eq!(find(&store, ada, "\"swallow\"").await, [""; 0]);
        assert_eq!(find(&store, eve, "swallows").await, [""; 0]);
        // Neither column names nor operators are anything but words.
        for typed in
            ["owner:swallows", "swallows OR zaire", "NEAR(swallows)", "text : zaire", "zaire*", "'zaire"]
        {
            find(&store, ada, typed).await;
        }

        store.rename_conversation(ada, id, &Title::stored("Migration".into())).await.unwrap();
        assert_eq!(find(&store, ada, "migr").await, ["Migration"]);
        store.begin_continuation(ada, id, begun.reply.id).await.unwrap();
        assert_eq!(find(&store, ada, "zaire").await, [""; 0]);
        store.finish(begun.reply.id, &complete("Swallows fly to Zaïre, and back.")).await.unwrap();
        assert_eq!(find(&store, ada, "zaire back").await, ["Swallows fly to Zaïre, and back."]);

        store.delete_message(ada, id, begun.reply.id).await.unwrap();
        assert_eq!(find(&store, ada, "zaire").await, [""; 0]);
        store.restore(ada, id, begun.reply.id).await.unwrap();
        assert_eq!(find(&store, ada, "zaire").await.len(), 1);
        store.delete_conversation(ada, id).await.unwrap();
        store.erase().await.unwrap();
        let left: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM searchable").fetch_one(&store.pool).await.unwrap();
        let words = sqlx::query("SELECT rowid FROM words WHERE words MATCH 'swallows'");
        assert_eq!((left, words.fetch_all(&store.pool).await.unwrap().len()), (0, 0));
    }

    #[tokio::test]
    async fn where_words_are_not_set_apart_any_place_will_do() {
        let (_folder, store) = store().await;
        let (ada, eve) = (user(&store, "ada").await.id, user(&store, "eve").await.id);
        let id = store.create_conversation(ada).await.unwrap().id;
        store.rename_conversation(ada, id, &Title::stored("旅行".into())).await.unwrap();
        let begun = store.begin_turn(ada, id, turn("昨日はToKyo、東京へ行った")).await.unwrap();
        store.finish(begun.reply.id, &complete("京都は")).await.unwrap();

        assert_eq!(find(&store, ada, "京").await, ["京都は", "昨日はToKyo、東京へ行った"]);
        assert_eq!(find(&store, ada, "tokyo 東京").await, ["昨日はToKyo、東京へ行った"]);
        assert_eq!(find(&store, ada, "東京へ行 \"た\"").await, ["昨日はToKyo、東京へ行った"]);
        assert_eq!(find(&store, ada, "東行").await, [""; 0]);
        assert_eq!(find(&store, ada, "旅").await, ["旅行"]);
        assert_eq!(find(&store, eve, "京").await, [""; 0]);
        // Vowels are marks in many scripts, and a text is cut up on its way into the index.
        let long = "京都へ行く".repeat(200) + "กินข้าว हिन्दी";
        store.rename_conversation(ada, id, &Title::stored(long.clone())).await.unwrap();
        for typed in ["ิน", "นข้า", "हिन्", &"へ行く京都".repeat(150)] {
            assert_eq!(find(&store, ada, typed).await, [long.as_str()], "{typed}");
        }
        for typed in ["กัน", "हन", &"へ行く京都".repeat(200)] {
            assert_eq!(find(&store, ada, typed).await, [""; 0], "{typed}");
        }
    }

    #[tokio::test]
    async fn the_index_and_a_search_mean_the_same_letters() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let id = store.create_conversation(ada).await.unwrap().id;
        let indexed = "SELECT text FROM indexed WHERE text GLOB 'a*z'";
        // Where is_spaceless changes, and at either side.
        let edges = ('\u{1}'..char::MAX).filter(|&c| {
            let before = char::from_u32(c as u32 - 1).is_some_and(is_spaceless);
            before != is_spaceless(c)
        });
        let around = edges.flat_map(|edge| [char::from_u32(edge as u32 - 1), Some(edge)]).flatten();

        for letter in around {
            let text = format!("a{letter}z");
            store.rename_conversation(ada, id, &Title::stored(text.clone())).await.unwrap();
            let kept: String = sqlx::query_scalar(indexed).fetch_one(&store.pool).await.unwrap();
            assert_eq!(kept, in_pairs(&text), "{:x}", letter as u32);
        }
    }

    #[tokio::test]
    async fn what_was_found_is_read_page_by_page_from_the_last_that_came() {
        let (_folder, store) = store().await;
        let ada = user(&store, "ada").await.id;
        let id = store.create_conversation(ada).await.unwrap().id;
        for number in 0..5 {
            let begun = store.begin_turn(ada, id, turn(&format!("bird {number}"))).await.unwrap();
            store.finish(begun.reply.id, &complete("Yes.")).await.unwrap();
        }
        let search = Search::parse("bird").unwrap();

        let first = store.search(ada, &search, i64::MAX, 2).await.unwrap();
        let rest = store.search(ada, &search, first[1].position, 100).await.unwrap();

        let told = |found: &Found| found.message.as_ref().map(|message| message.content.clone());
        let all: Vec<_> = first.iter().chain(&rest).map(told).collect();
        let bird = |number| Some(format!("bird {number}"));
        // The title, named after the first message, came after it.
        assert_eq!(all, [bird(4), bird(3), bird(2), bird(1), None, bird(0)]);
    }
}
