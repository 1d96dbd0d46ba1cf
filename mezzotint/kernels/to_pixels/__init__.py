"""The to_pixels operation: reference.py is its truth and the CPU's path."""
