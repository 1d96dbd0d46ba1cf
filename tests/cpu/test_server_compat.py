"""Other programs' clients, as people use them: Hugging Face's and A1111's."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator

import httpx2
import pytest
import webuiapi
from fake_runner import FakeRunner
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image as Pillow
from serving import Running, serving, until

from mezzotint.images.infotext import parse_infotext
from mezzotint.images.inspect import inspect
from mezzotint.server.keys import FixedKeys
from mezzotint.server.settings import Settings
from mezzotint.types import RequestError

KEY = "k-0123456789abcdef"
OTHER_KEY = "k-fedcba9876543210"
A1111 = frozenset({"a1111"})
SMALL = {"width": 64, "height": 64, "steps": 4, "cfg_scale": 2.5}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    settings = Settings(keys=FixedKeys([KEY]), compat=A1111, aliases=("org/fake", "other"))
    with serving(settings=settings) as running:
        yield running


@pytest.fixture
def hugging_face(server: Running) -> InferenceClient:
    return InferenceClient(model=f"{server.url}/models/org/fake", token=KEY)


@pytest.fixture
def webui(server: Running) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(port=server.port, username="anybody", password=KEY)


def http_of(server: Running) -> httpx2.Client:
    return httpx2.Client(auth=("", KEY), base_url=f"{server.url}/sdapi/v1", timeout=20)


def test_hugging_face_text_to_image(hugging_face: InferenceClient) -> None:
    picture = hugging_face.text_to_image("a red apple", width=128, height=64, seed=7)
    assert picture.size == (128, 64)
    assert picture.format == "PNG"
    again = hugging_face.text_to_image("a red apple", width=128, height=64, seed=7)
    assert picture.tobytes() == again.tobytes()


def test_hugging_face_means_guidance_as_diffusers_does(server: Running) -> None:
    body = {
        "inputs": "a red apple",
        "parameters": {
            "negative_prompt": "rain",
            "num_inference_steps": 3,
            "guidance_scale": 1.5,
            "width": 64,
            "height": 64,
        },
    }
    seen = server.runner.seen = []
    headers = {"Authorization": f"Bearer {KEY}"}
    with server.client(headers=headers) as http:
        answer = http.post("/models/fake", json=body)
    assert answer.headers["content-type"] == "image/png"
    assert int(answer.headers["x-seed"]) >= 0
    (recipe,) = seen
    assert (recipe.guidance, recipe.steps, recipe.negative_prompt) == (1.5, 3, "rain")


def test_hugging_face_formats(server: Running) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "image/jpeg"}
    with server.client(headers=headers) as http:
        answer = http.post("/models/fake", json={"inputs": "a red apple"})
    assert Pillow.open(io.BytesIO(answer.content)).format == "JPEG"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"model": "/models/no/such"}, 404),
        ({"scheduler": "DDIM"}, 400),
        ({"width": 64}, 400),
        ({"width": 100, "height": 100}, 400),
        ({"extra_body": {"colour": "red"}}, 400),
        ({"num_inference_steps": 0}, 400),
        ({"negative_prompt": "rain", "guidance_scale": 0.0}, 400),
    ],
)
def test_hugging_face_errors(server: Running, options: dict[str, object], status: int) -> None:
    path = options.pop("model", "/models/fake")
    client = InferenceClient(model=f"{server.url}{path}", token=KEY)
    with pytest.raises(HfHubHTTPError) as caught:
        client.text_to_image("a red apple", **options)  # type: ignore[arg-type]
    assert caught.value.response.status_code == status


def test_hugging_face_errors_name_the_parameter(server: Running) -> None:
    body = {"inputs": "a", "parameters": {"num_inference_steps": 2000}}
    with server.client(headers={"Authorization": f"Bearer {KEY}"}) as http:
        error = http.post("/models/fake", json=body).json()["error"]
    assert error["message"].startswith("parameters.num_inference_steps: Input should be less")
    assert error["param"] == "parameters"


def test_hugging_face_needs_the_key(server: Running) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        InferenceClient(model=f"{server.url}/models/fake", token=OTHER_KEY).text_to_image("a")
    assert caught.value.response.status_code == 401


def test_a1111_txt2img_as_people_call_it(webui: webuiapi.WebUIApi) -> None:
    answer = webui.txt2img(
        prompt="a red apple", negative_prompt="rain", seed=1003, batch_size=2, **SMALL
    )
    assert [image.size for image in answer.images] == [(64, 64), (64, 64)]
    assert answer.info["all_seeds"] == [1003, 1004]
    assert (answer.info["cfg_scale"], answer.info["steps"]) == (2.5, 4)
    assert answer.parameters["prompt"] == "a red apple"
    read = parse_infotext(answer.info["infotexts"][1])
    assert (read.seed, read.guidance, read.steps) == (1004, 1.5, 4)
    assert (read.prompt, read.negative_prompt) == ("a red apple", "rain")


def test_a1111_cfg_is_converted_once(server: Running) -> None:
    server.runner.seen = seen = []
    with http_of(server) as http:
        http.post("txt2img", json={"prompt": "a", **SMALL}).raise_for_status()
        off = {"prompt": "a", "negative_prompt": "rain", **SMALL, "cfg_scale": 1}
        http.post("txt2img", json=off).raise_for_status()
        http.post("txt2img", json={"prompt": "a"}).raise_for_status()
    assert [recipe.guidance for recipe in seen] == [1.5, 0.0, server.runner.spec.guidance]
    assert [recipe.negative_prompt for recipe in seen] == ["", "", ""]


def test_a1111_prompts_may_be_empty(webui: webuiapi.WebUIApi, server: Running) -> None:
    assert webui.txt2img(**SMALL).image.size == (64, 64)
    with server.client(headers={"Authorization": f"Bearer {KEY}"}) as http:
        answer = http.post("/v1/images/generations", json={"prompt": " "})
    assert answer.status_code == 400  # elsewhere it is a mistake


def test_a1111_takes_its_own_form_with_nothing_chosen(server: Running) -> None:
    form = {
        "styles": [],
        "subseed": -1,
        "subseed_strength": 0,
        "seed_resize_from_h": -1,
        "seed_resize_from_w": -1,
        "restore_faces": False,
        "tiling": False,
        "eta": 0,
        "do_not_save_samples": False,
        "do_not_save_grid": False,
        "denoising_strength": 0,
        "s_min_uncond": 0,
        "s_churn": 0,
        "s_tmax": 0,
        "s_tmin": 0,
        "s_noise": 0,
        "override_settings": {},
        "override_settings_restore_afterwards": True,
        "refiner_checkpoint": "",
        "refiner_switch_at": 0,
        "disable_extra_networks": False,
        "firstpass_image": "",
        "comments": {},
        "enable_hr": False,
        "firstphase_width": 0,
        "firstphase_height": 0,
        "hr_scale": 2,
        "hr_upscaler": "",
        "hr_second_pass_steps": 0,
        "hr_resize_x": 0,
        "hr_resize_y": 0,
        "hr_checkpoint_name": "",
        "hr_sampler_name": "",
        "hr_scheduler": "",
        "hr_additional_modules": [],
        "hr_prompt": "",
        "hr_negative_prompt": "",
        "force_task_id": "",
        "sampler_index": "Euler",
        "script_name": "",
        "script_args": [],
        "send_images": True,
        "save_images": False,
        "alwayson_scripts": {},
        "infotext": "",
        "clip_skip": 1,
    }
    with http_of(server) as http:
        answer = http.post("txt2img", json={"prompt": "a red apple", **SMALL, **form})
    assert (answer.status_code, len(answer.json()["images"])) == (200, 1)


def test_a1111_files_tell_no_prompt(server: Running) -> None:
    with http_of(server) as http:
        body = http.post("txt2img", json={"prompt": "a red apple", **SMALL}).json()
    with pytest.raises(RequestError, match="carries no settings"):
        inspect(base64.b64decode(body["images"][0]))


def test_a1111_lists(webui: webuiapi.WebUIApi) -> None:
    assert webui.util_get_sampler_names() == ["Euler"]
    assert webui.util_get_current_model() == webui.util_get_model_names()[0] == "fake [0000000000]"
    assert webui.get_options()["CLIP_stop_at_last_layers"] == 1
    webui.set_options(webui.get_options())
    webui.util_set_model("fake")
    assert webui.util_get_scheduler_names() == ["automatic"]
    assert webui.get_upscalers() == webui.get_loras() == webui.get_sd_vae() == []
    webui.util_wait_for_ready()


def test_a1111_progress_and_interrupt() -> None:
    settings = Settings(keys=FixedKeys([KEY]), compat=A1111)
    with serving(FakeRunner(step_s=0.02, slots=1), settings) as server:
        webui = webuiapi.WebUIApi(port=server.port, username="u", password=KEY)
        assert webui.get_progress()["progress"] == 0
        answers: list[webuiapi.WebUIApiResult] = []
        call = {"prompt": "a", "batch_size": 2, "width": 64, "height": 64, "steps": 100}
        thread = threading.Thread(target=lambda: answers.append(webui.txt2img(**call)))
        thread.start()
        until(lambda: webui.get_progress()["current_image"] is not None)
        seen = webui.get_progress()
        assert 0 < seen["progress"] < 1
        assert 0 < seen["state"]["sampling_step"] < seen["state"]["sampling_steps"] == 100
        assert (seen["state"]["job_count"], seen["state"]["interrupted"]) == (2, False)
        assert seen["eta_relative"] > 0
        look = Pillow.open(io.BytesIO(base64.b64decode(seen["current_image"])))
        assert look.size == (64, 64)
        until(lambda: webui.get_progress()["state"]["job_no"] == 1)
        webui.interrupt()
        thread.join(20)
        assert len(answers[0].images) == 1  # the one that was finished
        assert webui.get_progress()["state"]["job_count"] == 0


def test_a1111_interrupts_are_the_callers_own() -> None:
    settings = Settings(keys=FixedKeys([KEY]), compat=A1111)
    with serving(FakeRunner(step_s=0.01), settings) as server:
        answers: list[int] = []

        def openai() -> None:
            with server.client(headers={"Authorization": f"Bearer {KEY}"}) as http:
                call = {"prompt": "a", "size": "64x64", "steps": 50}
                answers.append(http.post("/v1/images/generations", json=call).status_code)

        thread = threading.Thread(target=openai)
        thread.start()
        with http_of(server) as http:
            until(lambda: server.runner.stats().running == 1)
            assert http.post("interrupt").json() == {}
            assert http.get("progress").json()["state"]["job_count"] == 0
        thread.join(20)
        assert answers == [200]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"sampler_name": "DPM++ 2M"}, "sampler_name"),
        ({"sampler_index": "DDIM"}, "sampler_index"),
        ({"scheduler": "Karras"}, "scheduler"),
        ({"enable_hr": True}, "enable_hr"),
        ({"restore_faces": True}, "restore_faces"),
        ({"tiling": True}, "tiling"),
        ({"subseed_strength": 0.5}, "subseed_strength"),
        ({"styles": ["x"]}, "styles"),
        ({"script_name": "x/y plot"}, "script_name"),
        ({"alwayson_scripts": {"ControlNet": {}}}, "alwayson_scripts"),
        ({"refiner_checkpoint": "other"}, "refiner_checkpoint"),
        ({"infotext": "a red apple\nSteps: 20"}, "infotext"),
        ({"s_min_uncond": 1.5}, "s_min_uncond"),
        ({"clip_skip": 2}, "clip_skip"),
        ({"override_settings": {"CLIP_stop_at_last_layers": 2}}, "override_settings"),
        ({"override_settings": {"sd_model_checkpoint": "/etc/passwd"}}, "override_settings"),
        ({"override_settings": {"sd_model_checkpoint": ["x"]}}, "override_settings"),
        ({"override_settings": {"outdir_samples": "/tmp"}}, "override_settings"),  # noqa: S108
        ({"batch_size": 4, "n_iter": 3}, "n_iter"),
        ({"cfg_scale": 0.5}, "cfg_scale"),
        ({"cfg_scale": 30}, "cfg_scale"),
        ({"subseed": 10**30}, "subseed"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a1111_refuses_what_it_cannot_do(
    server: Running, change: dict[str, object], param: str
) -> None:
    with http_of(server) as http:
        answer = http.post("txt2img", json={"prompt": "a", **SMALL, **change})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("change", [{"sd_model_checkpoint": "other"}, {"x": 1}, {"sd_vae": {}}])
def test_a1111_options_stay(server: Running, change: dict[str, object]) -> None:
    with http_of(server) as http:
        answer = http.post("options", json=change)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(change)))
        assert http.get("options").json()["sd_model_checkpoint"] == "fake [0000000000]"


def test_a_basic_password_is_for_a1111_alone(server: Running) -> None:
    with server.client(auth=("", KEY)) as http:
        assert http.get("/sdapi/v1/samplers").status_code == 200
        assert http.get("/v1/models").status_code == 401
        assert http.get("/api/v1/capabilities").status_code == 401
    with server.client(auth=(KEY, "")) as http:
        assert http.get("/sdapi/v1/samplers").status_code == 401
    for bad in ("Basic", "Basic !", "Basic " + base64.b64encode(b"\xff\xfe").decode()):
        with server.client(headers={"Authorization": bad}) as http:
            assert http.get("/sdapi/v1/samplers").status_code == 401


def test_pages_of_other_sites_cannot_use_it(server: Running) -> None:
    with http_of(server) as http:
        text = json.dumps({"prompt": "a"})
        for path in ("txt2img", "options"):
            headers = {"Content-Type": "text/plain"}
            assert http.post(path, content=text, headers=headers).status_code == 415
        headers = {"Origin": "http://evil.example"}
        assert http.post("interrupt", headers=headers).status_code == 403


def test_a1111_is_served_when_asked_for_alone() -> None:
    with serving() as server, server.client() as http:
        assert http.get("/sdapi/v1/samplers").status_code == 404
