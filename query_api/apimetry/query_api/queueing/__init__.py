"""The fair order of requests, and the clients that wait for them."""
