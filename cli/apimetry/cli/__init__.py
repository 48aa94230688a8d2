"""The `apimetry` command: the one place that wires everything together."""
