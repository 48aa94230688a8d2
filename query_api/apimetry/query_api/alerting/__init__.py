"""Alert rules: their REST interface, their evaluation every minute, and the webhooks that tell of it."""
