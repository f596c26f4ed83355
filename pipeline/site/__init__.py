"""The checkpoint at one point."""
