"""Delete stored events and change their retention: HTTP adds jobs, and the jobs run in the background."""
