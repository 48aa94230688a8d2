"""Alert rules, and what they triggered."""
