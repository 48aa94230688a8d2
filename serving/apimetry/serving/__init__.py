"""What both HTTP services answer alike: the error shape, keys in headers, health, readiness, metrics."""
