"""Where the files of a storage lie: a folder, or a bucket of an object store that speaks S3.

What does not belong here: which files these are (`generations.py`).
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb

from dora_pipeline.config import secrets
from dora_pipeline.errors import StorageUnavailable
from dora_pipeline.files import sync_folder, whole_file

FILES = "files"
_SCHEME = "s3://"
_CONNECT_SECONDS = 10
_REQUEST_SECONDS = 60
_ATTEMPTS = 3


@dataclass(frozen=True)
class FileState:
    """What shows, without reading it, that a file has changed: its size, and when it was written."""

    bytes: int
    modified_ns: int


class Place(Protocol):
    """Files by their names below `address`, as DuckDB knows them. Methods raise OSError.

    `options` are what the library of Delta Lake needs to reach it.
    """

    address: str
    options: dict[str, str]

    def connect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read and write here."""

    def read(self, name: str) -> bytes | None:
        """The content of a file, None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Put a whole file in the place of another, at once."""

    def states(self) -> dict[str, FileState]:
        """The state of each file below `files/`, by its name."""

    def sync(self, names: Iterable[str]) -> None:
        """Bring files that DuckDB has written to the disk."""

    def remove(self, name: str) -> None:
        """Remove a file, unless that is done."""

    def folders(self) -> list[str]:
        """The names of the folders."""

    def make_folder(self, name: str) -> None:
        """Make a folder that files can be written into, unless it is there."""

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it, as far as that can be done."""


def open_place(address: str) -> Place:
    """The place with this address; nothing is contacted. Raises ConfigError where a secret is missing."""
    return Bucket(address) if address.startswith(_SCHEME) else Folder(address)


class Folder:
    """A folder, which must be there: what is mounted may be missing."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.options: dict[str, str] = {}
        self._path = Path(address)

    def connect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """As `Place` says."""
        if not self._path.is_dir():
            raise FileNotFoundError("this folder is not there: make it, or mount what is missing")
        (self._path / FILES).mkdir(exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """As `Place` says."""
        with suppress(FileNotFoundError):
            return (self._path / name).read_bytes()
        return None

    def write(self, name: str, content: bytes) -> None:
        """As `Place` says."""
        with whole_file(self._path / name) as file:
            file.write(content)

    def states(self) -> dict[str, FileState]:
        """As `Place` says."""
        found = ((path, path.stat()) for path in (self._path / FILES).rglob("*") if path.is_file())
        return {str(path.relative_to(self._path)): FileState(one.st_size, one.st_mtime_ns) for path, one in found}

    def sync(self, names: Iterable[str]) -> None:
        """As `Place` says."""
        written = [self._path / name for name in names]
        # A file is synchronized as a folder is.
        for path in (*written, *{path.parent for path in written}, self._path / FILES):
            sync_folder(path)

    def remove(self, name: str) -> None:
        """As `Place` says."""
        (self._path / name).unlink(missing_ok=True)

    def folders(self) -> list[str]:
        """As `Place` says."""
        return [entry.name for entry in os.scandir(self._path) if entry.is_dir()]

    def make_folder(self, name: str) -> None:
        """As `Place` says."""
        (self._path / name).mkdir(exist_ok=True)

    def remove_folder(self, name: str) -> None:
        """As `Place` says."""
        # A server may still write there.
        shutil.rmtree(self._path / name, ignore_errors=True)


class Bucket:
    """A part of a bucket, by PyArrow; what is written there is whole or not there.

    Secrets, region and the address of another store than Amazon's are those of the environment.
    """

    def __init__(self, address: str) -> None:
        # To import them takes longer than many a run.
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow import fs

        key, secret = secrets(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], f"engine.storage {address}")
        self.address = address.rstrip("/")
        self._root = self.address.removeprefix(_SCHEME)
        self._missing, self._directory, self._file = fs.FileType.NotFound, fs.FileType.Directory, fs.FileType.File
        self._top = fs.FileSelector(self._root, allow_not_found=True)
        self._selector = fs.FileSelector(f"{self._root}/{FILES}", allow_not_found=True, recursive=True)
        token, region = _variable("AWS_SESSION_TOKEN"), _variable("AWS_REGION", "AWS_DEFAULT_REGION")
        endpoint = _variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        named = {"access_key_id": key, "secret_access_key": secret, "session_token": token, "region": region}
        self.options = {f"aws_{name}": value for name, value in {**named, "endpoint": endpoint}.items() if value}
        if endpoint and endpoint.startswith("http:"):
            self.options["aws_allow_http"] = "true"
        self._store: Any = fs.S3FileSystem(
            access_key=key,
            secret_key=secret,
            session_token=token,
            region=region,
            endpoint_override=endpoint,
            connect_timeout=_CONNECT_SECONDS,
            request_timeout=_REQUEST_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
            # What is small is one request.
            allow_delayed_open=True,
        )
        self._wrapped: Any = ArrowFSWrapper(self._store)

    def connect(self, connection: duckdb.DuckDBPyConnection) -> None:
        """As `Place` says."""
        # A run publishes more than once, and a name may be registered once.
        if connection.filesystem_is_registered(self._wrapped.protocol):
            connection.unregister_filesystem(self._wrapped.protocol)
        connection.register_filesystem(self._wrapped)

    def read(self, name: str) -> bytes | None:
        """As `Place` says."""
        try:
            with self._store.open_input_stream(self._named(name)) as stream:
                content: bytes = stream.read()
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        """As `Place` says."""
        with self._store.open_output_stream(self._named(name)) as stream:
            stream.write(content)

    def states(self) -> dict[str, FileState]:
        """As `Place` says."""
        found = [info for info in self._store.get_file_info(self._selector) if info.type == self._file]
        return {info.path.removeprefix(f"{self._root}/"): FileState(info.size, info.mtime_ns) for info in found}

    def sync(self, names: Iterable[str]) -> None:
        """Nothing: an object store answers when it has a file."""

    def remove(self, name: str) -> None:
        """As `Place` says."""
        if self._store.get_file_info(self._named(name)).type != self._missing:
            self._store.delete_file(self._named(name))

    def folders(self) -> list[str]:
        """As `Place` says."""
        found = self._store.get_file_info(self._top)
        return [info.base_name for info in found if info.type == self._directory]

    def make_folder(self, name: str) -> None:
        """Nothing: names of objects need no folder."""

    def remove_folder(self, name: str) -> None:
        """As `Place` says."""
        with suppress(FileNotFoundError):
            self._store.delete_dir(self._named(name))

    def _named(self, name: str) -> str:
        return f"{self._root}/{name}"


@contextmanager
def explained(place: Place, advice: str) -> Iterator[None]:
    """Raise StorageUnavailable with the advice where the block cannot read or write the place."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        # What PyArrow raises comes out of DuckDB as the class of all its errors, with the whole trace.
        if not isinstance(error, (OSError, duckdb.IOException)) and type(error) is not duckdb.Error:
            raise
        lines = str(error).strip().splitlines()
        reason = lines[-1] if lines[0].startswith("Traceback") else lines[0]
        raise StorageUnavailable(f"engine.storage {place.address}: {reason}; {advice}") from error


def _variable(*names: str) -> str | None:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)
