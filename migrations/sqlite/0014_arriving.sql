-- The words of a conversation that arrives are already those of its person.

DROP TRIGGER searchable_from_now;
CREATE TRIGGER searchable_from_now AFTER INSERT ON searchable BEGIN
    INSERT INTO words (rowid, owner, text)
        SELECT i.id, COALESCE(c.arriving_for, i.owner), i.text
        FROM indexed i JOIN conversations c ON c.id = new.conversation_id WHERE i.id = new.id;
END;
