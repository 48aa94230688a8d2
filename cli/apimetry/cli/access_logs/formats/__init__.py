"""The formats of access logs, one in each module; `table` registers them."""
