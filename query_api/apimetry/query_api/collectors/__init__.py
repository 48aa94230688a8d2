"""`GET /api/collectors`: what the collectors say of themselves."""
