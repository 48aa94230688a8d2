"""A request's body, within its limits."""
