"""Datadog's own API client for Python against `dora serve`: it reads what it gets, and what it sends ends as rows."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ApiException, NotFoundException
from datadog_api_client.model_utils import OpenApiModel
from datadog_api_client.v2.api.dora_metrics_api import DORAMetricsApi
from datadog_api_client.v2.model.dora_deployment_patch_by_version_remediation_by_version import (
    DORADeploymentPatchByVersionRemediationByVersion,
)
from datadog_api_client.v2.model.dora_deployment_patch_by_version_request import DORADeploymentPatchByVersionRequest
from datadog_api_client.v2.model.dora_deployment_patch_by_version_request_attributes import (
    DORADeploymentPatchByVersionRequestAttributes,
)
from datadog_api_client.v2.model.dora_deployment_patch_by_version_request_data import (
    DORADeploymentPatchByVersionRequestData,
)
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

from dora_pipeline_tests.homes import TestHome, moment
from dora_pipeline_tests.intake_servers import API_KEY, APP_KEY, running_intake

SHA = "66adc9350f2cc9b250b69abddab733dd55e1a588"
STARTED = moment("2026-03-01 10:00:00")
FINISHED = moment("2026-03-01 10:10:00")
TAGS = ["region:eu", "language:java"]


@dataclass(frozen=True)
class Served:
    """An intake, and the home behind it."""

    home: TestHome
    url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = TestHome(tmp_path_factory.mktemp("served") / "home")
    home.select_events()
    with running_intake(home.home) as url:
        yield Served(home, url)


def client_of(url: str, api_key: str = API_KEY, app_key: str = APP_KEY) -> ApiClient:
    configuration = Configuration(host=url, api_key={"apiKeyAuth": api_key, "appKeyAuth": app_key})
    return ApiClient(configuration)


@pytest.fixture(autouse=True)
def _levels_of_loggers() -> Iterator[None]:
    """The client sets them for the whole process."""
    levels = {logger: logger.level for logger in map(logging.getLogger, ("urllib3", "datadog_api_client"))}
    yield
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.fixture
def api(served: Served) -> Iterator[DORAMetricsApi]:
    with client_of(served.url) as client:
        yield DORAMetricsApi(client)


def nanoseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000_000


def deployment(service: str, started: datetime = STARTED, **told: Any) -> DORADeploymentRequest:
    attributes = DORADeploymentRequestAttributes(
        service=service, started_at=nanoseconds(started), finished_at=nanoseconds(FINISHED), env="prod", **told
    )
    return DORADeploymentRequest(data=DORADeploymentRequestData(attributes=attributes))


def failure(services: list[str], started: datetime = STARTED, **told: Any) -> DORAFailureRequest:
    attributes = DORAFailureRequestAttributes(services=services, started_at=nanoseconds(started), env="prod", **told)
    return DORAFailureRequest(data=DORAFailureRequestData(attributes=attributes))


def deployments_found(**told: Any) -> DORAListDeploymentsRequest:
    return DORAListDeploymentsRequest(
        data=DORAListDeploymentsRequestData(
            type=DORAListDeploymentsRequestDataType("dora_deployments_list_request"),
            attributes=DORAListDeploymentsRequestAttributes(**told),
        )
    )


def failures_found(**told: Any) -> DORAListFailuresRequest:
    return DORAListFailuresRequest(
        data=DORAListFailuresRequestData(
            type=DORAListFailuresRequestDataType("dora_failures_list_request"),
            attributes=DORAListFailuresRequestAttributes(**told),
        )
    )


def understood(model: Any) -> Any:
    """The model, after a look that the client understood every part of it."""
    parts = [model]
    while parts:
        part = parts.pop()
        if isinstance(part, OpenApiModel):
            assert not part._unparsed, part
            parts += part._data_store.values()
        elif isinstance(part, list):
            parts += part
    return model


def test_a_deployment_is_got_and_listed_as_it_was_sent(api: DORAMetricsApi) -> None:
    git = DORAGitInfo(repository_url="https://bot:token@Git.example/Org/Shop.git", commit_sha=SHA)
    told = {"version": "1.2", "team": "till", "custom_tags": TAGS, "git": git}
    sent = understood(api.create_dora_deployment(deployment("got", id="deployment-that-is-got", **told)))
    assert (sent.data.id, str(sent.data.type)) == ("deployment-that-is-got", "dora_deployment")
    got = understood(api.get_dora_deployment("deployment-that-is-got")).data
    (listed,) = understood(api.list_dora_deployments(deployments_found(query="service:got"))).data
    for event in (got, listed):
        assert (event.id, str(event.type)) == ("deployment-that-is-got", "dora_deployment")
        attributes = event.attributes
        assert (attributes.service, attributes.env, attributes.version) == ("got", "prod", "1.2")
        assert (attributes.team, attributes.custom_tags) == ("till", TAGS)
        assert (attributes.started_at, attributes.finished_at) == (STARTED, FINISHED)
        assert attributes.git.commit_sha == SHA
        assert attributes.git.repository_id == "git.example/org/shop"


def test_lists_know_times_queries_order_and_limits(api: DORAMetricsApi) -> None:
    for minute in range(4):
        started = STARTED.replace(minute=minute)
        api.create_dora_deployment(deployment("listed", started, version=f"1.{minute}"))

    def versions(**told: Any) -> list[str]:
        found = api.list_dora_deployments(deployments_found(**{"query": "service:listed", **told}))
        return [event.attributes.version for event in understood(found).data]

    assert versions() == ["1.3", "1.2", "1.1", "1.0"]
    assert versions(sort="started_at", limit=2) == ["1.0", "1.1"]
    assert versions(query="service:listed version:(1.0 OR 1.3) env:prod") == ["1.3", "1.0"]
    assert versions(query="service:lis* -version:1.3") == ["1.2", "1.1", "1.0"]
    window = {"_from": STARTED.replace(minute=1), "to": STARTED.replace(minute=2)}
    assert versions(**window) == ["1.2", "1.1"]


def test_a_failure_is_got_and_listed_as_it_was_sent_and_its_end_is_told_later(api: DORAMetricsApi) -> None:
    told = {"name": "No sales", "severity": "SEV-1", "team": "till", "version": "1.2", "custom_tags": TAGS}
    git = DORAGitInfo(repository_url="git@git.example:Org/Shop.git", commit_sha=SHA)
    opened = understood(api.create_dora_failure(failure(["shop", "till"], git=git, **told))).data
    closed = api.create_dora_failure(failure(["shop", "till"], finished_at=nanoseconds(FINISHED))).data
    assert opened.id == closed.id
    got = understood(api.get_dora_failure(opened.id)).data
    (listed,) = understood(api.list_dora_failures(failures_found(query="severity:SEV-1"))).data
    for event in (got, listed):
        assert (event.id, str(event.type)) == (opened.id, "dora_failure")
        attributes = event.attributes
        assert (attributes.services, attributes.env, attributes.team) == (["shop", "till"], "prod", "till")
        assert (attributes.name, attributes.severity, attributes.version) == ("No sales", "SEV-1", "1.2")
        assert (attributes.started_at, attributes.finished_at) == (STARTED, FINISHED)
        assert attributes.custom_tags == TAGS
        assert attributes.git.commit_sha == SHA


def test_the_old_name_of_failures_is_understood(api: DORAMetricsApi) -> None:
    with pytest.warns(DeprecationWarning, match="create_dora_incident is deprecated"):
        sent = api.create_dora_incident(failure(["incident"])).data
    assert understood(api.get_dora_failure(sent.id)).data.attributes.services == ["incident"]


def test_what_is_deleted_is_gone(api: DORAMetricsApi) -> None:
    deployed = api.create_dora_deployment(deployment("deleted")).data.id
    failed = api.create_dora_failure(failure(["deleted"])).data.id
    assert api.delete_dora_deployment(deployed) is None
    assert api.delete_dora_failure(failed) is None
    for get, event_id in ((api.get_dora_deployment, deployed), (api.get_dora_failure, failed)):
        with pytest.raises(NotFoundException):
            get(event_id)
    assert api.list_dora_deployments(deployments_found(query="service:deleted")).data == []


def test_a_deployment_is_marked_as_a_failure_by_id_and_by_version(api: DORAMetricsApi) -> None:
    bad = api.create_dora_deployment(deployment("marked", version="2")).data.id
    good = api.create_dora_deployment(deployment("marked", STARTED.replace(minute=5), version="1")).data.id
    kind = DORADeploymentPatchRemediationType("rollback")
    by_id = DORADeploymentPatchRequest(
        data=DORADeploymentPatchRequestData(
            id=bad,
            type=DORADeploymentPatchRequestDataType("dora_deployment_patch_request"),
            attributes=DORADeploymentPatchRequestAttributes(
                change_failure=True, remediation=DORADeploymentPatchRemediation(id=good, type=kind)
            ),
        )
    )
    assert api.patch_dora_deployment(bad, by_id) is None
    marked = understood(api.get_dora_deployment(bad)).data.attributes
    assert (marked["change_failure"], marked["remediation"]) == (True, {"id": good, "type": "rollback"})
    by_version = DORADeploymentPatchByVersionRequest(
        data=DORADeploymentPatchByVersionRequestData(
            type=DORADeploymentPatchRequestDataType("dora_deployment_patch_request"),
            attributes=DORADeploymentPatchByVersionRequestAttributes(
                change_failure=True,
                service="marked",
                env="prod",
                version="1",
                remediation=DORADeploymentPatchByVersionRemediationByVersion(version="2", type=kind),
            ),
        )
    )
    assert api.patch_dora_deployment_by_version(by_version) is None
    marked = understood(api.get_dora_deployment(good)).data.attributes
    assert (marked["change_failure"], marked["remediation"]) == (True, {"id": bad, "type": "rollback"})


@pytest.mark.parametrize(("api_key", "app_key"), [("wrong" * 7, APP_KEY), (API_KEY, "wrong" * 7)])
def test_a_wrong_key_is_an_error_of_the_client_with_403(served: Served, api_key: str, app_key: str) -> None:
    with client_of(served.url, api_key, app_key) as client, pytest.raises(ApiException) as refused:
        DORAMetricsApi(client).get_dora_deployment("deployment-that-is-got")
    assert refused.value.status == 403
    ((said,),) = refused.value.body.values()
    assert said.startswith("Forbidden: the key in DD-A")


def test_a_mistake_is_an_error_of_the_client_with_a_sentence(api: DORAMetricsApi) -> None:
    with pytest.raises(ApiException) as refused:
        api.create_dora_deployment(deployment("mistaken", id="short"))
    assert refused.value.status == 400
    (error,) = refused.value.body["errors"]
    assert (error["status"], error["title"]) == ("400", "Bad Request")


def test_what_was_sent_are_the_rows_after_a_run(served: Served, api: DORAMetricsApi) -> None:
    git = DORAGitInfo(repository_url="https://git.example/Org/Shop.git", commit_sha=SHA)
    told = {"team": "till", "version": "1.2", "custom_tags": TAGS, "git": git}
    first = api.create_dora_deployment(deployment("rows", **told)).data.id
    bare = api.create_dora_deployment(deployment("rows", STARTED.replace(minute=1))).data.id
    named = {"name": "No sales", "severity": "SEV-1", **told}
    api.create_dora_failure(failure(["rows", "rows-too"], **named))
    failed = api.create_dora_failure(failure(["rows", "rows-too"], finished_at=nanoseconds(FINISHED))).data.id
    opened = api.create_dora_failure(failure(["rows"], STARTED.replace(minute=2))).data.id
    served.home.run()
    columns = "env, version, team, repository_id, commit_sha, started_at, finished_at, custom_tags"
    full = ("prod", "1.2", "till", "git.example/org/shop", SHA, STARTED, FINISHED, TAGS)
    assert served.home.rows(
        f"SELECT deployment_id, {columns} FROM core.deployments WHERE service = 'rows' ORDER BY started_at"
    ) == [(first, *full), (bare, "prod", None, None, None, None, STARTED.replace(minute=1), FINISHED, [])]
    assert served.home.rows(
        f"SELECT failure_id, service, name, severity, {columns}, time_to_restore_seconds FROM core.failures "
        "WHERE service LIKE 'rows%' ORDER BY started_at, service"
    ) == [
        (failed, "rows", "No sales", "SEV-1", *full, 600.0),
        (failed, "rows-too", "No sales", "SEV-1", *full, 600.0),
        (opened, "rows", None, None, "prod", None, None, None, None, STARTED.replace(minute=2), None, [], None),
    ]
    assert served.home.rows("SELECT * FROM core.rejected_events WHERE service LIKE 'rows%'") == []
