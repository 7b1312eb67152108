"""The intake over HTTP: recorded exchanges, what is stored and shown, and what the pipeline makes of it."""

import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.dora_metrics_api import DORAMetricsApi
from datadog_api_client.v2.model.dora_deployment_patch_remediation import DORADeploymentPatchRemediation
from datadog_api_client.v2.model.dora_deployment_patch_remediation_type import DORADeploymentPatchRemediationType
from datadog_api_client.v2.model.dora_deployment_patch_request import DORADeploymentPatchRequest
from datadog_api_client.v2.model.dora_deployment_patch_request_attributes import DORADeploymentPatchRequestAttributes
from datadog_api_client.v2.model.dora_deployment_patch_request_data import DORADeploymentPatchRequestData
from datadog_api_client.v2.model.dora_deployment_patch_request_data_type import DORADeploymentPatchRequestDataType
from datadog_api_client.v2.model.dora_deployment_request import DORADeploymentRequest
from datadog_api_client.v2.model.dora_deployment_request_attributes import DORADeploymentRequestAttributes
from datadog_api_client.v2.model.dora_deployment_request_data import DORADeploymentRequestData
from datadog_api_client.v2.model.dora_failure_request import DORAFailureRequest
from datadog_api_client.v2.model.dora_failure_request_attributes import DORAFailureRequestAttributes
from datadog_api_client.v2.model.dora_failure_request_data import DORAFailureRequestData
from datadog_api_client.v2.model.dora_git_info import DORAGitInfo
from datadog_api_client.v2.model.dora_list_deployments_request import DORAListDeploymentsRequest
from datadog_api_client.v2.model.dora_list_deployments_request_attributes import DORAListDeploymentsRequestAttributes
from datadog_api_client.v2.model.dora_list_deployments_request_data import DORAListDeploymentsRequestData
from datadog_api_client.v2.model.dora_list_deployments_request_data_type import DORAListDeploymentsRequestDataType
from datadog_api_client.v2.model.dora_list_failures_request import DORAListFailuresRequest
from datadog_api_client.v2.model.dora_list_failures_request_attributes import DORAListFailuresRequestAttributes
from datadog_api_client.v2.model.dora_list_failures_request_data import DORAListFailuresRequestData
from datadog_api_client.v2.model.dora_list_failures_request_data_type import DORAListFailuresRequestDataType

from dora_pipeline.config import Home
from dora_pipeline.intake.store import EventStore
from dora_pipeline_tests.homes import TestHome
from dora_pipeline_tests.intake_servers import API_KEY, APP_KEY, Client, running_intake

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "datadog" / "event_api.json").read_text(encoding="utf-8"))
SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"
NOON = 1_714_996_800  # 2024-05-06 12:00:00 UTC
PATCH = "dora_deployment_patch_request"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, str]]:
    """A home and its intake, for tests that each have services of their own."""
    home = Home(tmp_path_factory.mktemp("served") / "home")
    with running_intake(home, "--rate-limit", "0") as url:
        yield home, url


@pytest.fixture
def client(served: tuple[Home, str]) -> Iterator[Client]:
    client = Client(served[1])
    yield client
    client.close()


def patch(client: Client, path: str, attributes: dict[str, Any], **data: Any) -> Any:
    return client("PATCH", f"/api/v2/dora/{path}", {"data": {"type": PATCH, "attributes": attributes, **data}})


# recorded exchanges


