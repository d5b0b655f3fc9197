-- What is counted: files that users sent, and chat messages.

-- One row for each guild, so that a sample does not read a row for each file.
CREATE TABLE uploads (
  guild text COLLATE "C" PRIMARY KEY,
  total bigint NOT NULL,
  -- The UTC day that `today` is about.
  day date NOT NULL,
  today bigint NOT NULL
) WITH (fillfactor = 50);

-- Counts files that were sent to a guild now. For uploaders: SELECT count_upload('1176605506912141444');
CREATE FUNCTION count_upload(guild_id text, files bigint DEFAULT 1) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO uploads AS u VALUES (guild_id, files, (now() AT TIME ZONE 'UTC')::date, files)
  ON CONFLICT (guild) DO UPDATE SET
    total = u.total + files,
    today = files + CASE WHEN u.day = EXCLUDED.day THEN u.today ELSE 0 END,
    day = EXCLUDED.day;
END
$$;

-- Chat messages so far, in several rows, so that servers which count at once seldom wait for each other.
CREATE TABLE chat_messages (
  slot smallint PRIMARY KEY,
  total bigint NOT NULL
) WITH (fillfactor = 10);

-- Counts chat messages.
CREATE FUNCTION count_messages(messages bigint) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO chat_messages AS m VALUES (floor(random() * 16), messages)
  ON CONFLICT (slot) DO UPDATE SET total = m.total + messages;
END
$$;
