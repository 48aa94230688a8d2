"""The timeseries API."""