def test_recorded_exchanges_get_the_recorded_answers(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with EventStore.at(home) as store:
        # What a recorded list tells of was there before.
        times = {"started_at": "2023-08-31T14:26:14Z", "finished_at": "2023-08-31T14:26:24Z"}
        told = {"service": "shopist", "env": "production", "team": "backend", "version": "v1.12.07", **times}
        store.append("deployment", told, event_id="abc-123")
    with running_intake(home) as url:
        client = Client(url)
        for recording in RECORDED:
            for exchange in recording["exchanges"]:
                answer = client(exchange["method"], exchange["url"], exchange["request"])
                expected = exchange["response"]
                told_id = exchange["request"]["data"]["attributes"].get("id")
                if exchange["status"] == 200 and isinstance(expected["data"], dict) and not told_id:
                    # Ids that the server chose are opaque.
                    expected["data"]["id"] = answer.json()["data"]["id"]
                assert (answer.status_code, answer.json()) == (exchange["status"], expected), recording["name"]
                assert answer.headers["content-type"] == "application/vnd.api+json"
        client.close()
    assert len(RECORDED) == 9


# telling


def test_a_retry_without_an_id_is_the_same_event(client: Client) -> None:
    told = {"service": "retried", "env": "prod", "started_at": NOON, "finished_at": NOON + 60, "version": "1"}
    answers = [client.tell("deployment", **told) for _ in range(3)]
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert len(client.found("deployment", query="service:retried")) == 1


def test_retries_at_the_same_time_are_one_event(served: tuple[Home, str]) -> None:
    clients = [Client(served[1]) for _ in range(8)]
    told = {"service": "raced", "env": "prod", "started_at": NOON, "finished_at": NOON + 60}
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda client: client.tell("deployment", **told).json()["data"]["id"], clients))
    assert len(set(ids)) == 1
    assert len(clients[0].found("deployment", query="service:raced")) == 1
    for client in clients:
        client.close()


def test_the_end_of_a_failure_is_told_by_services_env_and_start(client: Client) -> None:
    first = client.tell("failure", services=["ended"], env="prod", started_at=NOON, name="down").json()["data"]
    again = client.tell("incident", services=["ended"], env="prod", started_at=NOON, finished_at=NOON + 90)
    assert again.json()["data"] == first
    assert first["type"] == "dora_failure"
    (shown,) = client.found("failure", query="services:ended")
    assert shown["attributes"] == {
        "services": ["ended"],
        "env": "prod",
        "name": "down",
        "started_at": "2024-05-06T12:00:00Z",
        "finished_at": "2024-05-06T12:01:30Z",
    }


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (1_714_996_800, "2024-05-06T12:00:00Z"),
        (1_714_996_800_123, "2024-05-06T12:00:00.123000Z"),
        (1_714_996_800_123_456, "2024-05-06T12:00:00.123456Z"),
        (1_714_996_800_123_456_789, "2024-05-06T12:00:00.123456Z"),
        (1.714996800123e18, "2024-05-06T12:00:00.123000Z"),
        (1.7149968e9, "2024-05-06T12:00:00Z"),
        (7, "1970-01-01T00:00:07Z"),
        (-(2**63), "1677-09-21T00:12:43.145224Z"),
    ],
)
def test_times_are_whole_numbers_of_any_unit(client: Client, number: float, shown: str) -> None:
    told = client.tell("deployment", service="timed", started_at=number, finished_at=number)
    assert told.status_code == 200
    answer = client("GET", f"/api/v2/dora/deployments/{told.json()['data']['id']}")
    assert answer.json()["data"]["attributes"]["started_at"] == shown


def test_a_deployment_is_shown_as_the_read_model_has_it(client: Client) -> None:
    client.tell(
        "deployment",
        id="a-deployment-of-all",
        service=" whole ",
        env="prod",
        team="backend",
        version="v1",
        started_at=NOON,
        finished_at=NOON + 60,
        git={"repository_url": "https://robot:hunter2@github.com/Org/App.git", "commit_sha": SHA.upper()},
        custom_tags=["region:eu", "language:java"],
        something={"of": ["ours", 1, None]},
    )
    answer = client("GET", "/api/v2/dora/deployments/a-deployment-of-all")
    assert answer.json() == {
        "data": {
            "id": "a-deployment-of-all",
            "type": "dora_deployment",
            "attributes": {
                "service": "whole",
                "env": "prod",
                "team": "backend",
                "version": "v1",
                "started_at": "2024-05-06T12:00:00Z",
                "finished_at": "2024-05-06T12:01:00Z",
                "git": {
                    "repository_url": "https://github.com/Org/App.git",
                    "repository_id": "github.com/org/app",
                    "commit_sha": SHA.upper(),
                },
                "custom_tags": ["region:eu", "language:java"],
            },
        }
    }


