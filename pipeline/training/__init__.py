"""Files that train a checkpoint, and the course of its training."""
