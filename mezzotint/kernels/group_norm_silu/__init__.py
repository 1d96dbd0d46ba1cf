"""The group_norm_silu operation: reference.py is its truth and the CPU's path."""
