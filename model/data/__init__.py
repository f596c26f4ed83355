"""Training data: sites, counties, towers, and their splits."""
