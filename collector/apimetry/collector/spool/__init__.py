"""Batches on disk between the 200 that acknowledges them and the insert that stores them."""
