"""The product operation: reference.py is its truth and the CPU's path."""
