"""Who may ask the intake, how often, and where keys must never be."""

import hmac
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dora_pipeline.config import Home
from dora_pipeline_tests.certificates import issued
from dora_pipeline_tests.intake_servers import API_KEY, APP_KEY, Client, running_intake, started_intake

NOON = 1_714_996_800
GOOD = {"data": {"attributes": {"service": "shop", "started_at": NOON, "finished_at": NOON}}}
SECOND_API_KEY = "another-api-key-of-the-tests-0123"
NO_API_KEY = "DD-API-KEY is missing"
NO_APP_KEY = "DD-APPLICATION-KEY is missing"
WRONG_API_KEY = "the key in DD-API-KEY is none of those in the intake's DORA_INTAKE_API_KEYS"
WRONG_APP_KEY = "the key in DD-APPLICATION-KEY is none of those in the intake's DORA_INTAKE_APP_KEYS"
SENDING = [("POST", "/api/v2/dora/deployment"), ("POST", "/api/v2/dora/failure"), ("POST", "/api/v2/dora/incident")]
READING = [
    ("POST", "/api/v2/dora/deployments"),
    ("POST", "/api/v2/dora/failures"),
    ("GET", "/api/v2/dora/deployments/some-id-0123456789"),
    ("GET", "/api/v2/dora/failures/some-id-0123456789"),
    ("DELETE", "/api/v2/dora/deployment/some-id-0123456789"),
    ("DELETE", "/api/v2/dora/failure/some-id-0123456789"),
    ("PATCH", "/api/v2/dora/deployments/some-id-0123456789"),
    ("PATCH", "/api/v2/dora/deployments"),
]
WRONG = "a-wrong-key-that-nobody-has-0123"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home(tmp_path_factory.mktemp("served") / "home")
    with running_intake(home, "--rate-limit", "0", api_keys=[API_KEY, SECOND_API_KEY]) as url:
        yield url


def forbidden(fault: str) -> tuple[int, Any]:
    """The answer that says what is the matter with the keys, in the shape of Datadog's."""
    return 403, {"errors": [f"Forbidden: {fault}"]}