def test_attributes_that_nobody_knows_are_kept(served: tuple[Home, str], client: Client) -> None:
    told = client.tell("deployment", service="odd", started_at=NOON, finished_at=NOON, something={"of": ["ours", 1.5]})
    with EventStore.at(served[0]) as store:
        event = store.get("deployment", told.json()["data"]["id"])
    assert event is not None
    assert event.attributes["something"] == {"of": ["ours", 1.5]}


WRITTEN = json.dumps({"data": {"attributes": {"service": "packed", "started_at": NOON, "finished_at": NOON}}}).encode()


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (WRITTEN, {"Content_Type": "application/vnd.api+json"}),
        (WRITTEN, {"Content_Type": "Application/JSON; charset=utf-8"}),
        (b"\xef\xbb\xbf" + WRITTEN, {}),
        (gzip.compress(WRITTEN), {"Content_Encoding": "gzip"}),
        (zlib.compress(WRITTEN), {"Content_Encoding": "deflate"}),
        (zlib.compress(WRITTEN, wbits=-15), {"Content_Encoding": "deflate"}),
        (WRITTEN + b" " * (1024 * 1024 - len(WRITTEN)), {}),
    ],
    ids=["JSON:API", "charset", "byte order mark", "gzip", "zlib", "deflate", "1 MiB"],
)
def test_bodies_of_every_usual_spelling_are_taken(client: Client, content: bytes, headers: dict[str, str]) -> None:
    assert client("POST", "/api/v2/dora/deployment", content, **headers).status_code == 200


def test_a_body_at_every_limit_is_taken(client: Client) -> None:
    deep: Any = 1
    for _ in range(28):
        deep = [deep]
    tags = [f"{number}:x" for number in range(100)]
    told = client.tell(
        "deployment",
        service="x" * 10_000,
        id="x" * 128,
        started_at=2**63 - 1,
        finished_at=-(2**63),
        git={"repository_url": "y", "commit_sha": "A" * 40},
        custom_tags=tags,
        deep=deep,
        wide=[1] * 850,
    )
    assert told.status_code == 200, told.text
    shown = client("GET", f"/api/v2/dora/deployments/{'x' * 128}").json()["data"]["attributes"]
    assert shown["git"] == {"repository_url": "y", "repository_id": "y", "commit_sha": "A" * 40}
    assert shown["custom_tags"] == tags


def test_half_of_an_emoji_becomes_the_replacement_character(client: Client) -> None:
    content = WRITTEN.replace(b'"packed"', b'"cut \\ud83d", "version": "\\ud83d\\ude80", "team": "\\ude80"')
    told = client("POST", "/api/v2/dora/deployment", content).json()["data"]["id"]
    shown = client("GET", f"/api/v2/dora/deployments/{told}").json()["data"]["attributes"]
    assert (shown["service"], shown["version"], shown["team"]) == ("cut \ufffd", "\U0001f680", "\ufffd")


def test_credentials_are_in_no_file_of_the_store(served: tuple[Home, str], client: Client) -> None:
    git = {"repository_url": "https://robot:planted-secret-4711@github.com/org/app", "commit_sha": SHA}
    note = "see https://robot:planted-secret-4711@github.com/org/app/issues"
    told = client.tell("deployment", service="secretive", started_at=NOON, finished_at=NOON, git=git, note=note)
    assert told.status_code == 200
    refused = client.tell("deployment", service="secretive", started_at="https://robot:planted-secret-4711@x/y")
    assert "planted-secret-4711" not in refused.text
    files = [path for path in served[0].intake.rglob("*") if path.is_file()]
    assert any(b"secretive" in path.read_bytes() for path in files)
    assert not any(b"planted-secret-4711" in path.read_bytes() for path in files)
    log = served[0].path.with_name("home-serve.log").read_bytes()
    assert b"planted-secret-4711" not in log


