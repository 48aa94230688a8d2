"""The formats of access logs: one module for a format or a family; `table` lists all of them."""
