"""What a host application adds: one line that turns its requests into events."""
