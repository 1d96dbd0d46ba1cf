"""The qk_norm_rope operation: reference.py is its truth and the CPU's path."""
