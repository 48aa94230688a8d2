"""What every handler of the query service reads and answers alike."""
