"""Deletes stored events and changes their retention: HTTP adds jobs, and they run in the background."""
