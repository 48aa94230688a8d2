"""Which tables answer a query, and the rows that every feature adds up."""
