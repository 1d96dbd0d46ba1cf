"""40 prompts that a careless page or file would run: they come back as what they are."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

from serving import until
from test_server_images import World

from mezzotint.images.inspect import inspect
from mezzotint.images.metadata import XMP_KEY
from mezzotint.images.png import read_png_text

PROMPTS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<body onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<object data='data:text/html,<script>alert(1)</script>'>",
    "<embed src='javascript:alert(1)'>",
    "<link rel=stylesheet href='http://evil.example/x.css'>",
    "<base href='http://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<form action='http://evil.example'><button>x",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "\" style=\"background:url(javascript:alert(1))",
    "javascript:alert(1)",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "{@html '<script>alert(1)</script>'}",
    "<%= system('id') %>",
    "$(touch /tmp/x)",
    "`touch /tmp/x`",
    "'; DROP TABLE images; --",
    "%s%s%s%n",
    "]]></rdf:Description><script>alert(1)</script>",
    "<!ENTITY xxe SYSTEM 'file:///etc/passwd'>&xxe;",
    "<?xpacket end='w'?>",
    "\u202egnp.exe\u202c",
    "\ufeff<script>alert(1)</script>",
    "a\r\nSet-Cookie: x=1\r\n\r\n<script>alert(1)</script>",
    "猫\u2028alert(1)\u2029",
)  # fmt: skip


def test_there_are_40() -> None:
    assert len(PROMPTS) >= 40
    assert len(set(PROMPTS)) == len(PROMPTS)


def safe(answer: object) -> None:
    headers = answer.headers  # type: ignore[attr-defined]
    assert headers["content-type"].startswith(("application/json", "image/", "application/zip"))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "set-cookie" not in headers


def test_prompts_come_back_as_they_went_in(world: World) -> None:
    world.http.patch("/api/v1/settings", json={"metadata": "full", "max_queue": 100})
    ids = []
    for prompt in PROMPTS:
        body = {"prompt": prompt, "width": 64, "height": 64, "steps": 1}
        answer = world.http.post("/api/v1/jobs", json=body)
        assert answer.status_code == 202, prompt
        safe(answer)
        assert answer.json()["request"]["prompt"] == prompt
        ids.append(answer.json()["id"])

    def all_done() -> bool:
        jobs = world.http.get("/api/v1/jobs", params={"limit": 100}).json()["jobs"]
        return all(job["state"] == "done" for job in jobs)

    until(all_done, 60)
    listed = world.http.get("/api/v1/images", params={"limit": 100})
    safe(listed)
    pictures = {picture["job_id"]: picture for picture in listed.json()["data"]}
    for prompt, job in zip(PROMPTS, ids, strict=True):
        picture = pictures[job]
        assert picture["prompt"] == prompt
        path = picture["file_url"].removeprefix("/pics")
        file = world.http.get(path, params={"download": True})
        safe(file)
        name = file.headers["content-disposition"]
        assert not set(name) & set("<>\r\n'`$&") - {"'"}, name
        assert inspect(file.content).settings.prompt == prompt
        packet = read_png_text(file.content)[XMP_KEY]
        ElementTree.fromstring(packet.encode())  # noqa: S314 - our own bytes


def test_errors_are_json_whatever_they_repeat(world: World) -> None:
    media = {"Content-Type": "application/json"}
    for prompt in PROMPTS:
        for body in (
            {"prompt": "a", "preset": prompt},
            {"prompt": "a", prompt: 1},
            {"prompt": "a", "model": prompt},
            {"prompt": prompt, "n": 99},
        ):
            content = json.dumps(body)
            answer = world.http.post("/v1/images/generations", content=content, headers=media)
            safe(answer)
            assert answer.status_code in (400, 404)
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
