-- Deletes what has expired, of each kind at most so many, and the changes that are too old to be kept. Says how many it deleted of that kind of which it
-- deleted most: as many as allowed mean that there may be more. One server at a time does it; the others do nothing.
CREATE FUNCTION sweep(most integer, max_changes bigint, messages_kept interval, expired_tokens_kept interval) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  deleted bigint[] := '{}';
  count bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema() || ':sweep', 0)) THEN
    RETURN 0;
  END IF;

  -- What somebody just saves anew is left to the next sweep.
  DELETE FROM sessions WHERE user_id IN
    (SELECT user_id FROM sessions WHERE expires_at <= now() LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  DELETE FROM denied WHERE token IN
    (SELECT token FROM denied WHERE until <= now() LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  DELETE FROM claims WHERE (guild, message) IN
    (SELECT guild, message FROM claims WHERE expires_at <= now() LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  DELETE FROM recovery WHERE key IN
    (SELECT key FROM recovery WHERE expires_at <= now() LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  DELETE FROM tokens WHERE token IN
    (SELECT token FROM tokens WHERE expires_at <= now() - expired_tokens_kept LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  DELETE FROM messages WHERE id IN
    (SELECT id FROM messages WHERE sent <= now() - messages_kept ORDER BY id LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  -- Who has published nothing for an hour does not publish anything again.
  DELETE FROM published WHERE node IN
    (SELECT node FROM published WHERE at <= now() - interval '1 hour' LIMIT most FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  DELETE FROM changes WHERE id IN
    (SELECT id FROM changes WHERE id <= (SELECT last FROM changes_end) - max_changes ORDER BY id LIMIT most);
  GET DIAGNOSTICS count = ROW_COUNT;
  deleted := deleted || count;

  RETURN (SELECT max(each_count) FROM unnest(deleted) AS each_count);
END
$$;
