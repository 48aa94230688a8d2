"""`apimetry import access-log`: the history that web servers wrote down."""
