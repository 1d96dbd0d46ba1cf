"""The server under fault: `python -m bench.faults NAME... --out bench/results/faults.jsonl`."""

from __future__ import annotations

import sys

from bench import promises
from bench.faults import cancels, disks, drains, kills, streams, workers

FAULTS: dict[str, promises.Measure] = {
    "workers": workers.run,
    "cancels": cancels.run,
    "drains": drains.run,
    "disks": disks.run,
    "kills": kills.run,
    "streams": streams.run,
}


def main() -> int:
    return promises.run("bench.faults", __doc__, FAULTS)


if __name__ == "__main__":
    sys.exit(main())
