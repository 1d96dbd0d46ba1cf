"""The flow_step operation: reference.py is its truth and the CPU's path."""
