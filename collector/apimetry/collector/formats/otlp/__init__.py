"""OTLP: decode the HTTP server spans of a body into a batch of events."""
