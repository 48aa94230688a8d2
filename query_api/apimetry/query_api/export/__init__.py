"""Events as they were sent, page by page."""
