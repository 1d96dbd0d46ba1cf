"""The golden picture: byte-equal on the machine kind it was made on, very near elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import PIL.Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from golden.make import PICTURE, RECORD, golden_image, machine_kind


def test_the_golden_picture_has_not_changed() -> None:
    golden = np.asarray(PIL.Image.open(io.BytesIO(PICTURE.read_bytes())))
    record = json.loads(RECORD.read_text())
    image = golden_image()
    if machine_kind() == {key: record[key] for key in machine_kind()}:
        assert hashlib.sha256(image.pixels.tobytes()).hexdigest() == record["pixels_sha256"]
    error = np.mean((golden.astype(np.float64) - image.pixels) ** 2)
    assert error == 0 or 10 * math.log10(255**2 / error) >= 45.0
