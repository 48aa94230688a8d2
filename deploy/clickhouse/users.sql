-- Three users with what each needs and no more. Run it as an administrator, on a cluster with ON CLUSTER after each
-- CREATE, and with passwords of your own.

-- Makes and changes the tables: `apimetry migrate`.
CREATE USER IF NOT EXISTS apimetry_migrator IDENTIFIED WITH sha256_password BY 'change me: migrator';
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE, SELECT, INSERT ON apimetry.* TO apimetry_migrator;
GRANT CLUSTER, REMOTE, TABLE ENGINE ON *.* TO apimetry_migrator;
GRANT SELECT ON system.processes TO apimetry_migrator;

-- The collectors, with APIMETRY_MIGRATE=false. They add rows, and change and delete none.
CREATE USER IF NOT EXISTS apimetry_writer IDENTIFIED WITH sha256_password BY 'change me: writer';
GRANT SELECT, INSERT ON apimetry.* TO apimetry_writer;
GRANT REMOTE ON *.* TO apimetry_writer;

-- The query services, with APIMETRY_MIGRATE=false. They write accounts, alerts and jobs, and carry deletions out.
CREATE USER IF NOT EXISTS apimetry_reader IDENTIFIED WITH sha256_password BY 'change me: reader';
GRANT SELECT, INSERT, ALTER DELETE, ALTER UPDATE, ALTER SETTINGS ON apimetry.* TO apimetry_reader;
GRANT KILL QUERY, CLUSTER, REMOTE ON *.* TO apimetry_reader;
GRANT SELECT ON system.mutations TO apimetry_reader;
GRANT SELECT ON system.processes TO apimetry_reader;
GRANT SELECT ON system.parts TO apimetry_reader;
