-- Sessions, denied tokens and claims, and the changes of them that servers follow.
--
-- Names are looked up in the schema that the tables are made in; each function keeps that search path.

-- When something ends that is kept for so many microseconds from now on: without a number never.
CREATE FUNCTION ending(microseconds bigint) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT coalesce(now() + microseconds * interval '1 microsecond', 'infinity')
$$;

-- Which copy of a table this is: a backup that was restored, a standby that was promoted and a table that was made anew are others.
CREATE FUNCTION copy_of(relation regclass) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT concat_ws(
    '/',
    (SELECT system_identifier FROM pg_control_system()),
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    relation::oid
  )
$$;

-- One row: the number of the last change. Who makes a change keeps this row locked until its transaction has ended, so that changes are
-- committed in the order of their numbers: who has seen one has seen all before it.
CREATE TABLE changes_end (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  last bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO changes_end (last) VALUES (0);

-- The changes, in their order and without a hole; the sweep forgets the oldest.
CREATE TABLE changes (
  id bigint PRIMARY KEY,
  -- 1: this user's session was saved; 2: it was deleted on purpose; 3: this token was denied.
  kind smallint NOT NULL,
  subject text COLLATE "C" NOT NULL
);

-- Writes a change down, and rings at those who watch.
CREATE FUNCTION tell(kind integer, subject text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  number bigint;
BEGIN
  INSERT INTO changes_end AS e (last) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM changes))
  ON CONFLICT (one) DO UPDATE SET last = e.last + 1
  RETURNING last INTO number;
  INSERT INTO changes VALUES (number, kind, subject);
  PERFORM pg_notify(current_schema() || ':changes', '');
END
$$;

-- What each user may see.
CREATE TABLE sessions (
  user_id text COLLATE "C" PRIMARY KEY,
  -- {"guilds": [{"id", "name"?, "roles": [...]}], "role"?, "notBefore"?}. Not jsonb, which cannot hold every text.
  body json NOT NULL,
  expires_at timestamptz NOT NULL DEFAULT 'infinity'
);

CREATE INDEX sessions_expire ON sessions (expires_at) WHERE expires_at < 'infinity';

-- Stores a session in place of any other, for so many microseconds, or without a number until it is deleted.
CREATE FUNCTION save_session(id text, session json, microseconds bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO sessions VALUES (id, session, ending(microseconds))
  ON CONFLICT (user_id) DO UPDATE SET body = EXCLUDED.body, expires_at = EXCLUDED.expires_at;
  PERFORM tell(1, id);
END
$$;

-- Deletes a session on purpose, which ends the user's sockets, and says whether there was one. A plain DELETE ends nobody.
CREATE FUNCTION delete_session(id text) RETURNS boolean
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  expired timestamptz;
BEGIN
  DELETE FROM sessions WHERE user_id = id RETURNING expires_at INTO expired;
  IF expired > now() THEN
    PERFORM tell(2, id);
    RETURN true;
  END IF;
  RETURN false;
END
$$;

-- Tokens that are refused before they expire, each by its name, which is not the token.
CREATE TABLE denied (
  token text COLLATE "C" PRIMARY KEY,
  until timestamptz NOT NULL
);

CREATE INDEX denied_until ON denied (until);

-- Denies a token until so many microseconds of Unix time, or without a number for ever. Nobody shortens a denial.
CREATE FUNCTION deny(name text, microseconds bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO denied VALUES (name, coalesce(timestamptz 'epoch' + microseconds * interval '1 microsecond', 'infinity'))
  ON CONFLICT (token) DO UPDATE SET until = greatest(denied.until, EXCLUDED.until);
  PERFORM tell(3, name);
END
$$;

-- Who sent which chat message first.
CREATE TABLE claims (
  guild text COLLATE "C" NOT NULL,
  message bytea NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  -- Milliseconds of Unix time.
  at bigint NOT NULL,
  expires_at timestamptz NOT NULL,
  -- The transaction that made the claim.
  made_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (guild, message)
);

CREATE INDEX claims_expire ON claims (expires_at);
