"""What Hugging Face and ModelScope say a model repository holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import quote, urlencode

from mezzotint.models.hub_file import RemoteFile
from mezzotint.types import ModelError

if TYPE_CHECKING:
    import httpx2

Source = Literal["hf", "modelscope"]

# ModelScope cuts longer listings without saying so.
MODELSCOPE_MAX_FILES = 3000


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of one revision, and how to name that revision."""

    revision: str
    files: tuple[RemoteFile, ...]


def endpoint(source: Source) -> str:
    """The hub's address without a final slash: its library's own variable, or the public one."""
    if source == "hf":
        address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    else:
        address = (
            os.environ.get("MODELSCOPE_ENDPOINT")
            or os.environ.get("MODELSCOPE_DOMAIN")  # the older name
            or "https://modelscope.cn"
        )
    if not address.lower().startswith(("http://", "https://")):
        address = f"https://{address}"
    return address.rstrip("/")


def headers(source: Source) -> dict[str, str]:
    """The headers that show who asks, where the user is logged in; else none."""
    if source == "hf":
        from huggingface_hub import get_token

        token = get_token()
        return {"Authorization": f"Bearer {token}"} if token else {}
    token = os.environ.get("MODELSCOPE_API_TOKEN")
    # Its older routes know the cookie alone.
    return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else {}


def list_files(client: httpx2.Client, model_id: str, source: Source) -> Listing:
    """Ask the hub for the files of a model's current revision, in one request.

    Raises ModelError, with the remedy, when the hub is out of reach, does not know the model, or
    answers with something else than a listing.
    """
    try:
        return (_list_hf if source == "hf" else _list_modelscope)(client, model_id)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{endpoint(source)} answered with no listing of {model_id}; check that the endpoint "
            "variable names a hub"
        ) from error


def _list_hf(client: httpx2.Client, model_id: str) -> Listing:
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        raise ModelError(f"HF_HUB_OFFLINE forbids fetching {model_id}; unset it and pull again")
    base = endpoint("hf")
    answer = _get_json(client, f"{base}/api/models/{model_id}?blobs=true", model_id, "hf")
    revision = str(answer["sha"])
    files = [
        RemoteFile(
            path=str(entry["rfilename"]),
            size=int(entry["size"]),
            digest=str((entry.get("lfs") or {}).get("sha256") or entry.get("blobId") or ""),
            url=f"{base}/{model_id}/resolve/{revision}/{quote(entry['rfilename'])}",
        )
        for entry in answer["siblings"]
    ]
    return Listing(revision, tuple(files))


def _list_modelscope(client: httpx2.Client, model_id: str) -> Listing:
    base = f"{endpoint('modelscope')}/api/v1/models/{model_id}/repo"
    query = urlencode({"Revision": "master", "Recursive": "True"})
    answer = _get_json(client, f"{base}/files?{query}", model_id, "modelscope")
    entries = answer["Data"]["Files"]
    if len(entries) >= MODELSCOPE_MAX_FILES:
        raise ModelError(
            f"{model_id} has {MODELSCOPE_MAX_FILES} files or more, which ModelScope cannot list; "
            "pull it from hf"
        )
    files = [
        RemoteFile(
            path=str(entry["Path"]),
            size=int(entry["Size"]),
            digest=str(entry.get("Sha256") or ""),
            url=f"{base}?{urlencode({'Revision': 'master', 'FilePath': entry['Path']})}",
        )
        for entry in entries
        if entry.get("Type") != "tree"
    ]
    return Listing("master", tuple(files))


def _get_json(client: httpx2.Client, url: str, model_id: str, source: Source) -> Mapping[str, Any]:
    import httpx2

    try:
        response = client.get(url)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        _out_of_reach(source, error)
    if response.status_code in (401, 403, 404):
        _refused(response, model_id, source)
    if response.status_code != 200:
        raise ModelError(
            f"{endpoint(source)} answered HTTP {response.status_code} for {model_id}; try again "
            f"later or pull from {_other(source)}"
        )
    answer: Mapping[str, Any] = response.json()
    return answer


def _out_of_reach(source: Source, error: Exception) -> NoReturn:
    variable = "HF_ENDPOINT" if source == "hf" else "MODELSCOPE_ENDPOINT"
    raise ModelError(
        f"{endpoint(source)} is out of reach ({error}); check the network, set {variable} to a "
        f"mirror, or pull from {_other(source)}"
    ) from error


def _refused(response: httpx2.Response, model_id: str, source: Source) -> NoReturn:
    token = "HF_TOKEN" if source == "hf" else "MODELSCOPE_API_TOKEN"
    reason = response.headers.get("X-Error-Code", "")
    if response.status_code == 404 or reason == "RepoNotFound":
        raise ModelError(
            f"{endpoint(source)} knows no model {model_id}; check its spelling, pull from "
            f"{_other(source)}, or set {token} if it is private"
        )
    raise ModelError(
        f"{endpoint(source)} refuses {model_id} (HTTP {response.status_code}); accept the model's "
        f"terms on its page and set {token} to a token that may read it"
    )


def _other(source: Source) -> Source:
    return "modelscope" if source == "hf" else "hf"
