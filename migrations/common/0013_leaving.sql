-- What is written or deleted in many steps belongs to nobody meanwhile, and so is there for nobody.

-- Nobody: no password opens this account, and no list shows it.
INSERT INTO users (id, name, name_key, password_hash, role, created_at)
    VALUES ('ffffffffffffffffffffffffffffffff', 'nobody', '', '', 'user', 0);

-- Whose a conversation will be when all of it has arrived; nobody's without this is on its way out.
ALTER TABLE conversations ADD COLUMN arriving_for TEXT REFERENCES users (id) ON DELETE SET NULL;

-- With the id: how many versions a message has is counted in the index alone.
DROP INDEX messages_by_parent;
CREATE INDEX messages_by_parent ON messages (conversation_id, parent_id, id);