# listing


@pytest.fixture(scope="module")
def listed(served: tuple[Home, str]) -> None:
    client = Client(served[1])
    for hour in range(12):
        started = NOON + 3600 * hour
        env = "prod" if hour % 2 else "staging"
        client.tell(
            "deployment",
            service="listed" if hour < 11 else "unlisted",
            env=env,
            started_at=started,
            finished_at=started + 7200 - 600 * hour,
            version=f"v{hour}",
        )
    client.close()


@pytest.mark.parametrize(
    ("wanted", "versions"),
    [
        ({"query": "service:listed"}, ["v10", "v9", "v8", "v7", "v6", "v5", "v4", "v3", "v2", "v1"]),
        ({"query": "service:listed", "limit": 2}, ["v10", "v9"]),
        ({"query": "service:listed", "limit": 2, "sort": "started_at"}, ["v0", "v1"]),
        ({"query": "service:listed env:prod", "sort": "-finished_at", "limit": 2}, ["v9", "v7"]),
        ({"query": "service:(listed OR unlisted) version:(v11 OR v0)"}, ["v11", "v0"]),
        ({"query": "service:*listed -env:prod version:v1*"}, ["v10"]),
        (
            {"query": "service:listed", "from": "2024-05-06T15:00:00+01:00", "to": "2024-05-06T11:30:00-05:00"},
            ["v4", "v3", "v2"],
        ),
        ({"query": "service:listed", "from": "1970-01-01T00:00:00Z", "to": "2024-05-06T12:00:00Z"}, ["v0"]),
        ({"query": "service:listed", "from": "0001-01-01T00:00:00+23:00", "limit": 1}, ["v10"]),
        ({"query": "service:listed", "from": "2024-05-06T22:00:00z", "to": "9999-12-31T23:59:59Z"}, ["v10"]),
        ({"query": "service:listed", "from": "2024-05-07T00:00:00Z", "to": "2024-05-06T00:00:00Z"}, []),
        ({"query": "service:listed", "limit": 1.0, "next_token": "ignored"}, ["v10"]),
    ],
)
@pytest.mark.usefixtures("listed")
def test_a_list_finds(client: Client, wanted: dict[str, Any], versions: list[str]) -> None:
    assert [event["attributes"]["version"] for event in client.found("deployment", **wanted)] == versions


# changing


def test_deleting_is_answered_with_202_and_then_the_event_is_gone(client: Client) -> None:
    for kind, service in (("deployment", {"service": "gone"}), ("failure", {"services": ["gone"]})):
        event_id = client.tell(kind, **service, started_at=NOON, finished_at=NOON).json()["data"]["id"]
        answer = client("DELETE", f"/api/v2/dora/{kind}/{event_id}")
        assert (answer.status_code, answer.content) == (202, b"")
        assert client("GET", f"/api/v2/dora/{kind}s/{event_id}").status_code == 404
        assert client("DELETE", f"/api/v2/dora/{kind}/{event_id}").status_code == 404
        assert client.found(kind, query=f"service{'s' if kind == 'failure' else ''}:gone") == []


def test_a_patch_marks_a_failure_and_marks_it_as_stable_again(client: Client) -> None:
    told = client.tell("deployment", service="patched", env="prod", started_at=NOON, finished_at=NOON, version="1")
    path = f"deployments/{told.json()['data']['id']}"
    answer = patch(client, path, {"change_failure": True, "remediation": {"id": "eG42zNIkVjM", "type": "rollback"}})
    assert (answer.status_code, answer.json()) == (202, {"data": None})
    shown = client("GET", f"/api/v2/dora/{path}").json()["data"]["attributes"]
    assert shown["change_failure"] is True
    assert shown["remediation"] == {"id": "eG42zNIkVjM", "type": "rollback"}
    assert patch(client, path, {"change_failure": False}).status_code == 202
    shown = client("GET", f"/api/v2/dora/{path}").json()["data"]["attributes"]
    assert shown["change_failure"] is False
    assert "remediation" not in shown
    assert (shown["service"], shown["version"]) == ("patched", "1")


