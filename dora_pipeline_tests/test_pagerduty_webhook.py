"""Deliveries of PagerDuty's webhooks as requests: signatures, ids, and what is kept of them."""

import json
from pathlib import Path

import pytest

from dora_pipeline.intake.store import EventStore
from dora_pipeline.intake.web.webhooks import Delivery, WrongDelivery, WrongSignature, delivery
from dora_pipeline_tests.homes import TestHome

# The test vector that PagerDuty publishes with its client for Go.
PUBLISHED_SECRET = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK"
PUBLISHED_SIGNATURE = "v1=0c0b9495b893a39e70d1fea2fe11fbe0a825f88b9f67846f6cc07dd2bc5476cd"
PUBLISHED = (Path(__file__).parent / "fixtures" / "pagerduty" / "signed_delivery.json").read_bytes()

# Signed on the command line: `openssl dgst -sha256 -hmac a-secret-of-tests`, and with `another-secret`.
SECRET, OTHER_SECRET = "a-secret-of-tests", "another-secret"
BODY = (
    '{"event":{"id":"01ABC","event_type":"incident.resolved","resource_type":"incident",'
    '"occurred_at":"2024-05-06T08:08:09.123Z","agent":null,"client":null,'
    '"data":{"id":"Q1","type":"incident","title":"Zahlung geht nicht – 支払い"}}}'
).encode()
SIGNATURE = "v1=2defcfbe6354f4ba48d2b7a70203b9c49a0f345b7eceee5f78c2887e22c74aaf"
OTHER_SIGNATURE = "v1=7c181d2353f36bebc636caac540a67d5df47d81ee161439526784d0c2ce49233"


def signed(signature: str) -> dict[str, str]:
    return {"X-PagerDuty-Signature": signature, "X-Webhook-Id": "webhook-1"}


def told(body: bytes = BODY, **headers: str) -> Delivery:
    result = delivery(body, {name.replace("_", "-"): value for name, value in headers.items()}, [])
    assert result is not None
    return result


def test_the_published_vector_is_accepted() -> None:
    result = delivery(PUBLISHED, signed(PUBLISHED_SIGNATURE), [PUBLISHED_SECRET])
    assert result is not None
    assert result.delivery_id == json.loads(PUBLISHED)["event"]["id"]
    assert result.attributes["event"]["data"]["conference_bridge"]["conference_number"] == 1000


@pytest.mark.parametrize(
    "header",
    [
        SIGNATURE,
        f"{OTHER_SIGNATURE},{SIGNATURE}",
        f"v1={'0' * 64}, {SIGNATURE} ",
        f"v2={'0' * 64},{SIGNATURE},v3=brand-new",
    ],
    ids=["alone", "second", "with_spaces", "beside_other_versions"],
)
def test_any_of_the_signatures_may_be_made_with_the_secret(header: str) -> None:
    assert delivery(BODY, signed(header), [SECRET]) is not None


def test_any_of_the_secrets_may_have_signed() -> None:
    assert delivery(BODY, signed(OTHER_SIGNATURE), [SECRET, OTHER_SECRET]) is not None


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (OTHER_SIGNATURE, "no signature in X-PagerDuty-Signature fits"),
        (f"v1={'0' * 64}", "no signature in X-PagerDuty-Signature fits"),
        (SIGNATURE[:-1], "no signature in X-PagerDuty-Signature fits"),
        ("v1=", "no signature in X-PagerDuty-Signature fits"),
        ("v1=ünreadable", "no signature in X-PagerDuty-Signature fits"),
        (SIGNATURE.replace("v1", "v2"), "no signature of version v1"),
        (SIGNATURE.removeprefix("v1="), "no signature of version v1"),
        ("", "no signature of version v1"),
    ],
    ids=["other_secret", "zeros", "cut", "blank", "not_ascii", "other_version", "no_version", "no_signature"],
)
def test_a_delivery_that_nobody_signed_whom_we_know_is_refused(header: str, reason: str) -> None:
    with pytest.raises(WrongSignature, match=reason) as raised:
        delivery(BODY, signed(header), [SECRET])
    assert SECRET not in str(raised.value)
    assert header == "" or header not in str(raised.value)


def test_the_signature_is_that_of_the_bytes_as_they_came() -> None:
    reformatted = json.dumps(json.loads(BODY), ensure_ascii=False).encode()
    with pytest.raises(WrongSignature):
        delivery(reformatted, signed(SIGNATURE), [SECRET])


def test_without_the_header_a_configured_secret_refuses() -> None:
    with pytest.raises(WrongSignature):
        delivery(BODY, {}, [SECRET])


def test_without_a_secret_the_signature_is_not_looked_at() -> None:
    assert delivery(BODY, signed(f"v1={'0' * 64}"), []) is not None


