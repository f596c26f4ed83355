"""One tile-year: arrays in, arrays out. No file, no clock."""
