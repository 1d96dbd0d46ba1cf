"""`mezzotint serve`: the model over HTTP, with its jobs and pictures in a data folder."""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mezzotint.cli import options as opt
from mezzotint.cli import server_options as srv
from mezzotint.cli.bundled import note_bundled
from mezzotint.cli.keys import DataDir, data_folder
from mezzotint.types import ConfigError

if TYPE_CHECKING:
    from mezzotint.config import Config, LoadedConfig
    from mezzotint.jobs.database import Database
    from mezzotint.server.history import History
    from mezzotint.server.keys import Keyring
    from mezzotint.server.run import Server
    from mezzotint.server.settings import Settings
    from mezzotint.server.source import RunnerSource, Served
    from mezzotint.server.watcher import Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What the command line says of the server; what it says of the model is in a Config."""

    host: str
    port: int
    api_key: str | None
    root_path: str
    allowed_hosts: Sequence[str]
    max_queue: int | None
    steps_range: str | None
    compat: Sequence[str]
    data_dir: Path | None
    open_page: bool
    replay: Path | None


def serve(
    model: opt.Model = None,
    variant: opt.Variant = None,
    host: srv.Host = "127.0.0.1",
    port: srv.Port = 7860,
    api_key: srv.ApiKey = None,
    root_path: srv.RootPath = "",
    allowed_host: srv.AllowedHost = None,
    max_queue: srv.MaxQueue = None,
    steps_range: srv.StepsRange = None,
    compat: srv.Compat = None,
    data_dir: DataDir = None,
    open_page: srv.Open = False,
    replay: srv.Replay = None,
    warm_up: srv.WarmUp = None,
    device: opt.Device = None,
    precision: opt.Precision = None,
    memory: opt.Memory = None,
    threads: opt.Threads = None,
) -> None:
    """Serve a web page, and an API for any OpenAI client, over HTTP.

    Answers at once and loads the weights meanwhile. Only this machine reaches it, unless there is
    a key and --host says otherwise. SIGTERM lets running pictures finish.

    \b
    mezzotint serve --model Tongyi-MAI/Z-Image-Turbo
    mezzotint keys add alice && mezzotint serve --host 0.0.0.0
    MEZZOTINT_API_KEY=$(openssl rand -hex 32) mezzotint serve --host 0.0.0.0
    """
    source = {"model": model, "variant": variant, "warm_up": warm_up}
    machine = {"device": device, "precision": precision, "memory": memory, "threads": threads}
    given = _Given(
        host=host,
        port=port,
        api_key=api_key,
        root_path=root_path,
        allowed_hosts=allowed_host or (),
        max_queue=max_queue,
        steps_range=steps_range,
        compat=compat or (),
        data_dir=data_dir,
        open_page=open_page,
        replay=replay,
    )
    from mezzotint.config import load

    _serve(load({**source, **machine}), given)


def _serve(loaded: LoadedConfig, given: _Given) -> None:
    _need_server_packages()
    from mezzotint.models.locate import locate
    from mezzotint.server import logs
    from mezzotint.server.app import create_app
    from mezzotint.server.listener import address_of, listen
    from mezzotint.server.run import make_server
    from mezzotint.server.source import RunnerSource
    from mezzotint.workers.settle import settle

    path = locate(loaded.config.model)
    feed = _replayed(given.replay)
    with ExitStack() as stack:
        history = stack.enter_context(_open_history(given.data_dir))
        database = history.gallery.database
        config = _completed(loaded, database)
        keys = stack.enter_context(_open_keys(given.api_key, given.host, database))
        settings = _settings(given, loaded, config, keys)
        listener = stack.enter_context(listen(given.host, given.port))
        source = RunnerSource(lambda: _load(config, path), on_failure=lambda: _stop(server))
        app = create_app(source, settings, history, feed)
        source.when_open(lambda _: settle())  # all is imported by then
        url = address_of(listener) + settings.root_path
        server = make_server(app, lambda: _announce(url, config.model, given.open_page))
        logs.configure()
        server.run(sockets=[listener])
    _leave(source)


def _settings(given: _Given, loaded: LoadedConfig, config: Config, keys: Keyring) -> Settings:
    """What the server is told, checked."""
    from mezzotint.server.knobs import MAX_QUEUE
    from mezzotint.server.settings import Settings
    from mezzotint.server.tuning import start_values

    return Settings(
        keys=keys,
        aliases=_aliases(config.model),
        allowed_hosts=_allowed(given.host, given.allowed_hosts),
        root_path=_checked_root(given.root_path),
        compat=_checked_compat(given.compat),
        max_queue=given.max_queue or MAX_QUEUE,
        steps_range=_checked_range(given.steps_range),
        fixed=_fixed(loaded, max_queue=given.max_queue, steps_range=given.steps_range),
        running=start_values(config),
    )


def _replayed(recording: Path | None) -> Feed | None:
    if recording is None:
        return None
    from mezzotint.server.replay import ReplayFeed, read_recording

    return ReplayFeed(read_recording(recording))


def _completed(loaded: LoadedConfig, database: Database) -> Config:
    """What an admin changed over HTTP, and a server's own defaults, where nothing else counts."""
    from mezzotint.server.tuning import for_next_start

    stored = {"warm_up": "own"} | for_next_start(database)
    changed = {name: v for name, v in stored.items() if loaded.sources[name] == "default"}
    return loaded.config.model_copy(update=changed)


