"""What an admin may change of a running server: an allow-list, kept in the history."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mezzotint.config import Config
from mezzotint.jobs import settings as stored_settings
from mezzotint.jobs.database import Database
from mezzotint.server.knobs import BY_NAME, KNOBS, Knob, Live, Value
from mezzotint.server.open_steps import OFF, parse_range
from mezzotint.types import ConfigError, RequestError

_MAX_NAME = 64  # characters of an unknown one that an error repeats
_log = logging.getLogger(__name__)


class SettingError(RequestError):
    """A setting that cannot be changed, or not to this value."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class Tuning:
    """The settings that hold now; safe to read and change from any thread.

    Those that were changed live are in `now`; those for the next start wait in the history.
    """

    def __init__(
        self,
        start: Live,
        database: Database | None,
        *,
        fixed: frozenset[str] = frozenset(),
        running: Mapping[str, Value] | None = None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._database = database
        self._fixed = fixed  # given by whoever started the server
        self._running = dict(running or {})  # those that hold until the next start
        self._now_us = now_us
        self._lock = threading.Lock()
        self._watchers: list[Callable[[], None]] = []
        self._most_steps: int | None = None  # the model's limit, once there is one
        self._stored = {} if database is None else stored_values(database)
        live: dict[str, Any] = {
            n: v for n, v in self._stored.items() if BY_NAME[n].live and n not in fixed
        }
        self.now = replace(start, **live)

    def is_fixed(self, knob: Knob) -> bool:
        """Whether the command line, the environment or the configuration file decides it."""
        return knob.name in self._fixed

    def active(self, knob: Knob) -> Value:
        """What holds now."""
        value: Value = (
            getattr(self.now, knob.name)
            if knob.live
            else self._running.get(knob.name, knob.default)
        )
        return value

    def chosen(self, knob: Knob) -> Value:
        """What holds from the next start on."""
        if knob.live or self.is_fixed(knob):
            return self.active(knob)
        return self._stored.get(knob.name, self.active(knob))

    def fit(self, most_steps: int) -> None:
        """Hold ranges of steps to a model's limit from now on; ConfigError if they are beyond."""
        self._most_steps = most_steps
        problem = self._beyond(self.now.steps_range)
        if problem is not None:
            raise ConfigError(
                f"{problem}; start it with --steps-range {OFF}, or a range that it takes"
            )

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back after each change, from the thread that made it."""
        self._watchers.append(callback)

    def change(self, values: Mapping[str, object]) -> None:
        """Change all of these or none. SettingError names the first that cannot be."""
        checked = {name: self._checked(name, value) for name, value in values.items()}
        with self._lock:
            if self._database is not None:
                self._database.write(_store, checked, self._now_us())
            self._stored |= checked
            live: dict[str, Any] = {n: v for n, v in checked.items() if BY_NAME[n].live}
            self.now = replace(self.now, **live)
        for callback in self._watchers:
            callback()

    def _checked(self, name: str, value: object) -> Value:
        try:
            return self._check(name, value)
        except RequestError as error:
            raise SettingError(str(error), name[:_MAX_NAME]) from error

    def _check(self, name: str, value: object) -> Value:
        knob = BY_NAME.get(name)
        if knob is None:
            known = ", ".join(BY_NAME)
            raise RequestError(f"there is no setting of this name to change; there are {known}")
        if self.is_fixed(knob):
            raise RequestError(
                f"{name} was given when the server was started; leave it out there to change it"
            )
        checked = knob.check(value)
        problem = self._beyond(str(checked)) if name == "steps_range" else None
        if problem is not None:
            raise RequestError(f"{problem}; give fewer")
        return checked

    def _beyond(self, text: str) -> str | None:
        """What is wrong with a range for the model that is served, if something is."""
        bounds, most = parse_range(text), self._most_steps
        if bounds is None or most is None or bounds.max <= most:
            return None
        return f"steps_range {text} goes beyond the {most} steps that this model takes"


def stored_values(database: Database) -> dict[str, Value]:
    """The settings that were changed, without those that this version does not take."""
    found = {}
    for name, value in database.read(stored_settings.all_settings).items():
        try:
            found[name] = BY_NAME[name].check(value)
        except (KeyError, RequestError):
            _log.warning("a stored setting is not this version's", extra={"setting": name})
    return found


def for_next_start(database: Database) -> dict[str, Value]:
    """Stored settings of the configuration, which count where nothing else gives a value."""
    return {n: v for n, v in stored_values(database).items() if not BY_NAME[n].live}


def start_values(config: Config) -> dict[str, Value]:
    """What a configuration says of the settings that hold until the next start."""
    return {knob.name: getattr(config, knob.name) for knob in KNOBS if not knob.live}


def _store(connection: Any, values: Mapping[str, Value], now_us: int) -> None:
    for name, value in values.items():
        stored_settings.put(connection, name, value, now_us)
