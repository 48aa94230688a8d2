"""The versions API: deploys and rollbacks."""
