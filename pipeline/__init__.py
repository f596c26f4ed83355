"""From archives to maps: everything with a grid, a file or a cluster."""
