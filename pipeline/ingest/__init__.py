"""Archives to inputs store."""
