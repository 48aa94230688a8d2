"""Real host applications under real servers, for tests."""
