"""What both HTTP services share: connections, the error shape, keys in headers, health, readiness and metrics."""
