"""Archives downloaded from the data centres."""
