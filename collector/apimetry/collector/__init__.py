"""Takes batches of events over HTTP, keeps them on disk, and inserts them into ClickHouse once."""
