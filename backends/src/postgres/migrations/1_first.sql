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

-- The last publication of each node that is in the log.
CREATE TABLE published (
    node bytea PRIMARY KEY,
    last bigint NOT NULL,
    seen timestamptz NOT NULL DEFAULT now()
);

-- Puts a node's publications into the log, and says where it ends. Those of its own that are in the log already are not put in again: `sequences` has their numbers,
-- and null for others.
--
-- The row of log_end stays locked from here until the transaction has been committed. So numbers are given out in the order of commits, and who has seen
-- one of them has seen, or can see, all below it.
CREATE FUNCTION publish(publisher bytea, sequences bigint[], payloads bytea[], buckets bigint[], new_epoch text, channel text)
RETURNS TABLE (epoch text, last bigint, trimmed bigint, bytes bigint) LANGUAGE plpgsql AS $$
DECLARE
    already bigint;
    added bigint;
    size bigint;
    log_row log_end%ROWTYPE;
BEGIN
    LOOP
        SELECT * INTO log_row FROM log_end FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO log_end (epoch, last) VALUES (new_epoch, 0) ON CONFLICT DO NOTHING;
    END LOOP;
    IF array_length(payloads, 1) > 0 THEN
        SELECT p.last INTO already FROM published p WHERE p.node = publisher;
        WITH new AS (
            SELECT row_number() OVER (ORDER BY n) AS n, b, p
            FROM unnest(sequences, payloads, buckets) WITH ORDINALITY AS u (s, p, b, n)
            WHERE s IS NULL OR s > coalesce(already, 0)
        ), inserted AS (
            INSERT INTO log (id, buckets, payload) SELECT log_row.last + n, b, p FROM new
            RETURNING length(payload) AS size
        )
        SELECT count(*), coalesce(sum(inserted.size), 0) INTO added, size FROM inserted;
        IF added > 0 THEN
            UPDATE log_end AS e SET last = e.last + added, bytes = e.bytes + size RETURNING e.* INTO log_row;
            INSERT INTO published (node, last)
            SELECT publisher, max(s) FROM unnest(sequences) s HAVING max(s) IS NOT NULL
            ON CONFLICT (node) DO UPDATE SET last = greatest(published.last, excluded.last), seen = now();
            PERFORM pg_notify(channel, '');
        END IF;
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
    DELETE FROM published;
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
