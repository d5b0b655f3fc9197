-- The servers, what they ask each other, and the states of clients that were cut off.

-- The servers that are there; one that says nothing for some seconds is gone.
CREATE TABLE nodes (
  node text COLLATE "C" PRIMARY KEY,
  -- Of which process, so that two do not use one name.
  process text NOT NULL,
  seen timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Requests and answers on their way; who has dealt with one deletes it.
CREATE TABLE messages (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  to_node text COLLATE "C" NOT NULL,
  from_node text COLLATE "C" NOT NULL,
  request text NOT NULL,
  is_answer boolean NOT NULL,
  -- Without one there is no answer.
  body bytea,
  sent timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE INDEX messages_to_node ON messages (to_node, id);

-- Where it rings when there is a message for a server.
CREATE FUNCTION bell_of(node text) RETURNS text
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
  SELECT current_schema() || ':' || to_hex(hashtextextended(node, 0))
$$;

-- Says that a server is there, and gives all that are: none when the name is another process's.
CREATE FUNCTION register(own text, own_process text, gone interval) RETURNS SETOF text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM nodes WHERE node IN (SELECT node FROM nodes WHERE seen < now() - gone FOR UPDATE SKIP LOCKED);
  INSERT INTO nodes VALUES (own, own_process, now())
  ON CONFLICT (node) DO UPDATE SET seen = now() WHERE nodes.process = own_process;
  IF FOUND THEN
    RETURN QUERY SELECT node FROM nodes WHERE seen >= now() - gone;
  END IF;
END
$$;

CREATE FUNCTION unregister(own text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM nodes WHERE node = own;
  DELETE FROM messages WHERE to_node = own;
END
$$;

-- Sends a request to each other server, and says which these are. One with too many messages gets no more: it says nothing, as if it hung.
CREATE FUNCTION ask(asker text, id text, question bytea, gone interval, most integer) RETURNS SETOF text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  other text;
BEGIN
  FOR other IN SELECT node FROM nodes WHERE node <> asker AND seen >= now() - gone LOOP
    IF (SELECT count(*) FROM (SELECT FROM messages WHERE to_node = other LIMIT most) AS waiting) < most THEN
      INSERT INTO messages (to_node, from_node, request, is_answer, body) VALUES (other, asker, id, false, question);
      PERFORM pg_notify(bell_of(other), '');
    END IF;
    RETURN NEXT other;
  END LOOP;
END
$$;

-- Answers a request, or says that there is no answer.
CREATE FUNCTION answer(asker text, answerer text, id text, reply bytea) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO messages (to_node, from_node, request, is_answer, body)
  SELECT node, answerer, id, true, reply FROM nodes WHERE node = asker;
  IF FOUND THEN
    PERFORM pg_notify(bell_of(asker), '');
  END IF;
END
$$;

-- What clients that were cut off come back to.
CREATE TABLE recovery (
  key bytea PRIMARY KEY,
  state bytea NOT NULL,
  expires_at timestamptz NOT NULL
);

CREATE INDEX recovery_expire ON recovery (expires_at);
