"""The values of a field of the filters."""
