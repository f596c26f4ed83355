"""From archives to maps: everything with a grid, a file or a cluster."""

import os

# Icechunk reads this once, when it is first imported; it logs to stdout, which belongs to the commands' own output.
os.environ.setdefault("ICECHUNK_LOG", "error")
