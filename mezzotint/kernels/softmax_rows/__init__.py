"""The softmax_rows operation: reference.py is its truth and the CPU's path."""
