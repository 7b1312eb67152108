"""A PostgreSQL server of our own, from the programs that Debian installs."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from dora_pipeline_tests.waiting import PATIENCE

_FOLDERS = "/usr/lib/postgresql"


class PostgresqlServer:
    """A server on a socket in a folder of its own; databases are new and empty, commits are on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._databases: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "fsync": "on",
            "max_wal_size": "64MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", self._data, *options], stdout=output, stderr=output, **_owner()
            )
        ready = [program("pg_isready"), "--quiet", "--host", str(self._folder), "--timeout", "1"]
        for _ in range(PATIENCE * 10):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        pytest.fail(f"PostgreSQL does not start: {log.read_text()}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT cuts its connections and ends in order, SIGQUIT ends at once as after a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def new_database(self) -> str:
        """The URL of a new database."""
        name = f"dora_{next(self._numbers)}"
        with self.connection() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        self._databases.append(name)
        return f"postgresql+psycopg://postgres@/{name}?host={self._folder}"

    def drop_databases(self) -> None:
        """Drop those that were made, whoever is still connected to them."""
        with self.connection() as connection:
            while self._databases:
                connection.execute(f"DROP DATABASE {self._databases.pop()} WITH (FORCE)")

    def connection(self) -> psycopg.Connection:
        """To the server itself; what is executed is done at once."""
        return psycopg.connect(host=self.host, user="postgres", dbname="postgres", autocommit=True)

    @property
    def host(self) -> str:
        """The folder of its socket."""
        return str(self._folder)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")


@contextmanager
def running_postgresql() -> Iterator[PostgresqlServer]:
    """A server that runs for the length of the block. Fails the test where its programs are missing."""
    folder = Path(tempfile.mkdtemp(prefix="dora-postgresql-"))
    owner = _owner()
    try:
        if owner:
            shutil.chown(folder, *owner.values())
        server = PostgresqlServer(folder)
        making = [program("initdb"), "--pgdata", str(folder / "data"), "--username", "postgres", "--auth", "trust"]
        making += ["--encoding", "UTF8", "--locale", "C"]
        subprocess.run(making, check=True, capture_output=True, cwd=folder, **owner)
        try:
            server.start()
            yield server
        finally:
            # In order it would first write what is thrown away with the folder.
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder)


def _owner() -> dict[str, str]:
    """Who runs the server, in the words of `subprocess`: the server refuses to be run by root."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


def program(name: str) -> str:
    """The path of a program of PostgreSQL's. Fails the test where it is missing."""
    folders = sorted(Path(_FOLDERS).glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    return shutil.which(name, path=path) or pytest.fail(f"{name} is missing: install Debian's package postgresql")
