-- Messages that a person deleted, for as long as that can be undone. Nothing but the undoing reads them.

CREATE TABLE deleted_messages (
    id                TEXT   NOT NULL PRIMARY KEY,
    conversation_id   TEXT   NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    deletion          TEXT   NOT NULL, -- the message that was deleted, with all that followed it
    deleted_at        BIGINT NOT NULL,
    was_head          BIGINT NOT NULL, -- 0 or 1
    parent_id         TEXT,
    role              TEXT   NOT NULL,
    content           TEXT   NOT NULL,
    status            TEXT   NOT NULL,
    finish_reason     TEXT,
    error             TEXT,
    marks             TEXT   NOT NULL,
    prompt_tokens     BIGINT,
    completion_tokens BIGINT,
    seed              BIGINT,
    token_ids         TEXT,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    trace             TEXT
);
CREATE INDEX deleted_messages_of_conversation ON deleted_messages (conversation_id, deletion);
CREATE INDEX deleted_messages_by_time ON deleted_messages (deleted_at);
