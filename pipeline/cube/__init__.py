"""The product of record: layout, what was computed from what, its states."""
