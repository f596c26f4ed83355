"""The inputs store: layout, reading, and what is in it."""
