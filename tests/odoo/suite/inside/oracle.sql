-- What really changed, noted by PostgreSQL itself. A savepoint that goes back takes its notes along, as it takes
-- the delivery rows. `orm`: the statement came from the ORM (see witness.py), not from a module's own SQL.
-- `depth` above 1: a foreign key did it. Single letters: I, U, D of rows; c, w, x, t, k of calls (witness.py).
CREATE UNLOGGED TABLE suite_note (
    seq bigserial,
    xid bigint NOT NULL DEFAULT txid_current(),
    unit text NOT NULL DEFAULT coalesce(nullif(current_setting('suite.unit', true), ''), '0'),
    tbl text NOT NULL,
    op "char" NOT NULL,
    rec bigint,
    depth int NOT NULL DEFAULT 0,
    orm boolean NOT NULL DEFAULT false,
    old jsonb,
    new jsonb
);
CREATE INDEX suite_note_xid ON suite_note (xid);

CREATE FUNCTION suite_note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_relation boolean := TG_ARGV[0] = 'relation';
    by_orm boolean := left(current_query(), 7) = '/*orm*/';
    was jsonb;
    now jsonb;
    was_changed jsonb;
    now_changed jsonb;
    id bigint;
BEGIN
    IF TG_OP <> 'INSERT' THEN was := to_jsonb(OLD); END IF;
    IF TG_OP <> 'DELETE' THEN now := to_jsonb(NEW); END IF;
    id := (coalesce(now, was) ->> 'id')::bigint;
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, now -> o.key)
          INTO was_changed, now_changed
          FROM jsonb_each(was) o WHERE now -> o.key IS DISTINCT FROM o.value;
        IF was_changed IS NULL THEN RETURN NULL; END IF;
    ELSIF is_relation THEN
        was_changed := was;
        now_changed := now;
    END IF;
    INSERT INTO suite_note (tbl, op, rec, depth, orm, old, new)
    VALUES (TG_TABLE_NAME, left(TG_OP, 1), id, pg_trigger_depth(), by_orm, was_changed, now_changed);
    RETURN NULL;
END $$;
