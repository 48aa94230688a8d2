"""Totals of a range of time, and nothing else."""