def test_a_patch_by_version_changes_the_one_that_finished_last(client: Client) -> None:
    ids = []
    for started, finished in ((0, 900), (60, 120), (120, 180)):
        times = {"started_at": NOON + started, "finished_at": NOON + finished}
        told = client.tell("deployment", service="versioned", env="prod", version="bad", **times)
        ids.append(told.json()["data"]["id"])
    cure = client.tell(
        "deployment", service="versioned", env="prod", version="good", started_at=NOON + 999, finished_at=NOON + 999
    )
    wanted = {"service": "versioned", "env": "prod", "version": "bad", "change_failure": True}
    answer = patch(client, "deployments", {**wanted, "remediation": {"version": "good", "type": "rollforward"}})
    assert (answer.status_code, answer.content) == (202, b"")
    found = {event["id"]: event["attributes"] for event in client.found("deployment", query="service:versioned")}
    assert found[ids[0]]["remediation"] == {"id": cure.json()["data"]["id"], "type": "rollforward"}
    assert [event_id for event_id, attributes in found.items() if attributes.get("change_failure")] == [ids[0]]


@pytest.mark.parametrize(
    ("path", "attributes", "data", "status", "details"),
    [
        ("deployments/unknown-0123456789", {"change_failure": True}, {}, 404, ["there is no deployment"]),
        ("deployments/refused-0123456789", {}, {}, 400, ['Missing required attribute in body: "change_failure"']),
        ("deployments/refused-0123456789", {"change_failure": "yes"}, {}, 400, ["must be true or false"]),
        (
            "deployments/refused-0123456789",
            {"change_failure": True},
            {"id": "another-0123456789"},
            400,
            ['"data.id" and the id in the path are not the same'],
        ),
        (
            "deployments/refused-0123456789",
            {"change_failure": True, "remediation": {"type": "rollback", "id": "a", "version": "b"}},
            {},
            400,
            ['attribute "remediation" must have either "id" or "version"'],
        ),
        (
            "deployments/refused-0123456789",
            {"change_failure": True, "remediation": {"type": "rollback"}},
            {},
            400,
            ['attribute "remediation" must have either "id" or "version"'],
        ),
        (
            "deployments/refused-0123456789",
            {"change_failure": True, "remediation": {"type": "rollback", "version": "never"}},
            {},
            400,
            ['no deployment of this service and env has version "never"'],
        ),
        (
            "deployments/refused-0123456789",
            {"change_failure": 1, "remediation": {"type": "x", "id": ""}},
            {"type": "dora_deployment"},
            400,
            [
                'got type "dora_deployment" expected one of "dora_deployment_patch_request"',
                'attribute "change_failure" must be true or false',
                'attribute "type" must be one of "rollback rollforward"',
                'attribute "remediation.id" must not be blank',
            ],
        ),
        (
            "deployments",
            {"change_failure": True, "service": "refused", "env": "prod", "version": "never"},
            {},
            404,
            ['there is no deployment of service "refused" in env "prod" with version "never"'],
        ),
        (
            "deployments",
            {"change_failure": True},
            {},
            400,
            ['body: "service"', 'body: "env"', 'body: "version"'],
        ),
    ],
)
def test_a_patch_is_refused(
    client: Client, path: str, attributes: dict[str, Any], data: dict[str, Any], status: int, details: list[str]
) -> None:
    client.tell("deployment", id="refused-0123456789", service="refused", env="prod", started_at=NOON, finished_at=NOON)
    answer = patch(client, path, attributes, **data)
    assert answer.status_code == status
    told = [error["detail"] for error in answer.json()["errors"]]
    assert len(told) == len(details)
    assert all(detail in one for one, detail in zip(told, details, strict=True)), told
    assert "change_failure" not in client("GET", "/api/v2/dora/deployments/refused-0123456789").text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/dora/deployments"),
        ("GET", "/api/v2/dora/failures"),
        ("PUT", "/api/v2/dora/deployment"),
        ("POST", "/api/v2/dora/deployment/"),
        ("PATCH", "/api/v2/dora/failures/some-failure-0123456789"),
        ("GET", "/api/v2/dora"),
        ("GET", "/docs"),
        ("GET", "/"),
    ],
)
def test_a_path_or_method_that_is_not_there_is_not_found(client: Client, method: str, path: str) -> None:
    answer = client(method, path)
    assert (answer.status_code, answer.json()) == (404, {"errors": ["Not found"]})