def told(client: Client, method: str, path: str, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer to a good body; the client is used once."""
    answer = client(method, path, GOOD if method in ("POST", "PATCH") else None, **headers)
    client.close()
    return answer.status_code, answer.json() if answer.content else None


@pytest.mark.parametrize(("method", "path"), [*SENDING, ("POST", "/api/v2/webhook/"), ("POST", "/api/v2/webhook")])
@pytest.mark.parametrize("key", [None, "", WRONG, APP_KEY, API_KEY[:-1], API_KEY + "x", API_KEY.upper(), "\xe9" * 20])
def test_sending_without_a_right_api_key_is_forbidden(url: str, method: str, path: str, key: str | None) -> None:
    # More than 60 wrong keys a minute are another matter.
    address = f"10.0.0.{sum(map(ord, f'{path}{key}')) % 250}"
    assert told(Client(url, key, None), method, path, X_Forwarded_For=address) == forbidden(
        WRONG_API_KEY if key else NO_API_KEY
    )


@pytest.mark.parametrize(("method", "path"), READING)
def test_reading_and_changing_need_both_keys(url: str, method: str, path: str) -> None:
    def answer(api_key: str | None, app_key: str | None) -> tuple[int, Any]:
        address = f"10.0.1.{sum(map(ord, method + path)) % 250}"
        return told(Client(url, api_key, app_key), method, path, X_Forwarded_For=address)

    assert answer(None, None) == (401, {"errors": [f"Unauthorized: {NO_API_KEY}; {NO_APP_KEY}"]})
    assert answer(API_KEY, None) == forbidden(NO_APP_KEY)
    assert answer(None, APP_KEY) == forbidden(NO_API_KEY)
    assert answer(WRONG, APP_KEY) == forbidden(WRONG_API_KEY)
    assert answer(API_KEY, WRONG) == forbidden(WRONG_APP_KEY)
    assert answer(APP_KEY, API_KEY) == forbidden(f"{WRONG_API_KEY}; {WRONG_APP_KEY}")
    assert answer(API_KEY, APP_KEY)[0] in (400, 404)
    assert answer(SECOND_API_KEY, APP_KEY)[0] in (400, 404)


@pytest.mark.parametrize("key", [API_KEY, SECOND_API_KEY])
def test_an_api_key_alone_may_send(url: str, key: str) -> None:
    assert told(Client(url, key, None), "POST", "/api/v2/dora/deployment")[0] == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
def test_operators_need_no_key(url: str, path: str) -> None:
    client = Client(url, None, None)
    assert client("GET", path).status_code == 200
    client.close()


def test_keys_are_in_no_file_no_log_no_answer_and_no_process_that_the_server_starts(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    keys = (API_KEY, APP_KEY, WRONG, "a-webhook-secret-0815")
    variables = {"PAGERDUTY_WEBHOOK_SECRETS": keys[3]}
    with started_intake(home, workers=2, variables=variables) as intake:
        answers = []
        for api_key, app_key in ((API_KEY, APP_KEY), (WRONG, WRONG), (None, None)):
            client = Client(intake.url, api_key, app_key)
            for method, path in (*SENDING, *READING, ("GET", "/metrics"), ("GET", f"/api_key={API_KEY}")):
                answers.append(client(method, f"{path}?api_key={API_KEY}", {"data": {"attributes": 1}}).text)
            answers.append(client("POST", "/api/v2/webhook", b"{"))
            client.close()
        # What a process that the server starts was given.
        children = [Path("/proc", child) for child in intake.children()]
        assert len(children) >= 2
        given = [(child / name).read_bytes() for child in children for name in ("environ", "cmdline")]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"GET /metrics 200" in content for content in written)
    for key in keys:
        assert not any(key.encode() in content for content in (*written, *given))
        assert key not in intake.announced
        assert not any(key in str(answer) for answer in answers)


def test_more_requests_than_the_limit_get_429_with_its_headers(tmp_path: Path) -> None:
    keys = [API_KEY, SECOND_API_KEY]
    with running_intake(Home(tmp_path / "home"), "--rate-limit", "5", api_keys=keys) as url:
        client, other = Client(url), Client(url, SECOND_API_KEY)
        answers = [client.tell("deployment", service="shop", started_at=NOON, finished_at=NOON) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
        assert answers[-1].json() == {"errors": ["Too many requests"]}
        headers = answers[-1].headers
        assert {name: headers[name] for name in ("X-RateLimit-Limit", "X-RateLimit-Period")} == {
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Period": "60",
        }
        assert headers["X-RateLimit-Remaining"] == "0"
        assert headers["Retry-After"] == headers["X-RateLimit-Reset"]
        assert 1 <= int(headers["Retry-After"]) <= 12
        # Another key has an allowance of its own.
        assert other("GET", "/api/v2/dora/deployments/unknown-0123456789").status_code == 404
        client.close()
        other.close()


def test_wrong_keys_are_limited_by_address_and_right_ones_are_not(tmp_path: Path) -> None:
    with running_intake(Home(tmp_path / "home")) as url:
        wrong, right = Client(url, WRONG, None), Client(url)
        statuses = [wrong("POST", "/api/v2/dora/deployment", GOOD).status_code for _ in range(63)]
        assert statuses[:60] == [403] * 60
        assert statuses[-1] == 429
        refused = wrong("POST", "/api/v2/dora/deployment", GOOD)
        assert refused.json() == {"errors": ["Too many requests with wrong keys"]}
        assert re.fullmatch(r"\d+", refused.headers["Retry-After"])
        assert right("POST", "/api/v2/dora/deployment", GOOD).status_code == 200
        elsewhere = wrong("POST", "/api/v2/dora/deployment", GOOD, X_Forwarded_For="192.0.2.1")
        assert elsewhere.status_code == 403
        wrong.close()
        right.close()


# PagerDuty's webhooks


def _delivery(event_type: str) -> bytes:
    return json.dumps({"event": {"id": "01DELIVERY", "event_type": event_type, "data": {"id": "P1"}}}).encode()


def _signature(secret: str, content: bytes) -> str:
    return "v1=" + hmac.new(secret.encode(), content, "sha256").hexdigest()


def test_a_delivery_is_kept_once_with_its_environment(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with running_intake(home) as url:
        client = Client(url, API_KEY, None)
        for path, env in (("/api/v2/webhook/", "prod"), ("/api/v2/webhook", "staging"), ("/api/v2/webhook/", "")):
            attempt = f"attempt-at-{path}-{env}"
            answer = client("POST", path, _delivery("incident.triggered"), X_Webhook_Id=attempt, dd_env=env)
            assert (answer.status_code, answer.content) == (202, b"")
        assert client("POST", "/api/v2/webhook/", _delivery("pagey.ping")).status_code == 202
        wrong = client("POST", "/api/v2/webhook/", b'{"messages": []}')
        assert wrong.status_code == 400
        assert "v3" in wrong.json()["errors"][0]["detail"]
        client.close()
    with sqlite3.connect(home.intake / "events.sqlite3") as connection:
        ((kind, event_id, attributes),) = connection.execute(
            "SELECT event_type, event_id, attributes FROM intake_events"
        ).fetchall()
    assert (kind, event_id) == ("delivery", "01DELIVERY")
    assert json.loads(attributes) == {"env": "prod", "event": json.loads(_delivery("incident.triggered"))["event"]}


def test_a_delivery_must_be_signed_where_secrets_are_configured(tmp_path: Path) -> None:
    variables = {"PAGERDUTY_WEBHOOK_SECRETS": "the-old-secret, the-new-secret"}
    content = _delivery("incident.triggered")
    with running_intake(Home(tmp_path / "home"), variables=variables) as url:
        client = Client(url, API_KEY, None)

        def status(**headers: str) -> int:
            return client("POST", "/api/v2/webhook/", content, **headers).status_code

        assert status() == 403
        assert status(X_PagerDuty_Signature=_signature("another-secret", content)) == 403
        assert status(X_PagerDuty_Signature=_signature("the-new-secret", content + b" ")) == 403
        assert status(X_PagerDuty_Signature=_signature("the-old-secret", content)) == 202
        both = f"{_signature('rotated-away', content)},{_signature('the-new-secret', content)}"
        assert status(X_PagerDuty_Signature=both) == 202
        client.close()


# TLS


def test_tls_is_spoken_with_the_given_certificate(tmp_path: Path) -> None:
    certificates = issued(tmp_path / "certificates", "127.0.0.1", "api.dora.test")
    with running_intake(Home(tmp_path / "home"), tls=certificates, workers=2) as url:
        assert url.startswith("https://127.0.0.1:")
        client = Client(url, authority=certificates.authority)
        assert client.tell("deployment", service="shop", started_at=NOON, finished_at=NOON).status_code == 200
        client.close()
