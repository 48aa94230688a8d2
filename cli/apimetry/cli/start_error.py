"""The error that stops a service before it runs."""

from __future__ import annotations


class StartError(Exception):
    """A service cannot start; the message says why and what to do."""
