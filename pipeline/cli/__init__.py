"""One module per command of `agcarbon`; heavy imports happen inside the functions."""
