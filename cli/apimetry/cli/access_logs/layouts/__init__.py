"""Make parsers from a server's own description of its log lines: nginx's `log_format` or Apache's `LogFormat`."""
