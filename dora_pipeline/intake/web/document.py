"""The OpenAPI document: what each route takes, and every answer that it gives.

What does not belong here: the routes.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from dora_pipeline.intake.web.answers import MEDIA_TYPE
from dora_pipeline.intake.web.bodies import (
    Body,
    DeploymentRequest,
    DeploymentsListRequest,
    FailureRequest,
    FailuresListRequest,
    PatchRequest,
    VersionPatchRequest,
)

SENDER: tuple[str, ...] = ("apiKeyAuth",)
READER: tuple[str, ...] = ("apiKeyAuth", "appKeyAuth")
READER_REFUSALS = (401, 403, 429, 503)
BODY_REFUSALS = (400, 403, 408, 413, 415, 429, 503)
_REFERENCE = "#/components/schemas/"
_BODIES: tuple[type[Body], ...] = (
    DeploymentRequest,
    DeploymentsListRequest,
    FailureRequest,
    FailuresListRequest,
    PatchRequest,
    VersionPatchRequest,
)
_REASONS = {
    400: "The body is wrong: an error for each mistake",
    401: "Neither key was sent",
    403: "A key is missing or wrong",
    404: "There is no such event",
    408: "The body came too slowly",
    413: "The body is larger than 1 MiB",
    415: "The body is of another type",
    429: "Too many requests in a minute",
    503: "The event store does not answer, or too many searches are under way; try again",
    504: "The search took too long; ask for less",
}
_WAIT = {"schema": {"type": "integer", "minimum": 1}}
_HEADERS: dict[int, dict[str, Any]] = {
    429: {
        "Retry-After": _WAIT,
        "X-RateLimit-Limit": _WAIT,
        "X-RateLimit-Period": _WAIT,
        "X-RateLimit-Remaining": {"schema": {"type": "integer", "minimum": 0}},
        "X-RateLimit-Reset": _WAIT,
    },
    503: {"Retry-After": _WAIT},
}


def answered(status: int, schema: str | None, *refusals: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: the good one, empty where it has no schema, and its refusals."""
    good: dict[str, Any] = {"description": "Done; it is on disk" if status == 202 else "OK"}
    answers: dict[int | str, dict[str, Any]] = {status: {**good, **_content(schema)}}
    for refusal in sorted(refusals):
        told = "Mistakes" if refusal in (400, 404) else "Refused"
        headers = {"headers": _HEADERS[refusal]} if refusal in _HEADERS else {}
        answers[refusal] = {"description": _REASONS[refusal], **_content(told), **headers}
    return answers


def described(keys: tuple[str, ...], body: type[Body] | None = None) -> dict[str, Any]:
    """What a route demands: keys, and a body."""
    return _demands(keys, {"$ref": _REFERENCE + body.__name__} if body else None)


def described_delivery(keys: tuple[str, ...]) -> dict[str, Any]:
    """What the webhook demands; its headers are PagerDuty's."""
    event = {"type": "object", "required": ["event_type"], "properties": {"event_type": {"type": "string"}}}
    headers = {
        "X-PagerDuty-Signature": "demanded where secrets are configured",
        "dd_env": "the environment of the incidents",
    }
    parameters = [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    ]
    body = {"type": "object", "required": ["event"], "properties": {"event": event}}
    return {**_demands(keys, body), "parameters": parameters}


def document(app: FastAPI, *, is_open: bool) -> dict[str, Any]:
    """The whole document. Where the intake is open to everyone it demands no keys."""
    told = get_openapi(
        title="DORA intake", version="2", description="Deployments, failures and webhooks.", routes=app.routes
    )
    _, bodies = models_json_schema([(body, "validation") for body in _BODIES], ref_template=_REFERENCE + "{model}")
    told["components"] = {
        "schemas": {**bodies["$defs"], **_ANSWERS},
        "securitySchemes": {
            "apiKeyAuth": {"type": "apiKey", "in": "header", "name": "DD-API-KEY"},
            "appKeyAuth": {"type": "apiKey", "in": "header", "name": "DD-APPLICATION-KEY"},
        },
    }
    for path in told["paths"].values():
        for operation in path.values():
            # FastAPI adds its own answer to mistakes in parameters, which are plain texts here.
            operation["responses"].pop("422", None)
            if is_open:
                operation.pop("security", None)
    return told


def _demands(keys: tuple[str, ...], body: dict[str, Any] | None) -> dict[str, Any]:
    security: dict[str, Any] = {"security": [{key: [] for key in keys}]}
    content = {"application/json": {"schema": body}}
    return {**security, "requestBody": {"required": True, "content": content}} if body else security


def _content(schema: str | None) -> dict[str, Any]:
    return {"content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE + schema}}}} if schema else {}


def _object(properties: dict[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": _REFERENCE + name}


_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_SHARED = {
    "started_at": _TIME,
    "finished_at": _TIME,
    "env": _TEXT,
    "team": _TEXT,
    "version": _TEXT,
    "name": _TEXT,
    "severity": _TEXT,
    "custom_tags": _list(_TEXT),
    "git": _object({"commit_sha": _TEXT, "repository_id": _TEXT, "repository_url": _TEXT}),
}
_DEPLOYMENT = {
    "service": _TEXT,
    "change_failure": {"type": "boolean"},
    "remediation": _object({"id": _TEXT, "type": {"enum": ["rollback", "rollforward"]}}),
    **_SHARED,
}
_FAILURE = {"services": _list(_TEXT), **_SHARED}
_ANSWERS: dict[str, Any] = {
    "Receipt": _object({"data": _object({"id": _TEXT, "type": {"enum": ["dora_deployment", "dora_failure"]}})}),
    "Nothing": _object({"data": {"type": "null"}}),
    "DeploymentObject": _object(
        {"id": _TEXT, "type": {"const": "dora_deployment"}, "attributes": _object(_DEPLOYMENT, *_DEPLOYMENT)}
    ),
    "FailureObject": _object(
        {"id": _TEXT, "type": {"const": "dora_failure"}, "attributes": _object(_FAILURE, *_FAILURE)}
    ),
    "Deployment": _object({"data": _reference("DeploymentObject")}),
    "Failure": _object({"data": _reference("FailureObject")}),
    "Deployments": _object({"data": _list(_reference("DeploymentObject"))}),
    "Failures": _object({"data": _list(_reference("FailureObject"))}),
    "Mistakes": _object({"errors": _list(_object({"status": _TEXT, "title": _TEXT, "detail": _TEXT}))}),
    "Refused": _object({"errors": _list(_TEXT)}),
}
