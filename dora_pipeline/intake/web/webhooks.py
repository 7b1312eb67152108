"""Deliveries of PagerDuty's v3 webhooks: who signed one, which one it is, and what of it is kept.

What does not belong here: what an event says of an incident (`sources/pagerduty/webhook.py` reads that).
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dora_pipeline.intake.store.event import storable, usable_id
from dora_pipeline.intake.web.limits import body_of
from dora_pipeline.intake.web.refusals import Refusal, WrongRequest
from dora_pipeline.intake.web.worker import worker_of
from dora_pipeline.json_values import lax_json_value

WEBHOOK_SECRETS = "PAGERDUTY_WEBHOOK_SECRETS"
_SIGNATURE = "X-PagerDuty-Signature"
_VERSION = "v1="
_TEST_EVENT = "pagey.ping"


class WrongSignature(Exception):
    """None of the signatures of a delivery was made with a secret that we know."""


class WrongDelivery(ValueError):
    """The body of a delivery is not that of a v3 webhook."""


@dataclass(frozen=True)
class Delivery:
    """A delivery as the event store keeps it: an id that each attempt has, `event`, and `env` where it was sent."""

    delivery_id: str
    attributes: dict[str, Any]


async def take_delivery(request: Request) -> Response:
    """Take a delivery of PagerDuty's v3 webhook.

    Answers once the delivery is on disk. A delivery that comes again is kept once.
    """
    worker = worker_of(request)
    body = await body_of(request)
    try:
        kept = await run_in_threadpool(delivery, body, request.headers, worker.webhook_secrets)
    except WrongSignature:
        fault = f"{_SIGNATURE} is missing or fits none of the secrets in the intake's {WEBHOOK_SECRETS}"
        raise Refusal(403, f"Forbidden: {fault}") from None
    except WrongDelivery as error:
        raise WrongRequest([str(error)]) from None
    if kept is not None:
        await worker.keep("delivery", kept.attributes, kept.delivery_id)
    return Response(status_code=202)


def delivery(body: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> Delivery | None:
    """The delivery that a request brought; None for the test event that PagerDuty sends on request.

    One of `secrets` must have signed the body as it came; without secrets the signature is not looked at. The header
    `dd_env` names the environment. Nothing else of the headers is kept. The id is the event's own, else a digest of the
    body: what is signed, for anyone who saw a delivery can send it again with other headers, `X-Webhook-Id` among them.
    Raises WrongSignature and WrongDelivery; their messages hold nothing of the request.
    """
    named = {name.lower(): value for name, value in headers.items()}
    if secrets:
        _check_signature(body, named.get(_SIGNATURE.lower(), ""), secrets)
    event = _event(body)
    if event.get("event_type") == _TEST_EVENT:
        return None
    delivery_id = usable_id(event.get("id")) or sha256(body).hexdigest()
    env = named.get("dd_env", "").strip()
    return Delivery(delivery_id, {"env": env, "event": event} if env else {"event": event})


def _check_signature(body: bytes, header: str, secrets: Sequence[str]) -> None:
    signatures = [part.strip() for part in header.split(",")]
    # Several are sent while a secret is replaced by another; other versions are not known yet.
    given = [part.removeprefix(_VERSION).encode() for part in signatures if part.startswith(_VERSION)]
    if not given:
        raise WrongSignature(f"the header {_SIGNATURE} holds no signature of version v1")
    made = [hmac.new(secret.encode(), body, sha256).hexdigest().encode() for secret in secrets]
    if not any(hmac.compare_digest(ours, theirs) for ours in made for theirs in given):
        raise WrongSignature(
            f"no signature in {_SIGNATURE} fits; the secret is that of another webhook, or the body was changed"
        )


def _event(body: bytes) -> dict[str, Any]:
    try:
        content = lax_json_value(body.decode())
    except ValueError:
        raise WrongDelivery("the body is not JSON in UTF-8") from None
    event = content.get("event") if isinstance(content, dict) else None
    if not isinstance(event, dict):
        raise WrongDelivery("the body holds no object `event`; choose the version v3 of PagerDuty's webhooks")
    if not isinstance(event.get("event_type"), str):
        raise WrongDelivery("the event has no `event_type`")
    try:
        return storable(event)
    except ValueError as error:
        raise WrongDelivery(f"the event cannot be kept: {error}") from None
