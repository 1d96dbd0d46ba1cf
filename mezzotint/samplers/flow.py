"""Flow matching: the schedule of noise levels; the update itself is the flow_step kernel."""

from __future__ import annotations


def flow_sigmas(steps: int, shift: float) -> tuple[float, ...]:
    """Noise levels from 1 to 0, bent towards noise by `shift`.

    sigma = s u / (1 + (s - 1) u) over u = 1, ..., 1/steps, then 0. Exactly `steps` forwards.
    -> steps + 1 values. Source: FlowMatchEulerDiscreteScheduler without dynamic shifting.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; a schedule needs at least 1")
    ramp = ((steps - i) / steps for i in range(steps))
    return (*(shift * u / (1 + (shift - 1) * u) for u in ramp), 0.0)
