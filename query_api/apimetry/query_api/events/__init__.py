"""Single events: pages of them, newest or oldest first, and one event by its id."""
