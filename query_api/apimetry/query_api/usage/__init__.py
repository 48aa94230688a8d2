"""The developer usage API."""
