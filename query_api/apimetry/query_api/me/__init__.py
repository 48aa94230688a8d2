"""`GET /v1/me`: what a key may ask about, and whether there is anything to ask about."""
