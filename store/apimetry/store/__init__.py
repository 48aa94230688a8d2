"""Everything that knows ClickHouse: schema, inserting, running queries, account records."""
