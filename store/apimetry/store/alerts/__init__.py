"""Alert rules and their events."""
