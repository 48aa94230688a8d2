"""How a value is distributed: one histogram, or one for each bucket of time."""
