"""Decode a body into a batch: one module per content type."""
