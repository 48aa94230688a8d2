"""The service's OpenAPI 3.1 document, written once and tested against the running service."""
