"""A store that speaks S3 on this machine, moto's server, with one bucket, and another client that looks at it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from dora_pipeline_tests.dagster_servers import free_port
from dora_pipeline_tests.waiting import eventually

SECRET = "not-to-be-seen-anywhere"
ADDRESS = "s3://figures/teams/dora"


@contextmanager
def running_store(port: int, log: Path) -> Iterator[Any]:
    """A store with an empty bucket, as a client of it; it keeps all in memory."""
    with log.open("ab") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        eventually(lambda: process.poll() is None and "Running on" in log.read_text(), "the store answers")
        client.create_bucket(Bucket="figures")
        yield client
    finally:
        process.kill()
        process.wait()


def named_store(monkeypatch: pytest.MonkeyPatch) -> int:
    """The port of a store that may be started, which the environment names with its keys."""
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return port


def objects(client: Any) -> dict[str, Any]:
    """The objects below the prefix by their names, with when they were written; not those that stand for folders."""
    found = client.get_paginator("list_objects_v2").paginate(Bucket="figures", Prefix="teams/dora/")
    every = [one for page in found for one in page["Contents"] if not one["Key"].endswith("/")]
    return {one["Key"].removeprefix("teams/dora/"): one["LastModified"] for one in every}


def manifest(client: Any) -> dict[str, Any]:
    """The manifest of the bucket."""
    content: dict[str, Any] = json.load(client.get_object(Bucket="figures", Key="teams/dora/manifest.json")["Body"])
    return content


def fetched(client: Any, folder: Path) -> Path:
    """A copy of the bucket."""
    for name in objects(client):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        client.download_file("figures", f"teams/dora/{name}", str(folder / name))
    return folder
