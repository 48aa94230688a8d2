"""Answers queries about events over HTTP."""
