-- Opaque tokens.

CREATE TABLE tokens (
  -- The SHA-256 of the token, as hexadecimal digits. The token itself is nowhere.
  token text COLLATE "C" PRIMARY KEY,
  user_id text COLLATE "C" NOT NULL,
  -- {"username", "globalName", "avatar", "role"}
  profile json NOT NULL,
  issued_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  revoked boolean NOT NULL DEFAULT false
);

CREATE INDEX tokens_user_id ON tokens (user_id, expires_at);
CREATE INDEX tokens_expire ON tokens (expires_at);

-- Keeps a token for so many microseconds. A user who has too many loses those that end first.
CREATE FUNCTION issue_token(name text, owner text, described json, microseconds bigint, most integer) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO tokens (token, user_id, profile, expires_at) VALUES (name, owner, described, ending(microseconds));
  DELETE FROM tokens WHERE token IN (
    SELECT token FROM tokens WHERE user_id = owner AND token <> name ORDER BY expires_at DESC OFFSET most - 1
  );
END
$$;

-- Revokes one token, or all of a user's, and denies them for a while longer than they would have lived: clocks differ. Says how many there were.
CREATE FUNCTION revoke_tokens(name text, owner text, longer interval) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  names text[];
  each_name text;
BEGIN
  WITH revoked AS (
    UPDATE tokens SET revoked = true
    WHERE token IN (SELECT token FROM tokens WHERE (token = name OR user_id = owner) AND NOT revoked AND expires_at > now() ORDER BY token FOR UPDATE)
    RETURNING token, expires_at
  ), denying AS (
    INSERT INTO denied SELECT token, expires_at + longer FROM revoked ORDER BY token
    ON CONFLICT (token) DO UPDATE SET until = greatest(denied.until, EXCLUDED.until)
  )
  SELECT array_agg(token ORDER BY token) INTO names FROM revoked;
  -- Last, since from then on nobody else can make a change before this one has ended.
  FOREACH each_name IN ARRAY coalesce(names, '{}') LOOP
    PERFORM tell(3, each_name);
  END LOOP;
  RETURN coalesce(cardinality(names), 0);
END
$$;
