"""The order in which requests get their turn, and who waits for them."""