@pytest.mark.parametrize("path", ["deployments/unknown-0123456789", "failures/x", "deployments/%00", "failures/%ff"])
def test_an_unknown_id_is_not_found(client: Client, path: str) -> None:
    answer = client("GET", f"/api/v2/dora/{path}")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["status"], error["title"]) == (404, "404", "Not Found")


# the official client


def test_the_official_client_reads_every_answer(client: Client) -> None:
    configuration = Configuration(host=client.url)
    configuration.api_key = {"apiKeyAuth": API_KEY, "appKeyAuth": APP_KEY}
    git = DORAGitInfo(commit_sha=SHA, repository_url="https://robot:hunter2@github.com/Org/App")
    with ApiClient(configuration) as connection:
        api = DORAMetricsApi(connection)
        attributes = DORADeploymentRequestAttributes(
            service="official",
            started_at=NOON * 10**9,
            finished_at=(NOON + 60) * 10**9,
            env="prod",
            team="backend",
            version="v1",
            git=git,
            custom_tags=["a:b"],
        )
        told = api.create_dora_deployment(DORADeploymentRequest(data=DORADeploymentRequestData(attributes=attributes)))
        patched = DORADeploymentPatchRequestAttributes(
            change_failure=True,
            remediation=DORADeploymentPatchRemediation(version="v1", type=DORADeploymentPatchRemediationType.ROLLBACK),
        )
        data = DORADeploymentPatchRequestData(
            attributes=patched, id=told.data.id, type=DORADeploymentPatchRequestDataType.DORA_DEPLOYMENT_PATCH_REQUEST
        )
        api.patch_dora_deployment(told.data.id, DORADeploymentPatchRequest(data=data))
        one = api.get_dora_deployment(told.data.id)
        wanted = DORAListDeploymentsRequestAttributes(query="service:official")
        of_type = DORAListDeploymentsRequestDataType.DORA_DEPLOYMENTS_LIST_REQUEST
        data = DORAListDeploymentsRequestData(attributes=wanted, type=of_type)
        many = api.list_dora_deployments(DORAListDeploymentsRequest(data=data))
        assert many.data == [one.data]
        assert not one._unparsed
        assert not many._unparsed
        assert str(one.data.attributes.started_at) == "2024-05-06 12:00:00+00:00"
        assert one.data.attributes.git.repository_id == "github.com/org/app"
        assert one.data.attributes.change_failure is True
        failure = DORAFailureRequestAttributes(
            services=["official"], team="backend", env="prod", started_at=NOON * 1000, name="down", git=git
        )
        failed = api.create_dora_failure(DORAFailureRequest(data=DORAFailureRequestData(attributes=failure)))
        restored = api.get_dora_failure(failed.data.id)
        data = DORAListFailuresRequestData(
            attributes=DORAListFailuresRequestAttributes(query="services:official"),
            type=DORAListFailuresRequestDataType.DORA_FAILURES_LIST_REQUEST,
        )
        failures = api.list_dora_failures(DORAListFailuresRequest(data=data))
        assert failures.data == [restored.data]
        assert not restored._unparsed
        assert not failures._unparsed
        assert restored.data.attributes.services == ["official"]
        api.delete_dora_failure(failed.data.id)
        api.delete_dora_deployment(told.data.id)
    assert client.found("deployment", query="service:official") == []


