"""Searches that take too long or are too many: each gets an answer that says so, and events are stored meanwhile."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.store.database import SearchTooLong
from dora_pipeline.intake.web import worker
from dora_pipeline_tests.intake_servers import Client, intake_in_process

NOON = 1_714_996_800
LIST = {"data": {"type": "dora_deployments_list_request", "attributes": {"query": "service:shop"}}}
VERSION = {"change_failure": True, "service": "shop", "env": "prod", "version": "1"}
PATCH = {"data": {"type": "dora_deployment_patch_request", "attributes": VERSION}}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Client, uvicorn.Server]]:
    """A client and the server of an intake that holds a deployment."""
    with intake_in_process(Home(tmp_path / "home")) as (url, server):
        client = Client(url)
        attributes = {"service": "shop", "env": "prod", "version": "1", "started_at": NOON, "finished_at": NOON}
        assert client.tell("deployment", **attributes).status_code == 200
        yield client, server
        client.close()


def test_a_search_that_takes_too_long_is_a_504_that_says_what_to_do(
    served: tuple[Client, uvicorn.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = served
    monkeypatch.setattr(worker, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(worker, "LEAST_SEARCH_SECONDS", 0.0)
    asked = (("POST", LIST), ("PATCH", PATCH))
    for answer in [client(method, "/api/v2/dora/deployments", body) for method, body in asked]:
        assert answer.status_code == 504
        assert answer.json() == {
            "errors": ["The search took more than 0 seconds; ask for fewer days, or for whole names"]
        }
        assert answer.headers["content-type"] == "application/vnd.api+json"
    assert client.tell("failure", team="a", started_at=NOON).status_code == 200
    monkeypatch.undo()
    assert client("POST", "/api/v2/dora/deployments", LIST).status_code == 200
    assert client("PATCH", "/api/v2/dora/deployments", PATCH).status_code == 202


def test_a_search_that_waits_too_long_for_others_is_a_503_that_clients_repeat(
    served: tuple[Client, uvicorn.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = served
    monkeypatch.setattr(worker, "SEARCH_SECONDS", 0.1)
    serving = server.config.app.state.worker  # type: ignore[union-attr]  # uvicorn takes other things, too
    monkeypatch.setattr(serving, "searching", asyncio.Semaphore(0))
    answer = client("POST", "/api/v2/dora/deployments", LIST)
    assert (answer.status_code, answer.json()) == (503, {"errors": ["Too many searches are under way. Try again"]})
    assert int(answer.headers["Retry-After"]) >= 1
    assert client.tell("failure", team="a", started_at=NOON).status_code == 200


def test_a_search_that_reads_and_finds_nothing_is_ended_by_the_database(tmp_path: Path) -> None:
    with EventStore(f"sqlite:///{tmp_path}/events.sqlite3") as store:
        store.append_many("deployment", [{"service": f"s{number}", "started_at": NOON} for number in range(3_000)])
        with pytest.raises(SearchTooLong):
            store.search("deployment", query="version:never", seconds=0)
        assert store.search("deployment", query="version:never") == []
        assert store.append("deployment", {"service": "next", "started_at": NOON}).sequence == 3_001
