"""Make the golden picture: `make golden`, after a change that is meant to change pixels."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import torch

from mezzotint import Engine
from mezzotint.types import Image

FOLDER = Path(__file__).parent
PICTURE = FOLDER / "apple.png"
RECORD = FOLDER / "apple.json"


def golden_image() -> Image:
    """The picture that must not change unless a change means it to."""
    with Engine(threads=2) as engine:
        return engine.generate("a red apple on green grass", seed=7)[0]


def machine_kind() -> dict[str, str]:
    """What decides the last bits besides our code: processor, kernels, version of torch."""
    return {
        "machine": platform.machine(),
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }


def processor() -> str:
    """Maker, family and model: the maths library picks its code by them."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    first = cpuinfo.read_text().split("\n\n")[0]
    fields = dict(line.split(":", 1) for line in first.splitlines() if ":" in line)
    found = {name.strip(): value.strip() for name, value in fields.items()}
    return " ".join(found.get(name, "") for name in ("vendor_id", "cpu family", "model"))


def main() -> None:
    image = golden_image()
    PICTURE.write_bytes(image.data)
    record = {"pixels_sha256": hashlib.sha256(image.pixels.tobytes()).hexdigest()} | machine_kind()
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{PICTURE}: {record}")


if __name__ == "__main__":
    main()