# the pipeline


def test_what_was_sent_is_in_the_warehouse_after_a_run(home: TestHome) -> None:
    home.select_events()
    with running_intake(home.home) as url:
        client = Client(url)
        client.tell(
            "deployment",
            service="shop",
            env="prod",
            version="1",
            started_at=NOON,
            finished_at=NOON + 60,
            git={"repository_url": "git@github.com:Org/App.git", "commit_sha": SHA},
        )
        client.tell("failure", services=["shop", "cart"], env="prod", started_at=NOON, finished_at=NOON + 90)
        client.close()
    home.run()
    assert home.rows("SELECT service, env, version, repository_id, commit_sha FROM core.deployments") == [
        ("shop", "prod", "1", "github.com/org/app", SHA)
    ]
    assert home.rows("SELECT service, time_to_restore_seconds FROM core.failures ORDER BY 1") == [
        ("cart", 90.0),
        ("shop", 90.0),
    ]
    assert home.rows("SELECT * FROM core.rejected_events") == []


def test_what_the_wire_takes_and_the_rules_reject_is_answered_200_and_never_lost(home: TestHome) -> None:
    home.select_events()
    later = 4_102_444_800  # 2100-01-01
    with running_intake(home.home) as url:
        client = Client(url)
        answers = [
            client.tell("deployment", service="shop", env="prod", started_at=NOON, finished_at=NOON + 60),
            client.tell("deployment", service="shop", env="staging", started_at=NOON, finished_at=NOON + 61),
            client.tell("deployment", service="late", started_at=NOON + 60, finished_at=NOON),
            client.tell("deployment", service="future", started_at=later, finished_at=later),
            client.tell("deployment", service="old", started_at=7, finished_at=7),
            client.tell("deployment", service="typed", started_at=NOON, finished_at=NOON, env="x", service_=1),
            client.tell(
                "deployment",
                service="hashed",
                started_at=NOON,
                finished_at=NOON,
                git={"repository_url": "x", "commit_sha": "a" * 65},
            ),
            client.tell("failure", team="crew", service=5, started_at=NOON),
        ]
        client.close()
    assert [answer.status_code for answer in answers] == [200] * 8
    home.run()
    assert home.rows("SELECT service FROM core.deployments ORDER BY 1") == [("shop",), ("typed",)]
    rejected = home.rows("SELECT event_type, service, reason, payload FROM core.rejected_events ORDER BY 2, 1")
    assert [row[:3] for row in rejected] == [
        ("deployment", "future", "time_in_future"),
        ("deployment", "hashed", "field_type"),
        ("deployment", "late", "finished_before_started"),
        ("deployment", "old", "time_out_of_range"),
        ("deployment", "shop", "same_second"),
        ("failure", None, "field_type"),
    ]
    assert json.loads(rejected[3][3])["started_at"] == 7


def test_workers_share_one_store(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with running_intake(home, workers=3) as url:
        clients = [Client(url) for _ in range(12)]
        with ThreadPoolExecutor(12) as pool:
            jobs = [
                pool.submit(client.tell, "deployment", service=f"s{number}", started_at=NOON, finished_at=NOON + turn)
                for turn in range(5)
                for number, client in enumerate(clients)
            ]
            assert {job.result().status_code for job in jobs} == {200}
        assert len(clients[0].found("deployment", limit=1000)) == 12
        counted = clients[0]("GET", "/metrics").text
        for client in clients:
            client.close()
    assert 'dora_intake_events_total{event_type="deployment"} 60.0' in counted
    with sqlite3.connect(home.intake / "events.sqlite3") as connection:
        assert connection.execute("SELECT count(*) FROM intake_tellings").fetchone() == (60,)
