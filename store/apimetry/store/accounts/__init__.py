"""Organizations, applications and keys."""
