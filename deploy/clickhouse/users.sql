-- Three users with what each needs and no more. Run it as an administrator, on a cluster with ON CLUSTER after each
-- CREATE, and with passwords of your own. `events*` stands for `events` and, on a cluster, `events_local`: grants by the
-- start of a name need ClickHouse 24.10.

-- Makes and changes the tables: `apimetry migrate`.
CREATE USER IF NOT EXISTS apimetry_migrator IDENTIFIED WITH sha256_password BY 'change me: migrator';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, SELECT, INSERT ON apimetry.* TO apimetry_migrator;
GRANT CLUSTER, REMOTE, TABLE ENGINE ON *.* TO apimetry_migrator;
GRANT SELECT ON system.processes TO apimetry_migrator;

-- The collectors, with APIMETRY_MIGRATE=false. They add rows, and change and delete none.
CREATE USER IF NOT EXISTS apimetry_writer IDENTIFIED WITH sha256_password BY 'change me: writer';
GRANT SELECT ON apimetry.* TO apimetry_writer;
GRANT INSERT ON apimetry.events* TO apimetry_writer;
GRANT INSERT ON apimetry.sender_reports* TO apimetry_writer;
GRANT INSERT ON apimetry.changes* TO apimetry_writer;
GRANT INSERT ON apimetry.batch_* TO apimetry_writer;
GRANT INSERT ON apimetry.collector_reports TO apimetry_writer;
GRANT INSERT ON apimetry.key_uses TO apimetry_writer;
GRANT REMOTE ON *.* TO apimetry_writer;

-- The limits of the query services. An export lasts as long as its reader reads: its time has no limit here.
CREATE SETTINGS PROFILE IF NOT EXISTS apimetry_reader SETTINGS
    max_memory_usage = 2147483648 MIN 1 MAX 4294967296,
    max_execution_time = 30,
    max_concurrent_queries_for_user = 40,
    allow_introspection_functions = 0 CONST;

-- The query services, with APIMETRY_MIGRATE=false. They add no event.
CREATE USER IF NOT EXISTS apimetry_reader IDENTIFIED WITH sha256_password BY 'change me: reader'
    SETTINGS PROFILE 'apimetry_reader';
GRANT SELECT ON apimetry.* TO apimetry_reader;
-- Accounts, keys and sessions.
GRANT INSERT ON apimetry.organizations TO apimetry_reader;
GRANT INSERT ON apimetry.applications TO apimetry_reader;
GRANT INSERT ON apimetry.keys TO apimetry_reader;
GRANT INSERT ON apimetry.key_uses TO apimetry_reader;
GRANT INSERT ON apimetry.tokens TO apimetry_reader;
-- Alert rules, what they measured, and whose turn it is to evaluate them.
GRANT INSERT ON apimetry.alert_* TO apimetry_reader;
GRANT INSERT ON apimetry.turns TO apimetry_reader;
-- Deletions and new retentions: they pause inserts, change events, and fill the rollups again.
GRANT INSERT ON apimetry.jobs TO apimetry_reader;
GRANT INSERT ON apimetry.changes* TO apimetry_reader;
GRANT INSERT, ALTER DELETE, ALTER UPDATE ON apimetry.hourly_* TO apimetry_reader;
GRANT INSERT, ALTER DELETE, ALTER UPDATE ON apimetry.daily_* TO apimetry_reader;
GRANT INSERT, ALTER DELETE, ALTER UPDATE ON apimetry.minute_* TO apimetry_reader;
GRANT ALTER DELETE, ALTER UPDATE, ALTER SETTINGS ON apimetry.events* TO apimetry_reader;
GRANT ALTER DELETE ON apimetry.sender_reports* TO apimetry_reader;
GRANT KILL QUERY, CLUSTER, REMOTE ON *.* TO apimetry_reader;
GRANT SELECT ON system.mutations TO apimetry_reader;
GRANT SELECT ON system.processes TO apimetry_reader;
GRANT SELECT ON system.parts TO apimetry_reader;
