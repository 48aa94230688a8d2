"""What the usage means, and what to do about it."""
