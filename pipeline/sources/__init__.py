"""One reader per input product."""
