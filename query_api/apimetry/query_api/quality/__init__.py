"""`GET /v1/quality`: which share of what senders captured is stored, over time and by sender."""
