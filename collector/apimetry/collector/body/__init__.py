"""Read the body of a request within its limits."""
