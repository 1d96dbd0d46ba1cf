"""The layer_norm_modulate operation: reference.py is its truth and the CPU's path."""
