"""The folder with Dagster's settings and history: `DAGSTER_HOME`, else `dagster/` in the home."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path

import filelock

from dora_pipeline.config import Home
from dora_pipeline.errors import ConfigError, DoraError
from dora_pipeline.files import write_whole
from dora_pipeline.yaml_files import read_yaml

_HEAD = "# Written by `dora dev`, which keeps it in step with the program until you change it. sha256 "
_SHIPPED = resources.files("dora_pipeline")
# Dagster's storage in SQLite of a folder that lasts; without DAGSTER_HOME Dagster makes itself one for the while.
_STORAGE = """
# In DAGSTER_HOME, in SQLite. What of the program is named here stores the events of many days together.
storage:
  custom:
    module: dora_pipeline.assets.event_storage
    class: Storage
    config:
      base_dir: {env: DAGSTER_HOME}
"""
_POSTGRESQL = "postgresql+psycopg2://"
# How many events of a run Dagster may hand to its storage at once.
_EVENTS_AT_ONCE = "1000"


class DagsterError(DoraError):
    """Dagster did not start, ended by itself, or runs already."""


class DagsterHome:
    """The folder of one home. Paths are absolute."""

    def __init__(self, home: Home) -> None:
        named = os.environ.get("DAGSTER_HOME", "").strip()
        self._warehouse = home.warehouse
        self.path = Path(named).expanduser().absolute() if named else home.path / "dagster"
        self.settings = self.path / "dagster.yaml"
        self.environment = {
            "DAGSTER_EVENT_BATCH_SIZE": _EVENTS_AT_ONCE,
            **os.environ,
            "DORA_HOME": str(home.path),
            "DAGSTER_HOME": str(self.path),
        }

    def make(self) -> bool:
        """Make the folder, and write the shipped settings into it. False where the user has settings of their own.

        Raises ConfigError for a folder that cannot be written, and where settings of the user name a variable of the
        environment that Dagster could do nothing with.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = self.settings.read_text(encoding="utf-8") if self.settings.exists() else None
            if known is not None and not _is_written_here(known):
                self._require_variables()
                return False
            shipped = (_SHIPPED / "dagster.yaml").read_text(encoding="utf-8") + _STORAGE
            text = f"{_HEAD}{_digest(shipped)}\n{shipped}"
            if known != text:
                # Half of them would be taken for the user's own.
                write_whole(self.settings, text.encode())
            return True
        except OSError as error:
            raise ConfigError(
                f"{error.filename or self.settings}: cannot be written: {error.strerror}; DORA_HOME, and DAGSTER_HOME "
                "where it is set, must be folders that this user can write, with space"
            ) from error

    def _require_variables(self) -> None:
        if any((folder / ".env").exists() for folder in (self.path, Path.cwd())):
            # Dagster takes variables from there, too.
            return
        for setting, name in _variables(read_yaml(self.settings)):
            value = self.environment.get(name)
            if value is None:
                raise ConfigError(f"{self.settings}: {setting}: the environment variable {name} is not set; set it")
            # By another driver Dagster starts, and does not hear what runs tell.
            if setting == "postgres_url" and not value.startswith(_POSTGRESQL):
                raise ConfigError(f"{name}: begins with something else than {_POSTGRESQL}, which Dagster needs here")

    def migrate(self) -> bool:
        """Bring the storage of another version of Dagster up to date. Whether that was needed.

        Raises DagsterError where Dagster could not do it.
        """
        noted, version = self.path / "dagster.version", metadata.version("dagster")
        known = noted.read_text(encoding="ascii").strip() if noted.exists() else None
        if known == version:
            return False
        is_used = known is not None or (self.path / "history").exists()
        if is_used:
            command = [sys.executable, "-m", "dagster", "instance", "migrate"]
            ended = subprocess.run(command, env=self.environment, cwd=self.path, capture_output=True, text=True)
            if ended.returncode:
                reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise DagsterError(f"{self.path}: Dagster {version} could not take over its storage: {reason}")
        noted.write_text(f"{version}\n", encoding="ascii")
        return is_used

    def show_loads(self) -> bool:
        """Have a new storage show the days that are loaded already, so that the first look at the page does.

        Whether it does now. What comes later, and what was missed here, is shown by the sensor `outside_loads`.
        """
        if (self.path / "history").exists() or not self._warehouse.exists():
            return False
        command = [sys.executable, "-m", "dora_pipeline.assets.outside_loads"]
        return not subprocess.run(command, env=self.environment, cwd=self.path, capture_output=True).returncode

    @contextlib.contextmanager
    def held(self, address: str) -> Iterator[None]:
        """Hold the folder for one `dora dev` with its page at `address`. Raises DagsterError where another holds it."""
        holder = self.path / "dora-dev.holder"
        lock = filelock.FileLock(self.path / "dora-dev.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise DagsterError(f"{self.path}: `dora dev` runs here already{_holder_text(holder)}") from None
        try:
            holder.write_text(json.dumps({"pid": os.getpid(), "address": address}), encoding="utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def workspace_file() -> Path:
    """The shipped list of code locations."""
    return Path(str(_SHIPPED / "workspace.yaml"))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _is_written_here(text: str) -> bool:
    head, _, body = text.partition("\n")
    return bool(re.fullmatch(re.escape(_HEAD) + "[0-9a-f]{64}", head)) and head.endswith(_digest(body))


def _variables(settings: object, setting: str = "") -> Iterator[tuple[str, str]]:
    """The variables of the environment that settings of Dagster name, each with the key that it is for."""
    if isinstance(settings, list):
        for one in settings:
            yield from _variables(one, setting)
    elif isinstance(settings, dict):
        if settings.keys() == {"env"} and isinstance(settings["env"], str):
            yield setting, settings["env"]
            return
        for key, value in settings.items():
            yield from _variables(value, str(key))


def _holder_text(holder: Path) -> str:
    try:
        owner: Mapping[str, object] = json.loads(holder.read_text(encoding="utf-8"))
        return f": process {owner['pid']}, {owner['address']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
