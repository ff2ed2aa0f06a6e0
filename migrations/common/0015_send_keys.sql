-- What a form sends along, so that a message that arrives twice is written once.

ALTER TABLE messages ADD COLUMN send_key TEXT;
CREATE UNIQUE INDEX messages_by_send_key ON messages (conversation_id, send_key) WHERE send_key IS NOT NULL;
