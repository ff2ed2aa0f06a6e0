-- Where a conversation stands: above the others, among them, or put away.

ALTER TABLE conversations ADD COLUMN shelf TEXT NOT NULL DEFAULT 'listed' CHECK (shelf IN ('pinned', 'listed', 'archived'));
CREATE INDEX conversations_on_shelf ON conversations (user_id, shelf, updated_at, id);
