"""The OpenAPI document: what each route takes, and every answer that it gives.

What does not belong here: the routes.
"""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from dora_pipeline.intake.web.read_model import MEDIA_TYPE
from dora_pipeline.intake.web.routes import Operation

_REFERENCE = "#/components/schemas/"
_KEYS = {
    "apiKeyAuth": {"type": "apiKey", "in": "header", "name": "DD-API-KEY"},
    "appKeyAuth": {"type": "apiKey", "in": "header", "name": "DD-APPLICATION-KEY"},
}
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


def document(operations: Iterable[Operation], *, is_open: bool) -> dict[str, Any]:
    """The whole document. Where the intake is open to everyone it demands no keys."""
    described = [operation for operation in operations if operation.is_described]
    bodies = {operation.body for operation in described if isinstance(operation.body, type)}
    _, schemas = models_json_schema(
        [(body, "validation") for body in sorted(bodies, key=lambda body: body.__name__)],
        ref_template=_REFERENCE + "{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in described:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, is_open=is_open)
    return {
        "openapi": "3.1.0",
        "info": {"title": "DORA intake", "version": "2", "description": "Deployments, failures and webhooks."},
        "paths": paths,
        "components": {"schemas": {**schemas["$defs"], **_ANSWERS}, "securitySchemes": _KEYS},
    }


def _described(operation: Operation, *, is_open: bool) -> dict[str, Any]:
    name = operation.endpoint.__name__
    summary, _, description = (inspect.getdoc(operation.endpoint) or "").partition("\n\n")
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": summary.removesuffix(".") + (" (former name)" if operation.is_deprecated else ""),
        "description": description,
        "operationId": re.sub(r"\W", "_", f"{name}{operation.path}") + f"_{operation.method.lower()}",
        "responses": _answers(operation),
    }
    parameters = [_parameter("path", path_name) for path_name in re.findall(r"{(\w+)}", operation.path)]
    if operation.body == "delivery":
        parameters += [_parameter("header", header, text) for header, text in _HEADERS_OF_DELIVERIES.items()]
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        schema = _DELIVERY if operation.body == "delivery" else _reference(operation.body.__name__)
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.is_deprecated:
        described["deprecated"] = True
    if operation.asker != "anyone" and not is_open:
        names = ["apiKeyAuth"] if operation.asker == "sender" else ["apiKeyAuth", "appKeyAuth"]
        described["security"] = [{key: [] for key in names}]
    return described


def _parameter(place: str, name: str, description: str | None = None) -> dict[str, Any]:
    words = {"description": description} if description else {}
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}, **words}


def _answers(operation: Operation) -> dict[str, Any]:
    if operation.asker == "anyone":
        return _OPERATING[operation.path]
    good: dict[str, Any] = {"description": "Done; it is on disk" if operation.status == 202 else "OK"}
    answers: dict[str, Any] = {str(operation.status): {**good, **_content(operation.schema)}}
    for refusal in operation.refusals:
        schema = "Mistakes" if refusal in (400, 404) else "Refused"
        headers = {"headers": _HEADERS[refusal]} if refusal in _HEADERS else {}
        answers[str(refusal)] = {"description": _REASONS[refusal], **_content(schema), **headers}
    return answers


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
_OPERATING: dict[str, dict[str, Any]] = {
    "/healthz": {"200": {"description": "OK", "content": {"application/json": {}}}},
    "/readyz": {
        "200": {"description": "OK", "content": {"application/json": {}}},
        "503": {"description": "No event can be stored, and why", "content": {"application/json": {}}},
    },
    "/metrics": {"200": {"description": "OK", "content": {"text/plain": {"schema": _TEXT}}}},
}
_DELIVERY = _object({"event": _object({"event_type": _TEXT})})
_HEADERS_OF_DELIVERIES = {
    "X-PagerDuty-Signature": "demanded where secrets are configured",
    "dd_env": "the environment of the incidents",
}
