-- What plugins keep: JSON values by key, for everybody, a person or a conversation.

CREATE TABLE plugin_kv (
    plugin          TEXT   NOT NULL,
    owner           TEXT   NOT NULL, -- '' for everybody, the person's id, or the conversation's
    entry_key       TEXT   NOT NULL,
    user_id         TEXT   REFERENCES users (id) ON DELETE CASCADE,         -- none for everybody
    conversation_id TEXT   REFERENCES conversations (id) ON DELETE CASCADE, -- none for everybody and for a person
    value           TEXT   NOT NULL,
    bytes           BIGINT NOT NULL, -- of key and value
    expires_at      BIGINT,          -- none = never
    PRIMARY KEY (plugin, owner, entry_key)
);
CREATE INDEX plugin_kv_of_user ON plugin_kv (user_id);
CREATE INDEX plugin_kv_of_conversation ON plugin_kv (conversation_id);
CREATE INDEX plugin_kv_by_expiry ON plugin_kv (expires_at);
