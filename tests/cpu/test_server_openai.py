"""The images API as the real `openai` package sees it, over loopback."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest
from fake_runner import SPEC, FakeRunner
from serving import Running, raw_request, serving, until

from mezzotint.images.png import png_size
from mezzotint.server.events import EventStream
from mezzotint.server.results import Results
from mezzotint.server.settings import Settings
from mezzotint.server.source import Served
from mezzotint.types import ResourceError

PROMPT = "a red apple"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(settings=Settings(aliases=("lab/fake-1", "fake-1"))) as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client:
        yield client


def test_a_picture_and_what_is_said_of_it(client: openai.OpenAI) -> None:
    answer = client.images.generate(
        prompt=PROMPT,
        size="64x128",
        extra_body={"seed": 7, "steps": 3, "guidance_scale": 0, "return_timings": True},
    )
    assert answer.data is not None
    picture = base64.b64decode(answer.data[0].b64_json or "")
    assert png_size(picture) == (64, 128)
    assert answer.data[0].model_extra == {"seed": 7}
    assert (answer.size, answer.output_format, answer.background) == ("64x128", "png", "opaque")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 4 * 8)
    assert answer.usage.total_tokens == 5 + 32
    assert abs(answer.created - time.time()) < 60
    extra = answer.model_extra or {}
    assert extra["steps"] == 3
    timings = extra["timings"]
    assert timings["steps"] == 3
    assert timings["clock"] == "host"
    stages = sum(v for k, v in timings.items() if k.endswith("_ms") and k != "total_ms")
    assert 0 < stages <= timings["total_ms"] + 1


def test_guided_pictures_count_their_negative_prompt(client: openai.OpenAI) -> None:
    guided = {"negative_prompt": "rain now", "guidance_scale": 1.0}
    answer = client.images.generate(prompt=PROMPT, n=2, extra_body=guided)
    assert answer.usage is not None
    assert answer.usage.input_tokens == 2 * (5 + 4)


def test_n_pictures_take_consecutive_seeds(client: openai.OpenAI) -> None:
    answer = client.images.generate(prompt=PROMPT, n=10, size="64x64", extra_body={"seed": 40})
    assert [(p.model_extra or {})["seed"] for p in answer.data or ()] == list(range(40, 50))
    assert len({p.b64_json for p in answer.data or ()}) == 10


def test_the_same_seed_makes_the_same_file_and_it_names_no_prompt(client: openai.OpenAI) -> None:
    one, two = (client.images.generate(prompt=PROMPT, extra_body={"seed": 1}) for _ in range(2))
    assert one.data == two.data
    file = base64.b64decode((one.data or [])[0].b64_json or "")
    assert b"trainedAlgorithmicMedia" in file
    assert b"apple" not in file


@pytest.mark.parametrize(
    ("format", "start"), [("png", b"\x89PNG"), ("webp", b"RIFF"), ("jpeg", b"\xff\xd8")]
)
def test_formats(client: openai.OpenAI, format: str, start: bytes) -> None:
    answer = client.images.generate(prompt=PROMPT, output_format=format)  # type: ignore[call-overload]
    assert base64.b64decode(answer.data[0].b64_json).startswith(start)
    assert answer.output_format == format


def test_a_url_is_good_without_a_key(server: Running, client: openai.OpenAI) -> None:
    answer = client.images.generate(prompt=PROMPT, response_format="url", output_format="webp")
    assert answer.data is not None
    url = answer.data[0].url or ""
    assert url.startswith(f"{server.url}/v1/images/")
    assert answer.data[0].b64_json is None
    with server.client() as http:
        file = http.get(url)
        assert (file.status_code, file.headers["content-type"]) == (200, "image/webp")
        assert file.content.startswith(b"RIFF")
        forged = http.get(url[:-1] + ("0" if url[-1] != "0" else "1"))
        later = http.get(url.replace("expires=", "expires=9"))
    assert forged.status_code == later.status_code == 404


@pytest.mark.parametrize("name", [None, "fake", "FAKE", "lab/fake-1", "fake-1"])
def test_names_of_the_model(client: openai.OpenAI, name: str | None) -> None:
    assert client.images.generate(prompt=PROMPT, model=name, size="64x64").data


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["fake", "lab/fake-1", "fake-1"]


def test_a_model_by_its_name(client: openai.OpenAI) -> None:
    assert client.models.retrieve("FAKE").id == "fake"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody/nothing")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("quality", "steps", "reported"),
    [
        ("low", 10, "low"),
        ("medium", 15, "medium"),
        ("high", 20, "high"),
        ("auto", 20, "high"),
        ("hd", 20, "high"),
        ("xhigh", 30, "xhigh"),
        ("max", 40, "max"),
    ],
)
def test_quality_is_steps(client: openai.OpenAI, quality: str, steps: int, reported: str) -> None:
    answer = client.images.generate(prompt=PROMPT, quality=quality, size="64x64")  # type: ignore[call-overload]
    assert (answer.model_extra["steps"], answer.quality) == (steps, reported)


def test_a_preset_and_its_quality(client: openai.OpenAI) -> None:
    preset = SPEC.presets[1]
    answer = client.images.generate(prompt=PROMPT, quality="low", extra_body={"preset": preset.zh})
    assert (answer.model_extra or {})["steps"] == preset.steps // 2


@pytest.mark.parametrize(
    "extra",
    [
        {"guidance_scale": 0.0},
        {"true_cfg_scale": 1.0},
        {"cfg_scale": 1},
    ],
)
def test_guidance_is_off_at_diffusers_0_and_cfg_1(
    client: openai.OpenAI, extra: dict[str, float]
) -> None:
    off = client.images.generate(prompt=PROMPT, extra_body=extra)
    assert off.usage is not None
    assert off.usage.input_tokens == 5  # a guided one counts the negative prompt's template too


def test_words_of_other_servers_and_of_openai_are_taken(client: openai.OpenAI) -> None:
    answer = client.images.generate(
        prompt=PROMPT,
        user="u",
        moderation="low",
        style="vivid",
        background="auto",
        output_compression=100,
        extra_body={"num_inference_steps": 2, "flow_shift": 3.0, "safety_identifier": "s-1"},
    )
    assert (answer.model_extra or {})["steps"] == 2
    assert answer.safety_identifier == "s-1"


@pytest.mark.parametrize(
    ("call", "param", "code"),
    [
        ({"extra_body": {"colour": "red"}}, "colour", "unknown_parameter"),
        ({"extra_body": {"flow_shift": 1e-320}}, "flow_shift", "invalid_value"),
        ({"extra_body": {"priority": 11}}, "priority", "invalid_value"),
        ({"extra_body": {"lora": [{"path": "/etc/passwd"}]}}, "lora", "unknown_parameter"),
        ({"n": 11}, "n", "invalid_value"),
        ({"size": "large"}, "size", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
        ({"output_compression": 80}, "output_compression", "invalid_value"),
        ({"background": "transparent"}, "background", "invalid_value"),
        ({"partial_images": 4, "stream": True}, "partial_images", "invalid_value"),
        ({"partial_images": 1}, "partial_images", "invalid_value"),
        ({"extra_body": {"seed": -2}}, "seed", "invalid_value"),
        ({"extra_body": {"steps": "8"}}, "steps", "invalid_value"),
        ({"extra_body": {"steps": 8, "num_inference_steps": 9}}, "steps", "invalid_value"),
        ({"quality": "low", "extra_body": {"steps": 8}}, "quality", "invalid_value"),
        ({"extra_body": {"cfg_scale": 2, "guidance_scale": 1}}, "guidance_scale", "invalid_value"),
        ({"extra_body": {"flow_shift": 2.0}}, "flow_shift", "invalid_value"),
        ({"extra_body": {"prompt": None}}, "prompt", "invalid_value"),
        ({"extra_body": {"cfg_scale": 30}}, "cfg_scale", "invalid_value"),
        ({"extra_body": {"true_cfg_scale": 30}}, "true_cfg_scale", "invalid_value"),
        ({"size": "100x100"}, None, "invalid_value"),
        ({"extra_body": {"preset": "none"}}, None, "invalid_value"),
        ({"prompt": "word " * 600}, None, "prompt_too_long"),
        ({"prompt": "x" * 32_001}, "prompt", "invalid_value"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_it(
    client: openai.OpenAI, call: dict[str, object], param: str | None, code: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**({"prompt": PROMPT} | call))  # type: ignore[call-overload]
    error = caught.value
    assert (error.param, error.code) == (param, code)
    assert error.type == "invalid_request_error"
    assert len(error.message) < 500


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"cfg_scale": 30}, "cfg_scale 30 is out of range; give 1 (off) to 21"),
        ({"size": "large"}, "size 'large' is not WIDTHxHEIGHT in pixels; write it as in 1024x768"),
    ],
)
def test_errors_speak_of_what_was_given(
    server: Running, call: dict[str, object], message: str
) -> None:
    with server.client() as http:
        answer = http.post("/v1/images/generations", json={"prompt": PROMPT} | call)
    assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize("size", ["64X64", "64*64", "64×64"])
def test_sizes_as_the_command_takes_them(server: Running, size: str) -> None:
    with server.client() as http:
        answer = http.post("/v1/images/generations", json={"prompt": PROMPT, "size": size})
    assert answer.json()["size"] == "64x64"


def test_an_unknown_model_is_a_404(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(prompt=PROMPT, model="gpt-image-2")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_stream_has_an_event_for_each_picture(client: openai.OpenAI) -> None:
    stream = client.images.generate(
        prompt=PROMPT, n=3, stream=True, size="64x64", extra_body={"seed": 5}
    )
    events = list(stream)
    assert {event.type for event in events} == {"image_generation.completed"}
    assert sorted((event.model_extra or {})["seed"] for event in events) == [5, 6, 7]
    for event in events:
        assert png_size(base64.b64decode(event.b64_json)) == (64, 64)
        assert event.type == "image_generation.completed"
        assert event.usage.total_tokens == 5 + 2 + 16  # guided: an empty negative prompt


def test_the_async_client() -> None:
    async def both(url: str) -> tuple[int, int]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x") as client:
            answer = await client.images.generate(prompt=PROMPT, size="64x64")
            stream = await client.images.generate(prompt=PROMPT, size="64x64", stream=True)
            return len(answer.data or ()), len([event async for event in stream])

    with serving() as server:
        assert asyncio.run(both(server.url)) == (1, 1)


def test_raw_bytes_by_accept(server: Running) -> None:
    call = {"prompt": PROMPT, "seed": 9}
    with server.client() as http:
        for name, start in (("png", b"\x89PNG"), ("webp", b"RIFF"), ("jpeg", b"\xff\xd8")):
            headers = {"Accept": f"image/{name}"}
            answer = http.post("/v1/images/generations", json=call, headers=headers)
            assert answer.headers["content-type"] == f"image/{name}"
            assert answer.content.startswith(start)
            assert answer.headers["x-seed"] == "9"
            assert "denoise;dur=" in answer.headers["server-timing"]
            for more in ({"n": 2}, {"stream": True}, {"response_format": "url"}):
                wrong = http.post("/v1/images/generations", json=call | more, headers=headers)
                assert wrong.json()["error"]["param"] == next(iter(more))
                assert wrong.status_code == 400


def test_generations_wait_for_the_model() -> None:
    runner = FakeRunner()
    may_load = asyncio.Event()

    def load() -> Served:
        until(may_load.is_set)
        return Served(runner, lambda prompt: 1)

    with serving(runner, load=load, wait=False) as server:
        with server.client() as http:
            assert http.get("/health").json() == {"status": "ok"}
            ready = http.get("/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "loading")
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
            with pytest.raises(openai.InternalServerError) as caught:
                client.images.generate(prompt=PROMPT)
            assert caught.value.status_code == 503
            assert caught.value.code == "model_not_ready"
            assert int(caught.value.response.headers["retry-after"]) >= 1
            may_load.set()
            until(lambda: http.get("/ready").status_code == 200)
        assert client.images.generate(prompt=PROMPT).data


def test_a_failed_load_is_told_without_its_reason() -> None:
    def load() -> Served:
        raise ResourceError("no room for /secret/place")

    with serving(load=load, wait=False) as server, server.client() as http:
        until(lambda: http.get("/ready").json()["status"] == "failed")
        answer = http.post("/v1/images/generations", json={"prompt": PROMPT})
        assert answer.status_code == 503
        assert "secret" not in answer.text + http.get("/ready").text


def test_a_full_queue_is_a_429_and_clients_wait_it_out() -> None:
    with serving(FakeRunner(step_s=0.04, slots=2), Settings(max_queue=2)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        busy = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)

        async def crowd() -> list[object]:
            calls = [busy.images.generate(prompt=PROMPT, size="64x64") for _ in range(5)]
            return list(await asyncio.gather(*calls, return_exceptions=True))

        ends = asyncio.run(crowd())
        refused = [end for end in ends if isinstance(end, openai.RateLimitError)]
        assert len(refused) == 3
        assert {(end.code, end.type) for end in refused} == {("queue_full", "rate_limit_error")}
        assert all(int(end.response.headers["retry-after"]) >= 1 for end in refused)
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.generate(prompt=PROMPT, n=3)
        assert caught.value.param == "n"
        patient = client.with_options(max_retries=3)
        assert patient.images.generate(prompt=PROMPT, n=2, size="64x64").data


def test_a_full_queue_refuses_before_any_thread_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none_is_free(*_: object) -> None:
        raise AssertionError("a thread was asked")

    with serving(FakeRunner(step_s=0.05), Settings(max_queue=1)) as server, server.client() as http:
        call = {"prompt": PROMPT, "size": "64x64", "steps": 20}
        with ThreadPoolExecutor() as pool:
            first = pool.submit(http.post, "/v1/images/generations", json=call)
            until(lambda: server.metric("mezzotint_images_in_progress") == 1)
            monkeypatch.setattr("mezzotint.server.queue.run_in_threadpool", none_is_free)
            assert http.post("/v1/images/generations", json=call).status_code == 429
            assert first.result().status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_cancels_its_pictures(stream: bool) -> None:
    runner = FakeRunner(step_s=0.05, slots=2)
    with serving(runner) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0, timeout=1)
        with pytest.raises(openai.APITimeoutError):
            client.images.generate(
                prompt=PROMPT, n=3, stream=stream, extra_body={"steps": 100}
            ).__iter__().__next__()
        client.close()
        until(lambda: runner.stats().outcomes.get("cancelled") == 3, 3)  # 100 steps take 5 s
        assert runner.stats().running == 0
        until(lambda: server.metric("mezzotint_images_in_progress") == 0)
        route = 'route="/v1/images/generations"'
        until(
            lambda: server.metric(f'mezzotint_requests_total{{outcome="cancelled",{route}}}') == 1
        )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValueError("a bug at /secret/place"), 500, "internal_error"),
        (ResourceError("memory ran out at /secret/place"), 503, "out_of_resources"),
    ],
)
def test_a_failing_picture_says_nothing_of_our_insides(
    error: Exception, status: int, code: str
) -> None:
    with serving(FakeRunner(error=error)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        with pytest.raises(openai.InternalServerError) as caught:
            client.images.generate(prompt=PROMPT)
        assert (caught.value.status_code, caught.value.code) == (status, code)
        with pytest.raises(openai.APIError) as streamed:
            list(client.images.generate(prompt=PROMPT, stream=True))
        assert streamed.value.code == code
        for seen in (caught.value, streamed.value):
            assert "secret" not in str(seen.body)


def test_links_end_with_their_time_and_their_room() -> None:
    now = 1000.0
    results = Results(lambda: 100, 60, clock=lambda: now)
    first = results.keep(b"a" * 60, "png")
    assert results.open(first) is not None
    second = results.keep(b"b" * 60, "png")
    assert results.open(first) is None
    assert results.open(second) is not None
    assert results.num_bytes == 60
    now += 60
    assert results.open(second) is None
    assert results.num_bytes == 0
    assert Results(lambda: 100, 60, clock=lambda: now).open(second) is None


def test_requests_under_way_are_finished_at_the_end() -> None:
    runner = FakeRunner(step_s=0.02)
    with serving(runner) as server:
        body = b'{"prompt": "a cup", "steps": 20}'
        head = (
            b"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nAccept: image/png\r\nContent-Length: %d\r\n\r\n"
        )
        answers: list[bytes] = []
        request = threading.Thread(
            target=lambda: answers.append(raw_request(server.port, head % len(body) + body))
        )
        request.start()
        until(lambda: runner.stats().running == 1)
        server.server.should_exit = True
        request.join(10)
    assert answers[0].startswith(b"HTTP/1.1 200")
    assert b"\x89PNG" in answers[0]
    assert runner.stats().outcomes == {"finished": 1}


def test_the_end_waits_no_longer_than_it_should() -> None:
    runner = FakeRunner(step_s=0.05)
    with serving(runner) as server, server.client() as http:
        server.server.config.timeout_graceful_shutdown = 1
        body = {"prompt": PROMPT, "steps": 120}  # 6 s
        ends: list[str] = []

        def call() -> None:
            try:
                http.post("/v1/images/generations", json=body)
            except httpx2.HTTPError as error:
                ends.append(type(error).__name__)

        request = threading.Thread(target=call)
        request.start()
        until(lambda: runner.stats().running == 1)
        server.server.should_exit = True
        server.thread.join(4)
        assert not server.thread.is_alive()
        request.join(10)
    assert runner.stats().outcomes == {"cancelled": 1}


def test_a_stream_nobody_reads_is_cleaned_up() -> None:
    async def gone() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    async def no_events() -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    closed: list[bool] = []
    stream = EventStream(no_events(), lambda: closed.append(True))
    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    asyncio.run(asyncio.wait_for(stream(scope, gone, send), 5))
    assert closed == [True]
