"""The attention_fp8 operation: reference.py is its truth and the CPU's path."""
