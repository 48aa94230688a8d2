"""The collector: it receives batches of events over HTTP, spools them, and inserts them into ClickHouse once."""