def test_the_signature_is_judged_before_the_body() -> None:
    with pytest.raises(WrongSignature):
        delivery(b"no JSON", signed(SIGNATURE), [SECRET])


def test_headers_are_known_in_any_case() -> None:
    headers = {"x-pagerduty-signature": SIGNATURE, "X-WEBHOOK-ID": "webhook-2", "DD_ENV": " prod "}
    assert delivery(BODY, headers, [SECRET]) == Delivery("01ABC", {"env": "prod", "event": json.loads(BODY)["event"]})


def test_nothing_of_the_headers_is_kept_but_the_environment() -> None:
    headers = {"DD-API-KEY": "planted-key", "Authorization": "Basic planted", "dd_env": "prod", **signed(SIGNATURE)}
    result = delivery(BODY, headers, [SECRET])
    assert result is not None
    assert result.attributes.keys() == {"env", "event"}
    assert "planted" not in repr(result)


def test_a_blank_environment_is_none() -> None:
    result = delivery(BODY, {"dd_env": " "}, [])
    assert result is not None
    assert result.attributes.keys() == {"event"}


def test_the_id_is_that_of_the_event_else_a_digest_of_the_body_and_never_that_of_a_header() -> None:
    assert told().delivery_id == "01ABC"
    assert told(X_Webhook_Id="webhook-1").delivery_id == "01ABC"
    # By `sha256sum`.
    nameless = b'{"event":{"id":"","event_type":"incident.resolved"}}'
    digest = "277f502d0863915b69adc67fa23435c9dcde3e9e21f64cbfed13278108de77ff"
    assert told(nameless).delivery_id == told(nameless, X_Webhook_Id="webhook-1").delivery_id == digest


def test_the_test_event_is_no_delivery() -> None:
    body = b'{"event":{"id":"01PING","event_type":"pagey.ping","resource_type":"pagey","data":{"message":"Hello"}}}'
    assert delivery(body, {"X-Webhook-Id": "webhook-1"}, []) is None
    with pytest.raises(WrongSignature):
        delivery(body, signed(SIGNATURE), [SECRET])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON in UTF-8"),
        (b"<html>", "not JSON in UTF-8"),
        (b'{"event":', "not JSON in UTF-8"),
        ('{"event":{"event_type":"é"}}'.encode("latin-1"), "not JSON in UTF-8"),
        (b"[" * 200_000, "not JSON in UTF-8"),
        (b"[]", "no object `event`"),
        (b'{"messages":[{"event":"incident.trigger"}]}', "no object `event`"),
        (b'{"event":null}', "no object `event`"),
        (b'{"event":{}}', "no `event_type`"),
        (b'{"event":{"event_type":7}}', "no `event_type`"),
        (b'{"event":{"event_type":"incident.resolved","data":NaN}}', "cannot be kept"),
        (b'{"event":{"event_type":"incident.resolved","data":1e999}}', "cannot be kept"),
        (b'{"event":{"event_type":"incident.resolved","data":' + b"[" * 150 + b"]" * 150 + b"}}", "nested too deeply"),
    ],
    ids=[
        "empty",
        "html",
        "cut",
        "latin",
        "endless",
        "list",
        "version_2",
        "null",
        "no_type",
        "number",
        "nan",
        "infinity",
        "deep",
    ],
)
def test_a_body_that_is_no_delivery_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WrongDelivery, match=reason):
        delivery(body, {}, [])


def test_credentials_in_addresses_are_not_kept() -> None:
    body = BODY.replace(b'"agent":null', b'"agent":{"html_url":"https://user:planted@acme.example/x"}')
    assert told(body).attributes["event"]["agent"] == {"html_url": "https://acme.example/x"}


def test_a_delivery_that_comes_again_with_other_headers_changes_nothing_in_the_store(home: TestHome) -> None:
    unsigned = [{"dd_env": "prod"}, {"dd_env": "staging"}, {}, {"X-Webhook-Id": "of-another"}, {"X-Request-Id": "1"}]
    with EventStore.at(home.home) as store:
        for headers in unsigned:
            result = delivery(BODY, {**signed(SIGNATURE), **headers}, [SECRET])
            assert result is not None
            store.append("delivery", result.attributes, event_id=result.delivery_id)
        [kept] = store.changed_since("delivery", 0)
    assert (kept.event_id, kept.attributes) == ("01ABC", {"env": "prod", "event": json.loads(BODY)["event"]})


def test_another_body_under_the_id_of_an_event_is_no_news(home: TestHome) -> None:
    with EventStore.at(home.home) as store:
        for body in (BODY, BODY.replace(b"Zahlung", b"Payment")):
            result = told(body)
            store.append("delivery", result.attributes, event_id=result.delivery_id)
        [kept] = store.changed_since("delivery", 0)
    assert (kept.event_id, kept.attributes) == ("01ABC", {"event": json.loads(BODY)["event"]})
