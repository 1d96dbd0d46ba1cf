"""The residual_norm operation: reference.py is its truth and the CPU's path."""
