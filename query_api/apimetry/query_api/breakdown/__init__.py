"""The breakdown API: one table about any dimension."""
