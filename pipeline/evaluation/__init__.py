"""A checkpoint compared with towers, counties and published figures."""
