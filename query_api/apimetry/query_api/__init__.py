"""Answer queries about events over HTTP."""
