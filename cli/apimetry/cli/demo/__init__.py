"""`apimetry demo`: example applications under generated traffic, beside a `serve` of their own."""
