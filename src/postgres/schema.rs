//! Tables, schema versions, and migrations.
//!
//! The row `version` of `meta` is the number of applied steps. A released step is never changed; changes are further
//! steps. The tables are found by the search path of the connection, so that a journal may have a schema of its own. There
//! is no trigger, function or sequence but those of identity columns.

/// The newest schema that this version reads and writes.
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// User ids and titles are bytes, since text in PostgreSQL cannot have every character. Other texts are compared by their
/// bytes.
pub(crate) const MIGRATIONS: &[&str] = &[
    // 1: the logs, their index, and the tables of writers.
    r#"
    CREATE TABLE meta (
        name  text PRIMARY KEY,
        value text NOT NULL
    );

    -- The process that serves the database.
    CREATE TABLE claim (
        one        boolean PRIMARY KEY DEFAULT true CHECK (one),
        holder     uuid NOT NULL,
        expires_at timestamptz NOT NULL
    );

    -- A row for each connection that may append. An append locks the row of its connection.
    CREATE TABLE writers (
        session uuid PRIMARY KEY,
        holder  uuid NOT NULL,
        since   timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE users (
        id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        user_id       bytea NOT NULL UNIQUE,
        head          bigint NOT NULL,            -- the fence of every append
        fence         bigint NOT NULL DEFAULT 0,  -- of appends that change more than entries
        chain         bytea NOT NULL,             -- after entry `head`
        trimmed       bigint NOT NULL DEFAULT 0,
        trimmed_chain bytea NOT NULL,             -- after entry `trimmed`
        runs          bigint NOT NULL DEFAULT 0,  -- rows in `runs`
        kept_bytes    bigint NOT NULL DEFAULT 0,  -- of `lines` in its `batches`
        spent_bytes   bigint NOT NULL DEFAULT 0,  -- level of its leaky bucket
        spent_at      bigint NOT NULL DEFAULT 0   -- time of that level
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

    CREATE TABLE batches (
        uid      bigint NOT NULL,
        last     bigint NOT NULL,
        first    bigint NOT NULL,
        last_at  bigint NOT NULL,   -- timestamp of entry `last`
        chain    bytea NOT NULL,    -- after entry `last`
        checksum bigint NOT NULL,   -- of `lines`, all of them
        digests  bytea NOT NULL,    -- of each line, its first 8 bytes
        lines    bytea NOT NULL,    -- one JSON text an entry, each with a line feed
        erased   bytea,             -- of each erased line: its number in the row, two bytes, and its digest
        PRIMARY KEY (uid, last)
    ) WITH (autovacuum_vacuum_scale_factor = 0.05);
    ALTER TABLE batches ALTER COLUMN lines SET STORAGE EXTERNAL;

    CREATE TABLE runs (
        uid         bigint NOT NULL,
        accepted    bigint NOT NULL,
        accepted_at bigint NOT NULL,
        run_id      uuid NOT NULL,
        message_id  text COLLATE "C" NOT NULL,  -- of an erased message, a hash
        thread_id   text COLLATE "C" NOT NULL,  -- of an erased message, empty
        agent_name  text NOT NULL,
        started     bigint,
        completed   bigint,
        status      text,
        parent      bigint NOT NULL,
        executor    uuid,                       -- the node that started or resumed it last
        PRIMARY KEY (uid, accepted)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    CREATE UNIQUE INDEX runs_by_id ON runs (uid, run_id);
    CREATE UNIQUE INDEX runs_by_message ON runs (uid, message_id);
    CREATE INDEX runs_by_thread ON runs (uid, thread_id, accepted);
    CREATE INDEX runs_by_end ON runs (uid, thread_id, completed);
    CREATE INDEX runs_open ON runs (uid, accepted) WHERE completed IS NULL;

    CREATE TABLE threads (
        uid       bigint NOT NULL,
        thread_id text COLLATE "C" NOT NULL,
        first     bigint NOT NULL,
        last      bigint NOT NULL,
        last_at   bigint NOT NULL,
        messages  bigint NOT NULL,
        title     bytea,                           -- NULL if it has none
        archived  boolean NOT NULL DEFAULT false,
        updated   bigint NOT NULL DEFAULT 0,       -- offset of its latest `thread_updated`
        PRIMARY KEY (uid, thread_id)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX threads_by_last ON threads (uid, last);
    CREATE INDEX threads_by_archived ON threads (uid, archived, last);

    -- The entries that belong to a thread and to no run.
    CREATE TABLE thread_changes (
        uid       bigint NOT NULL,
        at        bigint NOT NULL,   -- offset of the entry
        thread_id text COLLATE "C" NOT NULL,
        PRIMARY KEY (uid, at)
    );
    CREATE INDEX thread_changes_by_thread ON thread_changes (uid, thread_id, at);

    CREATE TABLE resumes (
        uid          bigint NOT NULL,
        run_id       uuid NOT NULL,
        without_step bigint NOT NULL,  -- since the last step of its agent, the last resume included
        total        bigint NOT NULL,  -- since the run began, the last resume included
        seq          bigint NOT NULL,  -- of the run's last event when it was last resumed
        incarnation  uuid,             -- the process that resumed it last; NULL once that stopped in order
        PRIMARY KEY (uid, run_id)
    );

    CREATE TABLE erasures (
        uid          bigint NOT NULL,
        receipt      uuid NOT NULL,
        thread_id    text COLLATE "C",           -- NULL: the whole log
        through      bigint NOT NULL,            -- the last entry that it covers
        chain        bytea NOT NULL,             -- after entry `through`, when the intent was stored
        requested_at bigint NOT NULL,
        completed_at bigint,                     -- NULL until nothing is left to erase
        entries      bigint NOT NULL DEFAULT 0,  -- erased so far
        at           bigint NOT NULL DEFAULT 0,  -- the last entry whose row was examined
        closed       bigint,                     -- offset of its `thread_erased` or `log_erased`
        PRIMARY KEY (uid, receipt)
    );
    CREATE INDEX erasures_open ON erasures (uid) WHERE closed IS NULL;
    "#,
    // 2: nodes, in the place of the claim of a single process; runs by executor.
    r#"
    CREATE TABLE nodes (
        incarnation uuid PRIMARY KEY,
        exclusive   boolean NOT NULL,      -- no other node is let in meanwhile
        since       timestamptz NOT NULL DEFAULT now(),
        lease_until timestamptz NOT NULL   -- by the clock of the database
    ) WITH (fillfactor = 50);
    INSERT INTO nodes (incarnation, exclusive, lease_until) SELECT holder, true, expires_at FROM claim;
    DROP TABLE claim;

    CREATE INDEX runs_by_executor ON runs (executor) WHERE completed IS NULL;
    "#,
];

/// Serialises the nodes that join.
pub(crate) const NODES_LOCK: i64 = 0x514e_5455;

/// Serialises migrations of concurrent processes: a number that other applications are unlikely to lock.
pub(crate) const MIGRATION_LOCK: i64 = 0x514e_5454;