def _fixed(loaded: LoadedConfig, **flags: object) -> frozenset[str]:
    """Settings that no admin may change over HTTP: their values were given here."""
    named = {name for name, source in loaded.sources.items() if source != "default"}
    own = {"metadata"}  # of the server, whatever the configuration says of other commands
    return frozenset(named - own | {name for name, value in flags.items() if value is not None})


def _announce(url: str, model: str | None, open_page: bool) -> None:
    typer.echo(f"mezzotint: serving at {url}")
    if open_page:
        webbrowser.open(f"{url}/")  # on a machine without a browser it does nothing
    note_bundled(model, err=False)  # stderr holds the logs, one JSON document a line


def _need_server_packages() -> None:
    needed = ("fastapi", "msgspec", "orjson", "prometheus_client", "pybase64", "uvicorn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the server needs what is not installed: {', '.join(missing)}; "
            "install it with: pip install 'mezzotint[serve]'"
        )


@contextmanager
def _open_history(data_dir: Path | None) -> Iterator[History]:
    """Hold the data folder, and open the one database that keys, jobs and pictures share."""
    from mezzotint.jobs.database import Database
    from mezzotint.jobs.gallery import Gallery
    from mezzotint.server.history import History

    folder = data_folder(data_dir)
    with folder.locked(), Database(folder.database) as database:
        yield History(Gallery(database, folder.files))


@contextmanager
def _open_keys(flag: str | None, host: str, database: Database) -> Iterator[Keyring]:
    """Who may call: holders of stored and of given keys; anyone here, while there are none.

    Revoked keys count: whoever revokes the last one does not mean to open the server.
    """
    from mezzotint.config import KEY_VARIABLE
    from mezzotint.server.keys import FixedKeys, StoredKeys
    from mezzotint.server.listener import is_loopback

    given = [key for key in (flag, os.environ.get(KEY_VARIABLE)) if key is not None]
    with closing(StoredKeys(database, FixedKeys(given))) as keys:
        if not keys.required and not is_loopback(host):
            raise ConfigError(
                f"--host {host} opens the server to other machines and there is no key; make one "
                f"with `mezzotint keys add NAME` or set {KEY_VARIABLE}, or leave --host out to "
                "serve this machine alone"
            )
        yield keys


def _aliases(model: str | None) -> tuple[str, ...]:
    """The id a model was pulled by, and its last part; a path says nothing to clients."""
    if model is None or Path(model).expanduser().exists():
        return ()
    return (model, model.rpartition("/")[2])


def _allowed(host: str, names: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if not name or set(name) & set("*/:@ "):
            raise ConfigError(f"--allowed-host {name!r} is no host name; give one like pics.lan")
    return (host, *names)


def _checked_compat(names: Iterable[str]) -> frozenset[str]:
    for name in names:
        if name != "a1111":
            raise ConfigError(f"--compat {name!r} is not known; there is a1111")
    return frozenset(names)


def _checked_range(text: str | None) -> str:
    from mezzotint.server.open_steps import OFF, parse_range

    text = OFF if text is None else text
    try:
        parse_range(text)
    except ValueError as error:
        raise ConfigError(f"--steps-range {error}") from error
    return text


def _checked_root(path: str) -> str:
    # It stands in links, cookies and the page as it is: nothing that any of them would escape.
    if re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", path) is None:
        raise ConfigError(
            f"--root-path {path!r} is no path like /pictures, of letters, digits, '-', '_', '.' "
            "and '~'; correct it"
        )
    return path


def _load(config: Config, path: Path) -> Served:
    """Workers that begin to load: a process for each GPU, or one for the CPU."""
    from mezzotint.models.find import open_tokenizer
    from mezzotint.server.source import Served
    from mezzotint.workers.open import capacity, num_gpus, open_pool

    tokenize = open_tokenizer(path, config.variant)
    pool = open_pool(config)
    return Served(
        pool,
        lambda prompt: len(tokenize(prompt)),
        config.producer,
        lambda: pool.state,
        lambda: pool.loaded,
        bundled=config.model is None and config.random_weights is None,
        capacity=capacity(config, num_gpus(config)),
    )


def _stop(server: Server) -> None:
    server.should_exit = True


def _leave(source: RunnerSource) -> None:
    """End with what loading failed of, if it did."""
    if source.error is not None:
        raise source.error
    if source.loading:
        # Its thread is inside C++ code, which does not survive Python's own end. Workers end by
        # themselves once this process is gone.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
