"""The bodies of requests, in the words of Datadog's wire, and what is wrong with one.

Whether an event can be used later (ended before it began, in the future) is not judged here.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from dora_pipeline.identifiers import without_credentials
from dora_pipeline.intake.web.fields import Epoch, EventId, Moment, Name, OnlyByPatch, Sha, Tags, Text, whole
from dora_pipeline.intake.web.wire import WireError

_REASONS = {
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "greater_than": "must be a whole number of 64 bits",
    "int_type": "must be a whole number",
    "less_than": "must be a whole number of 64 bits",
    "list_type": "must be a list",
    "missing": "is missing",
    "model_type": "must be an object",
    "none_required": "is set by PATCH, not here",
    "string_type": "must be text",
}


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class Git(_Part):
    """Where the code of an event is; both or none."""

    repository_url: Name
    commit_sha: Sha


class DeploymentAttributes(_Part):
    """A deployment. Attributes that are not named here are kept."""

    service: Name
    started_at: Epoch
    finished_at: Epoch
    id: EventId | None = None
    env: Text | None = None
    version: Text | None = None
    team: Text | None = None
    git: Git | None = None
    custom_tags: Tags | None = None
    change_failure: OnlyByPatch = None
    remediation: OnlyByPatch = None


class FailureAttributes(_Part):
    """A failure of services, or of a team. Attributes that are not named here are kept."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["services"], "properties": {"services": {"type": "array", "minItems": 1}}},
                {"required": ["team"], "properties": {"team": {"type": "string", "pattern": r"[^\s]"}}},
            ]
        }
    )

    started_at: Epoch
    finished_at: Epoch | None = None
    services: list[Name] | None = None
    team: Text | None = Field(default=None, validate_default=True)
    id: EventId | None = None
    name: Text | None = None
    severity: Text | None = None
    env: Text | None = None
    version: Text | None = None
    git: Git | None = None
    custom_tags: Tags | None = None

    @field_validator("team")
    @classmethod
    def _someone_is_named(cls, team: str | None, info: ValidationInfo) -> str | None:
        is_known = "services" in info.data
        if is_known and not info.data["services"] and not (team or "").strip():
            raise PydanticCustomError("whole", 'Missing required attribute in body: "services" or "team"')
        return team


class Remediation(_Part):
    """The deployment that ended a change failure, by its id or by its version in the same service and env."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["id"]}, {"required": ["version"]}]})

    type: Literal["rollback", "rollforward"]
    id: Name | None = None
    version: Name | None = Field(default=None, validate_default=True)

    @field_validator("version")
    @classmethod
    def _one_of_two(cls, version: str | None, info: ValidationInfo) -> str | None:
        if "id" in info.data and (info.data["id"] is None) == (version is None):
            raise PydanticCustomError("whole", 'attribute "remediation" must have either "id" or "version"')
        return version


class PatchAttributes(_Part):
    """What is known of a deployment afterwards."""

    change_failure: bool
    remediation: Remediation | None = None


class VersionPatchAttributes(PatchAttributes):
    """The same, for the newest finished deployment of a version."""

    service: Name
    env: Name
    version: Name


class ListAttributes(_Part):
    """Which events to list; both times are included and are those of `started_at`."""

    from_: Moment | None = Field(default=None, alias="from")
    to: Moment | None = None
    query: Text | None = None
    sort: Literal["started_at", "-started_at", "finished_at", "-finished_at"] = "-started_at"
    limit: Annotated[int, BeforeValidator(whole), Field(ge=1, le=1000)] = 10


class Body(_Part):
    """A body; `expected_type` is what its `data.type` must say, where that is demanded."""

    expected_type: ClassVar[str | None] = None

    @classmethod
    def of(cls, value: dict[str, object]) -> Self:
        """The body that JSON holds. Raises WireError with every mistake."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            mistakes = [cls._mistake(one) for one in error.errors(include_url=False)]
            raise WireError(without_credentials(mistake) for mistake in mistakes) from None

    @classmethod
    def _mistake(cls, error: ErrorDetails) -> str:
        place = error["loc"]
        if place == ("data", "type") and cls.expected_type:
            sent = error["input"] if isinstance(error["input"], str) else ""
            return f'got type "{sent[:80]}" expected one of "{cls.expected_type}"'
        return _mistake(place, error)


def _mistake(place: tuple[int | str, ...], error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    inner = place[2:] if place[:2] == ("data", "attributes") else place
    name = ".".join(str(part) for part in inner) or "data.attributes"
    if kind == "whole":
        return error["msg"]
    if kind == "missing":
        return f'Missing required attribute in body: "{name}"'
    if kind == "decoding":
        return f'error decoding attribute "{name}": {error["msg"]}'
    if kind == "literal_error":
        allowed = str(context["expected"]).replace(" or ", " ").replace("'", "").replace(",", "")
        return f'attribute "{inner[-1]}" must be one of "{allowed}"'
    if kind == "string_pattern_mismatch":
        return f'attribute "{name}" must match {context["pattern"]}'
    reason = _REASONS.get(kind) or error["msg"].replace("Input should be", "must be").replace("List should", "must")
    return f'attribute "{name}" {reason}'


class DeploymentData(_Part):
    attributes: DeploymentAttributes


class DeploymentRequest(Body):
    """A deployment that is sent."""

    data: DeploymentData


class FailureData(_Part):
    attributes: FailureAttributes


class FailureRequest(Body):
    """A failure that is sent."""

    data: FailureData


class DeploymentsListData(_Part):
    type: Literal["dora_deployments_list_request"]
    attributes: ListAttributes = ListAttributes()


class DeploymentsListRequest(Body):
    """A search of deployments."""

    expected_type = "dora_deployments_list_request"
    data: DeploymentsListData


class FailuresListData(_Part):
    type: Literal["dora_failures_list_request"]
    attributes: ListAttributes = ListAttributes()


class FailuresListRequest(Body):
    """A search of failures."""

    expected_type = "dora_failures_list_request"
    data: FailuresListData


class PatchData(_Part):
    type: Literal["dora_deployment_patch_request"]
    attributes: PatchAttributes
    id: Text | None = None


class PatchRequest(Body):
    """A change of one deployment."""

    expected_type = "dora_deployment_patch_request"
    data: PatchData


class VersionPatchData(_Part):
    type: Literal["dora_deployment_patch_request"]
    attributes: VersionPatchAttributes


class VersionPatchRequest(Body):
    """A change of the newest finished deployment of a service, env and version."""

    expected_type = "dora_deployment_patch_request"
    data: VersionPatchData


def attributes_of(part: BaseModel) -> dict[str, Any]:
    """The attributes as they were sent, unknown ones too, with whole numbers as such."""
    return part.model_dump(exclude_unset=True)
