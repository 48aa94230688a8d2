"""What changed between two ranges (`GET /v1/explain`)."""
