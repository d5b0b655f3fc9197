-- The log of publications between servers.

CREATE TABLE log (
  -- From 1. There are no holes within an epoch.
  id bigint PRIMARY KEY,
  -- A bit for each bucket of rooms that it is for. The sign bit: every server has to hear it.
  mask bigint NOT NULL,
  -- Of the payload, in bytes.
  size integer NOT NULL,
  payload bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- What is large is mostly compressed already.
ALTER TABLE log ALTER payload SET STORAGE EXTERNAL;

-- One row: where the log ends. Who publishes keeps it locked until its transaction has ended, so that publications are committed in the order
-- of their ids: who has seen one has seen all before it. (A sequence would not do: ids are then given out in one order and committed in another.)
CREATE TABLE log_end (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- Of this log, as opposed to one that was lost: a part of each position that is given out.
  epoch text NOT NULL,
  -- Which copy of the log the epoch is of.
  copy text NOT NULL,
  -- The last id before this epoch.
  begun bigint NOT NULL,
  last bigint NOT NULL,
  -- Of all payloads so far.
  bytes bigint NOT NULL DEFAULT 0,
  -- Whether anybody publishes without waiting for the disk: a crash may then lose what servers have heard already.
  relaxed boolean NOT NULL DEFAULT false
) WITH (fillfactor = 10);

-- One row: what has been deleted.
CREATE TABLE log_trimmed (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  last bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

INSERT INTO log_trimmed DEFAULT VALUES;

-- At most one row, which a crash empties: that is what an unlogged table is for here.
CREATE UNLOGGED TABLE log_run (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  token text NOT NULL
);

CREATE FUNCTION random_token() RETURNS text
LANGUAGE sql VOLATILE AS $$
  SELECT left(replace(gen_random_uuid()::text, '-', ''), 10)
$$;

-- Which copy of the log this is. Where publishing does not wait for the disk, each run between two crashes is one.
CREATE FUNCTION log_copy(is_relaxed boolean) RETURNS text
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
  RETURN copy_of('log') || CASE WHEN is_relaxed THEN coalesce('/' || (SELECT token FROM log_run), '/crashed') ELSE '' END;
END
$$;

-- Begins a new epoch behind everything that is there, unless the epoch is this copy's already.
CREATE FUNCTION begin_epoch(relax boolean) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  is_relaxed boolean;
  highest bigint;
BEGIN
  INSERT INTO log_trimmed DEFAULT VALUES ON CONFLICT DO NOTHING;
  SELECT greatest(last, (SELECT max(id) FROM log)) INTO highest FROM log_trimmed;
  INSERT INTO log_end (epoch, copy, begun, last, bytes)
  SELECT random_token(), '', highest, highest, bytes + coalesce((SELECT sum(size) FROM log), 0) FROM log_trimmed
  ON CONFLICT DO NOTHING;
  UPDATE log_end SET relaxed = relaxed OR relax RETURNING relaxed INTO is_relaxed;
  IF is_relaxed THEN
    INSERT INTO log_run (token) VALUES (random_token()) ON CONFLICT DO NOTHING;
  END IF;
  UPDATE log_end SET epoch = random_token(), copy = log_copy(is_relaxed), begun = greatest(last, highest), last = greatest(last, highest)
  WHERE copy <> log_copy(is_relaxed);
END
$$;

SELECT begin_epoch(false);

-- The last publication of each server that is in the log, by that server's own numbers.
CREATE TABLE published (
  node text COLLATE "C" PRIMARY KEY,
  last bigint NOT NULL,
  at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Puts a server's publications into the log, all of them or none, and rings at the servers. Those that are in the log already, by their numbers among that
-- server's own, are not put in again.
CREATE FUNCTION publish(publisher text, sequences bigint[], masks bigint[], payloads bytea[], relax boolean) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  place record;
  already bigint;
  added bigint;
  total bigint;
BEGIN
  IF relax THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
  LOOP
    SELECT last, copy = log_copy(relaxed) AND relaxed >= relax AS is_current INTO place FROM log_end FOR UPDATE;
    EXIT WHEN place.is_current;
    PERFORM begin_epoch(relax);
  END LOOP;
  SELECT last INTO already FROM published WHERE node = publisher;
  WITH added AS (
    INSERT INTO log SELECT place.last + row_number() OVER (ORDER BY number), mask, length(payload), payload
    FROM unnest(sequences, masks, payloads) WITH ORDINALITY AS publications (sequence, mask, payload, number)
    WHERE sequence IS NULL OR sequence > coalesce(already, 0)
    RETURNING size
  )
  SELECT count(*), sum(size) INTO added, total FROM added;
  IF added > 0 THEN
    UPDATE log_end SET last = last + added, bytes = bytes + total;
    INSERT INTO published SELECT publisher, max(sequence), now() FROM unnest(sequences) AS sequence HAVING max(sequence) IS NOT NULL
    ON CONFLICT (node) DO UPDATE SET last = greatest(published.last, EXCLUDED.last), at = EXCLUDED.at;
    PERFORM pg_notify(current_schema() || ':log', '');
  END IF;
END
$$;

-- Deletes the oldest publications, at most so many, until the log has no more than so many entries and bytes. Says how many it deleted. One server at
-- a time does it; the others do nothing.
CREATE FUNCTION trim_log(max_entries bigint, max_bytes bigint, most integer) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  place record;
  upto bigint;
  deleted bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema() || ':trim', 0)) THEN
    RETURN 0;
  END IF;
  SELECT e.last - max_entries AS id, e.bytes - t.bytes - max_bytes AS bytes, t.last AS trimmed INTO place FROM log_end e, log_trimmed t;
  SELECT max(id) INTO upto FROM (
    SELECT id, sum(size) OVER (ORDER BY id) - size AS before
    FROM (SELECT id, size FROM log WHERE id > place.trimmed ORDER BY id LIMIT most) AS oldest
  ) AS oldest
  WHERE id <= place.id OR before < place.bytes;
  DELETE FROM log WHERE id <= upto;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  RETURN deleted;
END
$$;

-- Whoever deletes from the log, it is remembered: a server that still needs it is told that it is gone.
CREATE FUNCTION log_was_deleted() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE log_trimmed SET last = greatest(last, highest), bytes = bytes + total
  FROM (SELECT max(id) AS highest, sum(size) AS total FROM deleted) AS deleted
  WHERE highest IS NOT NULL;
  RETURN NULL;
END
$$;

CREATE TRIGGER log_was_deleted AFTER DELETE ON log
REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION log_was_deleted();

CREATE FUNCTION log_was_truncated() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE log_end SET epoch = random_token(), begun = last;
  UPDATE log_trimmed SET last = e.last, bytes = e.bytes FROM log_end e;
  DELETE FROM published;
  RETURN NULL;
END
$$;

CREATE TRIGGER log_was_truncated AFTER TRUNCATE ON log
FOR EACH STATEMENT EXECUTE FUNCTION log_was_truncated();
