-- Full-text search, SQLite's way. Triggers keep it up to date: whoever writes a message or a title needs not know of it.

-- What can be found: messages that are over, and titles (no message_id). Ids grow: what came later has a larger one.
CREATE TABLE searchable (
    id              INTEGER PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    message_id      TEXT UNIQUE
);
CREATE UNIQUE INDEX searchable_titles ON searchable (conversation_id) WHERE message_id IS NULL;

-- Their words, without the text. `owner` is the person's id as one word: a search passes over everybody else's by itself.
CREATE VIRTUAL TABLE words USING fts5 (
    owner, text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3'
);

CREATE TRIGGER searchable_from_now AFTER INSERT ON searchable BEGIN
    INSERT INTO words (rowid, owner, text)
        SELECT new.id, c.user_id, COALESCE(m.content, c.title)
        FROM conversations c LEFT JOIN messages m ON m.id = new.message_id WHERE c.id = new.conversation_id;
END;
CREATE TRIGGER searchable_no_more AFTER DELETE ON searchable BEGIN
    DELETE FROM words WHERE rowid = old.id;
END;

CREATE TRIGGER message_written AFTER INSERT ON messages WHEN new.status <> 'generating' BEGIN
    INSERT INTO searchable (conversation_id, message_id) VALUES (new.conversation_id, new.id);
END;
CREATE TRIGGER message_over AFTER UPDATE OF status ON messages
WHEN old.status = 'generating' AND new.status <> 'generating' BEGIN
    INSERT INTO searchable (conversation_id, message_id) VALUES (new.conversation_id, new.id);
END;
CREATE TRIGGER message_goes_on AFTER UPDATE OF status ON messages
WHEN old.status <> 'generating' AND new.status = 'generating' BEGIN
    DELETE FROM searchable WHERE message_id = new.id;
END;
CREATE TRIGGER message_gone AFTER DELETE ON messages BEGIN
    DELETE FROM searchable WHERE message_id = old.id;
END;

CREATE TRIGGER conversation_titled AFTER INSERT ON conversations BEGIN
    INSERT INTO searchable (conversation_id) VALUES (new.id);
END;
CREATE TRIGGER conversation_retitled AFTER UPDATE OF title ON conversations WHEN old.title <> new.title BEGIN
    DELETE FROM searchable WHERE conversation_id = new.id AND message_id IS NULL;
    INSERT INTO searchable (conversation_id) VALUES (new.id);
END;

-- What was there before.
INSERT INTO searchable (conversation_id, message_id)
    SELECT conversation_id, message_id FROM (
        SELECT id AS conversation_id, NULL AS message_id, created_at FROM conversations
        UNION ALL
        SELECT conversation_id, id, created_at FROM messages WHERE status <> 'generating'
    ) ORDER BY created_at;
