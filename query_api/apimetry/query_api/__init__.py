"""Answers questions about events over HTTP."""
