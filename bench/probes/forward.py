"""One transformer forward: eight in one graph, divided by eight, rested and straight on."""

from __future__ import annotations

import statistics
import time

import torch

from bench.probes.recording import Call
from bench.rows import Row

FORWARDS = 8
ROUNDS = 5
REST_S = 1.0


def measure_forward(call: Call) -> Row:
    """Time what a denoise stage launches for one step, without the host in the figure."""
    with torch.inference_mode():
        graph, outputs = _capture(call)
        rested = [_replay_ms(graph, REST_S) for _ in range(ROUNDS)]
        straight = [_replay_ms(graph, 0.0) for _ in range(ROUNDS)]
    del outputs
    return {
        "ms": statistics.median(rested) / FORWARDS,
        "straight_ms": statistics.median(straight) / FORWARDS,
        "rest_s": REST_S,
        "repeats": ROUNDS,
    }


def _capture(call: Call) -> tuple[torch.cuda.CUDAGraph, list[torch.Tensor]]:
    inputs = [x.clone() for x in call.inputs]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for _ in range(2):
            call.function(*inputs)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        outputs = [call.function(*inputs) for _ in range(FORWARDS)]
    return graph, outputs


def _replay_ms(graph: torch.cuda.CUDAGraph, rest_s: float) -> float:
    if rest_s:
        torch.cuda.synchronize()
        time.sleep(rest_s)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))
