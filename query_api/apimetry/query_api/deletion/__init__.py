"""Deletions of stored events and changes of their retention: asked for over HTTP, done in the background."""
