"""Organizations, applications and keys over HTTP."""
