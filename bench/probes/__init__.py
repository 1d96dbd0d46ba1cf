"""Measurements of the engine's inside: a forward alone, a new size, the steady state."""
