"""Bytes to a batch, one module for each content type."""
