"""The collected traffic for Prometheus: requests and their times, by application, route, method and status."""
