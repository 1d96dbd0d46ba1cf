"""POST /api/v1/inspect: a picture's settings as a request, its bounds, what it refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image as Pillow
from serving import Running, raw_request, serving
from test_images_inspect import INFOTEXT, NEGATIVE, PROMPT, png

from mezzotint.images.png import MAX_FILE_BYTES
from mezzotint.server.inspect_api import MAX_RAW
from mezzotint.server.keys import FixedKeys
from mezzotint.server.settings import MAX_BODY_BYTES, Settings

INSPECT = "/api/v1/inspect"
KEY = "k-0123456789abcdef"
GOOD = {"Authorization": f"Bearer {KEY}", "Content-Type": "image/png"}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(settings=Settings(keys=FixedKeys([KEY]))) as running:
        yield running


def send(server: Running, data: bytes) -> tuple[int, dict[str, object]]:
    with server.client(headers=GOOD) as http:
        answer = http.post(INSPECT, content=data)
    return answer.status_code, answer.json()


def test_a_picture_of_another_program_becomes_a_request(server: Running) -> None:
    status, body = send(server, png(parameters=INFOTEXT))
    assert (status, body["program"], body["model"]) == (200, "a1111", "z, image")
    assert (body["width"], body["height"]) == (64, 48)
    assert body["request"] == {
        "prompt": PROMPT,
        "negative_prompt": NEGATIVE,
        "width": 832,
        "height": 1216,
        "steps": 20,
        "guidance": 6.0,
        "seed": 965400086,
    }
    assert body["raw"] == {"parameters": INFOTEXT}
    assert "64 to 256" in str(body["problem"])


def test_what_was_found_asks_for_the_picture_again(server: Running) -> None:
    text = "a red apple\nNegative prompt: blur\nSteps: 3, CFG scale: 2.5, Seed: 7, Size: 64x64"
    status, body = send(server, png(parameters=text))
    assert (status, body["problem"]) == (200, None)
    request = body["request"]
    assert isinstance(request, dict)
    call = {
        "prompt": request["prompt"],
        "negative_prompt": request["negative_prompt"],
        "size": f"{request['width']}x{request['height']}",
        "guidance_scale": request["guidance"],
        "seed": request["seed"],
    }
    with server.client(headers={"Authorization": f"Bearer {KEY}"}) as http:
        made = http.post("/v1/images/generations", json=call)
    assert made.json()["data"][0]["seed"] == 7


def test_a_negative_prompt_that_had_no_effect_is_left_out(server: Running) -> None:
    text = "a\nNegative prompt: b\nSteps: 3, CFG scale: 1, Size: 64x64"
    _, body = send(server, png(parameters=text))
    assert body["request"]["negative_prompt"] == ""  # type: ignore[index]
    assert body["problem"] is None
    assert "Negative prompt: b" in body["raw"]["parameters"]  # type: ignore[index]


def test_long_texts_are_shown_in_part(server: Running) -> None:
    text = json.dumps({"sui_image_params": {"prompt": "x" * 10**6}})
    status, body = send(server, png(parameters=text))
    assert status == 200
    assert len(body["raw"]["parameters"]) == MAX_RAW  # type: ignore[index]
    assert len(body["request"]["prompt"]) == 10**6  # type: ignore[index]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_value"),
        (b"hello", "invalid_value"),
        (png(parameters="x")[:-9], "invalid_value"),
        (png(), "no_settings"),
    ],
)
def test_other_files_are_refused_in_a_sentence(server: Running, data: bytes, code: str) -> None:
    status, body = send(server, data)
    assert (status, body["error"]["code"]) == (400, code)  # type: ignore[index]
    assert body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    assert body["error"]["param"] is None  # type: ignore[index]


def test_pictures_may_be_larger_than_other_bodies(server: Running) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(noise).save(file, "PNG")
    assert len(file.getvalue()) > MAX_BODY_BYTES
    status, body = send(server, file.getvalue())
    assert status == 400
    assert "carries no settings" in body["error"]["message"]  # type: ignore[index]
    with server.client(headers=GOOD) as http:
        other = http.post("/api/v1/session", content=file.getvalue())
    assert other.status_code == 413


def test_20_mib_is_the_end(server: Running) -> None:
    head = f"POST {INSPECT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    answer = raw_request(
        server.port, f"{head}Content-Length: {MAX_FILE_BYTES + 1}\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 413")


def test_nobody_uploads_without_a_key(server: Running) -> None:
    head = f"POST {INSPECT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    answer = raw_request(server.port, f"{head}Content-Length: {MAX_FILE_BYTES}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401")  # and nothing was read
