"""Samplers are pure functions: steps in, noise levels out."""

from mezzotint.samplers.flow import flow_sigmas

__all__ = ["flow_sigmas"]
