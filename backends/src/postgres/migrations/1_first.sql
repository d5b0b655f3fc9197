-- Everything is in one schema, which the server is given; nothing here names it.
-- Ids and names are bytes (UTF-8), since text can hold no NUL.

-- The log of publications: where it ends. One row; without it there is no log, and the next publication begins one.
CREATE TABLE log_end (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- A random name: whoever remembers a place in another log knows that it is gone.
    epoch text NOT NULL,
    -- The last publication's number.
    last bigint NOT NULL,
    -- The last number that is no longer in the log.
    trimmed bigint NOT NULL DEFAULT 0,
    -- How large the publications in the log are together.
    bytes bigint NOT NULL DEFAULT 0
);

-- The log of publications.
CREATE TABLE log (
    id bigint PRIMARY KEY,
    -- One bit for each bucket of rooms that a publication is for; the highest is everyone's.
    buckets bigint NOT NULL,
    payload bytea NOT NULL
);

-- Puts publications into the log, and says where it ends.
--
-- The row of log_end stays locked from here until the transaction has been committed. So numbers are given out in the order of commits, and who has seen
-- one of them has seen, or can see, all below it.
CREATE FUNCTION publish(payloads bytea[], buckets bigint[], new_epoch text, channel text)
RETURNS TABLE (epoch text, last bigint, trimmed bigint, bytes bigint) LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
    count bigint := coalesce(array_length(payloads, 1), 0);
    log_row log_end%ROWTYPE;
BEGIN
    SELECT coalesce(sum(length(p)), 0) INTO total FROM unnest(payloads) p;
    LOOP
        UPDATE log_end AS e SET last = e.last + count, bytes = e.bytes + total RETURNING e.* INTO log_row;
        EXIT WHEN FOUND;
        INSERT INTO log_end (epoch, last) VALUES (new_epoch, 0) ON CONFLICT DO NOTHING;
    END LOOP;
    IF count > 0 THEN
        INSERT INTO log (id, buckets, payload)
        SELECT log_row.last - count + n, b, p FROM unnest(payloads, buckets) WITH ORDINALITY AS u (p, b, n);
        PERFORM pg_notify(channel, '');
    END IF;
    RETURN QUERY SELECT log_row.epoch, log_row.last, log_row.trimmed, log_row.bytes;
END $$;

-- Takes the oldest publications out of the log, a bounded number at once, and says whether there are more to go. One node does it at a time.
CREATE FUNCTION trim_log(max_entries bigint, max_bytes bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    e log_end%ROWTYPE;
    upto bigint;
    freed bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('trim_log:' || current_schema(), 0)) THEN
        RETURN false;
    END IF;
    SELECT * INTO e FROM log_end;
    IF NOT FOUND OR (e.last - e.trimmed <= max_entries AND e.bytes <= max_bytes) THEN
        RETURN false;
    END IF;
    WITH oldest AS (
        SELECT id, length(payload) AS size FROM log WHERE id > e.trimmed ORDER BY id LIMIT 1000
    ), going AS (
        SELECT id, sum(size) OVER (ORDER BY id) AS size FROM oldest
        WHERE id <= e.last - max_entries
           OR e.bytes - (SELECT coalesce(sum(size), 0) FROM oldest o WHERE o.id < oldest.id) > max_bytes
    )
    SELECT max(id), max(size) INTO upto, freed FROM going;
    IF upto IS NULL THEN
        RETURN false;
    END IF;
    DELETE FROM log WHERE id <= upto;
    UPDATE log_end SET trimmed = upto, bytes = log_end.bytes - freed;
    RETURN true;
END $$;

-- A log that is cleared is another one afterwards.
CREATE FUNCTION log_lost() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM log_end;
    RETURN NULL;
END $$;
CREATE TRIGGER log_lost AFTER TRUNCATE ON log FOR EACH STATEMENT EXECUTE FUNCTION log_lost();

-- The nodes that are there, by their last heartbeat.
CREATE TABLE nodes (
    node bytea PRIMARY KEY,
    seen timestamptz NOT NULL DEFAULT now()
);

-- Requests between nodes and their answers, until they are read.
CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node bytea NOT NULL,
    kind text NOT NULL,
    sender bytea NOT NULL,
    request text NOT NULL,
    body bytea,
    sent timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX messages_node ON messages (node, id);

-- The states of clients that were cut off.
CREATE TABLE states (
    key bytea PRIMARY KEY,
    state bytea NOT NULL,
    expires timestamptz NOT NULL
);
CREATE INDEX states_expires ON states (expires);
