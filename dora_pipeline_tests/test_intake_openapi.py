"""The served OpenAPI document against the server: requests made from it get documented answers, and never 5xx."""

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dora_pipeline.config import Home
from dora_pipeline_tests.examples import examples
from dora_pipeline_tests.intake_servers import API_KEY, APP_KEY, running_intake
from dora_pipeline_tests.waiting import PATIENCE

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_intake(Home(tmp_path_factory.mktemp("served") / "home"), "--rate-limit", "0") as url:
        yield url


@pytest.fixture(scope="module")
def document(url: str) -> schemathesis.BaseSchema:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    schema.validate()
    return schema


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_no_request_gets_5xx_or_an_undocumented_answer(
    document: schemathesis.BaseSchema, url: str, mode: schemathesis.GenerationMode
) -> None:
    answered: set[tuple[str, int]] = set()
    for result in document.get_all_operations():
        operation = result.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and not operation.body:
            continue

        @seed(20261123)
        @settings(
            max_examples=examples(6),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            case.headers = {**(case.headers or {}), "DD-API-KEY": API_KEY, "DD-APPLICATION-KEY": APP_KEY}
            answer = case.call(base_url=url)
            answered.add((case.operation.label, answer.status_code))
            case.validate_response(answer, checks=CHECKS)

        ask()
    good = {(f"POST /api/v2/dora/{kind}", 200) for kind in ("deployment", "deployments", "failure", "failures")}
    assert mode is schemathesis.GenerationMode.NEGATIVE or good <= answered


def test_every_route_is_in_the_document(document: schemathesis.BaseSchema) -> None:
    assert {result.ok().label for result in document.get_all_operations()} == {
        "POST /api/v2/dora/deployment",
        "POST /api/v2/dora/deployments",
        "PATCH /api/v2/dora/deployments",
        "GET /api/v2/dora/deployments/{deployment_id}",
        "PATCH /api/v2/dora/deployments/{deployment_id}",
        "DELETE /api/v2/dora/deployment/{deployment_id}",
        "POST /api/v2/dora/failure",
        "POST /api/v2/dora/incident",
        "POST /api/v2/dora/failures",
        "GET /api/v2/dora/failures/{failure_id}",
        "DELETE /api/v2/dora/failure/{failure_id}",
        "POST /api/v2/webhook/",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
    }


def test_requests_without_keys_get_documented_refusals(document: schemathesis.BaseSchema, url: str) -> None:
    for result in document.get_all_operations():
        operation = result.ok()
        answer = requests.request(operation.method, url + operation.path, timeout=PATIENCE)
        operation.validate_response(answer)
        is_open = operation.path in ("/healthz", "/readyz", "/metrics")
        assert answer.status_code == 200 if is_open else answer.status_code in (401, 403)
