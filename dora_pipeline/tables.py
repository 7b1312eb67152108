"""Every table of the warehouse, written down once: names, types, keys, nullability, comments.

DDL, COMMENTs, the data dictionary, Dagster's column schemas, checks and test frames come from here.
Schema `core` holds events, `metrics` what is computed from them, `landing` what each source has given so far, after
normalizing and before the rules of selection; people can trace a row of `core` to its input there.
What does not belong here: SQL, and anything that opens a file.
"""

from typing import Any

import dataframely as dy
import polars as pl


def _text(description: str, **options: Any) -> dy.String:
    return dy.String(description=description, **options)


def _varied(description: str, **options: Any) -> dy.String:
    """A text of which nearly every row has its own: to look for repetitions takes as long as to write it."""
    return _text(description, metadata={"compression": "fsst"}, **options)


def _moment(description: str, **options: Any) -> dy.Datetime:
    return dy.Datetime(time_zone="UTC", time_unit="us", description=description, **options)


def _texts(description: str, **options: Any) -> dy.List:
    return dy.List(dy.String(nullable=True), description=description, **options)


def _day(description: str, **options: Any) -> dy.Date:
    return dy.Date(description=description, **options)


def _whole(description: str, **options: Any) -> dy.Int64:
    return dy.Int64(description=description, **options)


def _number(description: str, **options: Any) -> dy.Float64:
    return dy.Float64(description=description, **options)


def _flag(description: str, **options: Any) -> dy.Bool:
    return dy.Bool(description=description, **options)


_SERVICE = "Service, as its sources name it, trimmed."
_ENV = "Environment, under its canonical name."
_REPOSITORY = "Repository as host/path in lower case."
_RECOVERY = "End of the remediation - end of the failed deployment; NULL where it did not end later."
_TAGS = (
    "Tags, key:value, each once: the event's own, then those of its service in the catalog, then language: and each of "
    "the service's languages."
)
_REJECTED_RECORDS = (
    "Records that the row stands for: 1; more for those of an export after its first 1,000 unusable ones, told by "
    "reason, service, env and day, with the first of them."
)
_INPUT = (
    "The input that it is from, of several the newest: an export file or a file of raw/, by its path below the home."
)


class Table(dy.Schema):
    """A table of the warehouse; `table_name` is `schema.name`, the docstring its comment."""

    table_name = ""

    @classmethod
    def key(cls) -> tuple[str, ...]:
        """The columns that no two rows share, those that may be NULL included."""
        return (*cls.primary_key(), *cls.nullable_key)

    # Key columns that may be NULL, which a primary key cannot hold.
    nullable_key: tuple[str, ...] = ()


class View(Table):
    """A view of the warehouse: the query `sql/<schema>/<name>.sql`; it has no rows of its own, and no key."""


class SourceSelections(Table):
    """Each span of time in which a source was selected."""

    table_name = "core.source_selections"

    event_type = _text("deployment or failure.", primary_key=True)
    source = _text("Name of the source.", primary_key=True)
    selected_at = _moment("Start of the span.", primary_key=True)
    unselected_at = _moment("End of the span; NULL while it lasts.", nullable=True)
    first_selected_at = _moment("Earliest selection of the source; earlier events never enter core.")
    is_selected = _flag("Whether metrics use the source now.")
    priority = _whole("Place in the selection, from 1; the first wins when two sources have one deployment.")


class Services(Table):
    """Services of the catalog."""

    table_name = "core.services"

    service = _text(_SERVICE, primary_key=True)
    team = _text("Team that owns the service.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    source_patterns = _texts("Globs of the service's files in its repository; empty: all files.")
    languages = _texts("Programming languages.")
    tags = _texts("Tags of the definition, key:value.")


class ApmVersionActivity(Table):
    """When each version was seen by APM, by day; a new row where it was quiet for longer than the quiet gap."""

    table_name = "core.apm_version_activity"
    nullable_key = ("env",)

    service = _text(_SERVICE, primary_key=True)
    env = _text(_ENV, nullable=True)
    version = _varied("Value of the version tag.", primary_key=True)
    first_seen_at = _moment("First sighting.", primary_key=True)
    last_seen_at = _moment("Last sighting.")
    commit_sha = _text("Commit that the sightings name.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    team = _text("Team that the sightings name.", nullable=True)
    sightings = _whole("Number of sightings.")
    day = _day("Day of the sightings.")


class Deployments(Table):
    """One row per deployment of a service; it counts at finished_at."""

    table_name = "core.deployments"

    deployment_id = _varied("Opaque id, unique over all sources.", primary_key=True)
    source = _text("Source that it is from.")
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    version = _varied("Version that went live.", nullable=True)
    team = _text("Team that the event names, else the catalog's.", nullable=True)
    repository_id = _text(
        "Repository as host/path in lower case: the event's where it is configured, else the catalog's.", nullable=True
    )
    commit_sha = _text("Commit that went live.", nullable=True)
    started_at = _moment("Start of the deployment.")
    finished_at = _moment("End of the deployment: the moment at which it counts.")
    kind = _text(
        "standard; redeploy: what was live already; rollback: what was live before, or an earlier state of the code. A "
        "duplicate has that of the one that counts."
    )
    custom_tags = _texts(_TAGS)
    change_failure = _flag("Whether it was marked as a failed change; NULL: nobody said.", nullable=True)
    remediation_id = _text("The deployment that mended it, as it was marked.", nullable=True)
    remediation_type = _text("rollback or rollforward, as it was marked.", nullable=True)
    duplicate_of = _text("The deployment_id that counts in its place; NULL: this one counts.", nullable=True)
    is_selected = _flag("Whether its source is selected now.")
    previous_deployment_id = _text("The deployment that its commits are counted from.", nullable=True)
    previous_commit_sha = _text("Commit of that deployment.", nullable=True)
    range_id = _text("The commits between the two, in landing.range_commits.", nullable=True)
    lead_time_commits = _whole(
        "Number of commits that it brought first and that have an author time; NULL where that is not known.",
        nullable=True,
    )
    lead_time_mean_seconds = _number("Mean change lead time over those.", nullable=True)
    lead_time_reason = _text(
        "Why there is no lead time: duplicate, no_commit, first_deployment, previous_too_old, no_repository, "
        "repository_not_configured, repository_missing, commit_missing, previous_commit_missing, no_commits, "
        "redelivered or no_author_time (docs/sources.md says what each means); NULL where there is one.",
        nullable=True,
    )
    day = _day("Day of finished_at.")


class Failures(Table):
    """One row per failure and impacted service; it counts at started_at, its restore at finished_at."""

    table_name = "core.failures"
    nullable_key = ("service",)

    failure_id = _varied("Opaque id, unique over all sources; the same for every impacted service.", primary_key=True)
    source = _text("Source that it is from.")
    service = _text("Impacted service; NULL where only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    team = _text(
        "Team that the event names, else the catalog's; a team of PagerDuty's only where the catalog does not know the "
        "service.",
        nullable=True,
    )
    name = _text("Title.", nullable=True)
    severity = _text("Severity, in the words of the source.", nullable=True)
    version = _text("Version that failed.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    commit_sha = _text("Commit that failed.", nullable=True)
    url = _text("Page of the failure at its source.", nullable=True)
    started_at = _moment("Start of the failure: the moment at which it counts.")
    finished_at = _moment("Moment of the restore; NULL while it is open.", nullable=True)
    time_to_restore_seconds = _number("Seconds until restored; NULL while it is open.", nullable=True)
    custom_tags = _texts(_TAGS)
    is_selected = _flag("Whether its source is selected now.")
    restored_day = _day("Day of finished_at; NULL while it is open.", nullable=True)
    day = _day("Day of started_at.")


class DeploymentCommits(Table):
    """The commits that each deployment brought, merge commits left out; of a squash merge its original commits."""

    table_name = "core.deployment_commits"

    deployment_id = _text("The deployment.", primary_key=True)
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    repository_id = _text(_REPOSITORY)
    commit_sha = _text("The commit.", primary_key=True)
    landed_as_sha = _text("The squash commit that stands for it; NULL: it is on the branch itself.", nullable=True)
    subject = _text("First line of its message, at most 500 letters.")
    authored_at = _moment("Author time of the commit; NULL where it has none that can be used.", nullable=True)
    committed_at = _moment("Committer time of the commit; NULL where it has none that can be used.", nullable=True)
    finished_at = _moment("End of the deployment.")
    lead_time_seconds = _number(
        "finished_at - authored_at; negative where clocks or cherry-picks make it so; NULL without an author time.",
        nullable=True,
    )
    is_redelivery = _flag(
        "Whether an earlier deployment of the service and env had it already; no figure uses such a row."
    )
    is_selected = _flag("Whether the deployment's source is selected now.")
    day = _day("Day of the deployment.")


class FailureLinks(Table):
    """The deployment that most likely caused each failure: a row for each row of core.failures."""

    table_name = "core.failure_links"
    nullable_key = ("service",)

    failure_id = _varied("The failure.", primary_key=True)
    service = _text("Impacted service; NULL where only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    deployment_id = _text("The deployment; NULL: unlinked.", nullable=True)
    rule = _text("The rule that found it: deployment_id, commit, version, latest or team.", nullable=True)
    reason = _text(
        "Why it is unlinked: no_service, unknown_service, no_deployment or too_long_ago; NULL where it is linked.",
        nullable=True,
    )
    distance_seconds = _number(
        "Start of the failure - end of the deployment; negative within link_slack.", nullable=True
    )
    runner_up_id = _text("What the rules name when that deployment is left out.", nullable=True)
    runner_up_rule = _text("The rule that names it.", nullable=True)
    possible_ids = _texts(
        "Of one that names no env, and no deployment, what the rules name for each env that it may be of, in order; "
        "NULL for all others.",
        nullable=True,
    )
    is_selected = _flag("Whether the failure's source is selected now.")
    day = _day("Day of the failure.")


class FailedChanges(Table):
    """Deployments that failed, each once, with what mended them; a failed change counts on the deployment's day."""

    table_name = "core.failed_changes"

    deployment_id = _text("The deployment that failed.", primary_key=True)
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    team = _text("Team of the deployment.", nullable=True)
    way = _text("What says so: mark, rollback, revert or rule.")
    rule = _text("Name of the rule; NULL for the other ways.", nullable=True)
    remediation_id = _text("The deployment that mended it; NULL: none is known.", nullable=True)
    remediation_type = _text("rollback or rollforward.", nullable=True)
    recovery_seconds = _number(_RECOVERY, nullable=True)
    is_selected = _flag("Whether the deployment's source is selected now.")
    day = _day("Day of the failed deployment.")


class RejectedEvents(Table):
    """What came and could not be used, with the reason."""

    table_name = "core.rejected_events"

    event_type = _text("deployment or failure.")
    source = _text("Source that it is from.")
    reason = _text("One word for the reason.")
    service = _text("Service, where it could be read.", nullable=True)
    env = _text("Environment that it names, under its canonical name, where it could be read.", nullable=True)
    team = _text("Team that it names, where it could be read.", nullable=True)
    occurred_at = _moment("When it happened, where it could be read.", nullable=True)
    payload = dy.String(
        description="The record as it came, as JSON; a sent event has its `id` in it.", metadata={"duckdb_type": "JSON"}
    )
    records = _whole(_REJECTED_RECORDS)
    detected_at = _moment("When its input arrived: receipt of an event, last change of an export file.")
    day = _day("Day of occurred_at, else of detected_at.")


class Events(View):
    """Deployments and failures in one: a row per deployment, and per failure and impacted service."""

    table_name = "core.events"

    event_type = _text("deployment or failure.")
    event_id = _text("Id of the deployment or failure.")
    source = _text("Source that it is from.")
    service = _text("Service; NULL for a failure of which only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    team = _text("Team of the deployment or failure.", nullable=True)
    occurred_at = _moment("When it counts: end of a deployment, start of a failure.")
    is_counted = _flag(
        "Whether metrics count it: its source is selected now, and no other deployment counts in its place."
    )
    day = _day("Day of occurred_at.")


class Measures(View):
    """Everything that is counted, one row each, of selected sources and without duplicates. Every figure groups it."""

    table_name = "metrics.measures"

    measure = _text(
        "What is counted: deployment; commit, brought by a deployment and with a lead time; failed_change, a "
        "deployment that failed; recovery, of one that was mended; rework, a deployment that mended one; "
        "linked_failure, a deployment that failures are linked to; possible_link, one of which that is not known; "
        "failure and restore, once for each service."
    )
    seconds = _number(
        "Of a deployment the mean lead time of its commits, of a commit its lead time, of a recovery the time to the "
        "end of the remediation, of a restore the time to it; NULL where there is none.",
        nullable=True,
    )
    day = _day("Day on which it counts: of a failed change and its recovery that of the deployment that failed.")
    service = _text("Service; NULL for failures of which only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    team = _text("Team of the deployment or failure.", nullable=True)
    repository_id = _text("Repository of the deployment or failure, as host/path in lower case.", nullable=True)
    source = _text("Source of the deployment or failure.")
    severity = _text(
        "Severity of the failure, in the words of the source; NULL for all that is of a deployment.", nullable=True
    )
    tags = _texts("Tags of the deployment or failure, key:value.")
    event_id = _text("Id of the deployment or failure.")
    occurred_at = _moment("When it counts: end of the deployment, start of the failure, moment of the restore.")


class DeploymentOutcomes(View):
    """How each counted deployment turned out: whether it is a failed change, and which failures are linked to it."""

    table_name = "metrics.deployment_outcomes"

    deployment_id = _text("The deployment.")
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    team = _text("Team of the deployment.", nullable=True)
    finished_at = _moment("End of the deployment.")
    is_failed_change = _flag("Whether it is a failed change.")
    way = _text("What says so: mark, rollback, revert or rule; NULL where nothing does.", nullable=True)
    rule = _text("Name of the rule; NULL for the other ways.", nullable=True)
    remediation_id = _text("The deployment that mended it.", nullable=True)
    recovery_seconds = _number(_RECOVERY, nullable=True)
    linked_failures = _whole("Failures that are linked to it, each once.")
    failure_ids = _texts("Their ids, in order.")
    agreement = _text("both; failure_only: failures are linked, and it is no failed change; change_only; none.")
    day = _day("Day of the deployment.")


_SINCE = "NULL for a time before any of a selected source could be known"


class Daily(Table):
    """The metrics by day, service and env; selected sources, no duplicates."""

    table_name = "metrics.daily"
    nullable_key = ("service", "env", "team")

    day = _day("The day.", primary_key=True)
    service = _text("Service; NULL for failures of which only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    team = _text("Team of the newest event of the row that has one.", nullable=True)
    deployments = _whole(f"Deployments that finished on the day; {_SINCE}.", nullable=True)
    failures = _whole(f"Failures that started on the day; {_SINCE}.", nullable=True)
    change_failure_rate = _number(
        "failures / deployments; NULL without deployments, on a day before both were known from its start, and "
        "of an env on a day on which failures of the service started that name none.",
        nullable=True,
    )
    lead_time_commits = _whole("Commits brought by the deployments that have an author time.", nullable=True)
    lead_time_p50_seconds = _number("Median change lead time over commits.", nullable=True)
    lead_time_p90_seconds = _number("90th percentile of the change lead time over commits.", nullable=True)
    lead_time_mean_seconds = _number("Mean change lead time over commits.", nullable=True)
    lead_time_deployments = _whole("Deployments that have a mean lead time.", nullable=True)
    deployment_lead_time_p50_seconds = _number("Median over deployments of their mean lead time.", nullable=True)
    restores = _whole("Failures restored on the day.", nullable=True)
    time_to_restore_p50_seconds = _number(
        "Median time to restore of those; NULL of an env where failures of the service were restored that name none, "
        "as the other two are.",
        nullable=True,
    )
    time_to_restore_p90_seconds = _number("90th percentile of the time to restore.", nullable=True)
    time_to_restore_mean_seconds = _number("Mean time to restore.", nullable=True)
    failed_changes = _whole("Deployments of the day that failed, whenever that was known.", nullable=True)
    failed_change_rate = _number("failed_changes / deployments; NULL without deployments.", nullable=True)
    recoveries = _whole("Those of them that were mended at a known time.", nullable=True)
    recovery_p50_seconds = _number(
        "Failed deployment recovery time: median from their end to the remediation's.", nullable=True
    )
    rework_deployments = _whole(
        "Deployments of the day that mended a failed change that had ended before, each once.", nullable=True
    )
    rework_rate = _number("rework_deployments / deployments; NULL without deployments.", nullable=True)
    linked_failures = _whole("Deployments of the day that at least one failure is linked to.", nullable=True)
    linked_failure_rate = _number(
        "linked_failures / deployments; NULL without deployments, where one of the event types had not begun, and "
        "where failures that name no env may be of its deployments.",
        nullable=True,
    )


class Freshness(Table):
    """How new each other table of core and metrics is in the state that is published."""

    table_name = "metrics.freshness"

    # The name of a schema's table stands in the attribute `table_name`, so the column has another one in Python.
    described = _text("The table, as schema.name.", alias="table_name", primary_key=True)
    rows = _whole("Number of rows.")
    newest_event_at = _moment(
        "Newest instant at which an event of the table counts; of rejected events, their arrival; NULL without any.",
        nullable=True,
    )
    newest_day = _day("Newest day that has rows; NULL without any.", nullable=True)
    stale_days = _whole("Days on which the table does not show yet what was read; `dora run` loads them.")
    last_run_at = _moment("When the last run published; it moves also with a run that changed no row.")
    code_version = _text("Version of the program that published it.")


class LandedInputs(Table):
    """Each input that has been read: export files as they were then, and segments of raw/."""

    table_name = "landing.inputs"

    source = _text("Name of the source.", primary_key=True)
    input = _text(_INPUT, primary_key=True)
    size = _whole("Size in bytes when it was read.")
    modified_at = _moment("Last change when it was read.")
    content_of = _text("The input with the very same content that is counted in its place.", nullable=True)
    records = _whole("Records read.")


class LandedVersionActivity(Table):
    """Sightings of versions by input and day, compacted without loss for the quiet gap."""

    table_name = "landing.version_activity"
    nullable_key = ("env",)

    input = _text(_INPUT, primary_key=True)
    service = _text(_SERVICE, primary_key=True)
    env = _text(_ENV, nullable=True)
    version = _varied("Value of the version tag.", primary_key=True)
    first_seen_at = _moment("First sighting.", primary_key=True)
    last_seen_at = _moment("Last sighting; neighbours in between are never further apart than the quiet gap.")
    commit_sha = _text("Commit that the sightings name.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    team = _text("Team that the sightings name.", nullable=True)
    sightings = _whole("Number of sightings.")
    day = _day("Day of the sightings.")


class LandedDeployments(Table):
    """Deployments as they came or were inferred, each once, before the rules of selection and of the same second."""

    table_name = "landing.deployments"

    source = _text("Source that it is from.", primary_key=True)
    deployment_id = _varied("Opaque id, unique over all sources.", primary_key=True)
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    version = _varied("Version that went live.", nullable=True)
    team = _text("Team that the event names.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    commit_sha = _text("Commit that went live.", nullable=True)
    started_at = _moment("Start of the deployment.")
    finished_at = _moment("End of the deployment.")
    custom_tags = _texts("Tags of the event, key:value.")
    change_failure = _flag("Whether it was marked as a failed change; NULL: nobody said.", nullable=True)
    remediation_id = _text("The deployment that mended it, as it was marked.", nullable=True)
    remediation_type = _text("rollback or rollforward, as it was marked.", nullable=True)
    received_at = _moment("When the event came first; of two in one second the first stays.")
    input = _text(_INPUT, nullable=True)
    day = _day("Day of finished_at.")


class LandedFailures(Table):
    """Failures as they came, one row per impacted service, before the rules of selection and of the same second."""

    table_name = "landing.failures"
    nullable_key = ("service",)

    source = _text("Source that it is from.", primary_key=True)
    failure_id = _varied("Opaque id, unique over all sources.", primary_key=True)
    service = _text("Impacted service; NULL where only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    team = _text("Team that the event names.", nullable=True)
    name = _text("Title.", nullable=True)
    severity = _text("Severity, in the words of the source.", nullable=True)
    version = _text("Version that failed.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    commit_sha = _text("Commit that failed.", nullable=True)
    url = _text("Page of the failure at its source.", nullable=True)
    started_at = _moment("Start of the failure.")
    finished_at = _moment("Moment of the restore; NULL while it is open.", nullable=True)
    time_to_restore_seconds = _number("Seconds until restored; NULL while it is open.", nullable=True)
    custom_tags = _texts("Tags of the event, key:value.")
    received_at = _moment("When the event came first; of two in one second the first stays.")
    input = _text(_INPUT, nullable=True)
    restored_day = _day("Day of finished_at; NULL while it is open.", nullable=True)
    day = _day("Day of started_at.")


class LandedEventRecords(Table):
    """Records of events by the door that they came through; those of one event are united from here on.

    Events of a source that has one door and gives every event an id are not among them.
    """

    table_name = "landing.event_records"

    source = _text("Source of the event.", primary_key=True)
    input = _text(_INPUT, primary_key=True)
    record_id = _varied("Id of the event in this record.", primary_key=True)
    sequence = _whole(
        "Number of its newest change in the intake's store; in a file, its place among the events there.",
        primary_key=True,
    )
    is_sent = _flag("Whether the intake received it; else it stands in a file.")
    identity_key = _varied(
        "Digest of services, canonical env and second of started_at, as all records with its id have them together; "
        "NULL where one of them is not known.",
        nullable=True,
    )
    is_named = _flag("Whether the id is the event's own; else it was made up.")
    former_id = _text("The id that the intake gave it before it had its own.", nullable=True)
    received_at = _moment("When it was received first.")
    changed_at = _moment("When it was received last: by the intake, by a pull, or the last change of an export file.")
    is_deleted = _flag("Whether it was deleted.")
    attributes = dy.String(description="What is known of it, as JSON.", metadata={"duckdb_type": "JSON"})
    history = dy.String(
        description="In which changes its fields were received, as JSON.", metadata={"duckdb_type": "JSON"}
    )


class LandedRejects(Table):
    """Records that could not be used, by input; core.rejected_events shows them with the same-second ones."""

    table_name = "landing.rejected_events"

    source = _text("Source that it is from.", primary_key=True)
    input = _text(_INPUT, primary_key=True)
    record = _text("Where it stands in the input: a line number, or the id of the event.", primary_key=True)
    event_type = _text("deployment or failure.")
    reason = _text("One word for the reason.")
    service = _text("Service, where it could be read.", nullable=True)
    env = _text("Environment that it names, under its canonical name, where it could be read.", nullable=True)
    team = _text("Team that it names, where it could be read.", nullable=True)
    occurred_at = _moment("When it happened, where it could be read.", nullable=True)
    payload = dy.String(
        description="The record as it came, as JSON; a sent event has its `id` in it.", metadata={"duckdb_type": "JSON"}
    )
    records = _whole(_REJECTED_RECORDS)
    detected_at = _moment("When its input arrived.")
    day = _day("Day of occurred_at, else of detected_at.")


class Properties(Table):
    """What the warehouse was made with: its schema version and the settings that shaped what has landed."""

    table_name = "landing.properties"

    name = _text("Name of the property.", primary_key=True)
    value = _text("Its value.")


class SourceStates(Table):
    """How the last reading of each source went."""

    table_name = "landing.source_states"

    source = _text("Name of the source.", primary_key=True)
    read_at = _moment("When it was read last without an error.", nullable=True)
    error = _text("What went wrong the last time, NULL where nothing did.", nullable=True)


class LeftOutFiles(Table):
    """Files that look as if they should be read, and are not: of other endings or folders, links that lead away, …"""

    table_name = "landing.left_out_files"

    source = _text("Name of the source; `services` of service definitions.", primary_key=True)
    name = _text("Path below the home, with what cannot be shown escaped.", primary_key=True)
    reason = _text("Why it is not read.")


class JudgedDeployments(Table):
    """Deployments by the rules of selection, same second, merging and history; core.deployments is made from them."""

    table_name = "landing.judged_deployments"

    deployment_id = _varied("Opaque id, unique over all sources.", primary_key=True)
    source = _text("Source that it is from.")
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    version = _varied("Version that went live.", nullable=True)
    team = _text("Team that the event names.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    commit_sha = _text("Commit that went live.", nullable=True)
    started_at = _moment("Start of the deployment.")
    finished_at = _moment("End of the deployment.")
    custom_tags = _texts("Tags of the event, key:value.")
    change_failure = _flag("Whether it was marked as a failed change; NULL: nobody said.", nullable=True)
    remediation_id = _text("The deployment that mended it, as it was marked.", nullable=True)
    remediation_type = _text("rollback or rollforward, as it was marked.", nullable=True)
    received_at = _moment("When the event came first.")
    history = _text(
        "The history it belongs to: of all selected sources, of one unselected, of duplicates; or rejected."
    )
    duplicate_of = _text("The deployment_id that counts in its place.", nullable=True)
    is_selected = _flag("Whether its source is selected now.")
    previous_deployment_id = _text("The deployment that its commits are counted from.", nullable=True)
    previous_commit_sha = _text("Commit of that deployment.", nullable=True)
    lead_time_reason = _text("Why it can have no lead time, as far as commits need not be known.", nullable=True)
    day = _day("Day of finished_at.")


class JudgedFailures(Table):
    """Failures by the rules of selection and of the same second; core.failures is made from them."""

    table_name = "landing.judged_failures"
    nullable_key = ("service",)

    failure_id = _varied("Opaque id, unique over all sources.", primary_key=True)
    source = _text("Source that it is from.")
    service = _text("Impacted service; NULL where only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    team = _text("Team that the event names.", nullable=True)
    name = _text("Title.", nullable=True)
    severity = _text("Severity, in the words of the source.", nullable=True)
    version = _text("Version that failed.", nullable=True)
    repository_id = _text(_REPOSITORY, nullable=True)
    commit_sha = _text("Commit that failed.", nullable=True)
    url = _text("Page of the failure at its source.", nullable=True)
    started_at = _moment("Start of the failure.")
    finished_at = _moment("Moment of the restore; NULL while it is open.", nullable=True)
    time_to_restore_seconds = _number("Seconds until restored; NULL while it is open.", nullable=True)
    custom_tags = _texts("Tags of the event, key:value.")
    received_at = _moment("When the event came first.")
    is_rejected = _flag("Whether another failure of the service that began in the same second was received before it.")
    is_selected = _flag("Whether its source is selected now.")
    restored_day = _day("Day of finished_at; NULL while it is open.", nullable=True)
    day = _day("Day of started_at.")


class LinkedFailures(Table):
    """The deployment that most likely caused each judged failure; core.failure_links is made from them."""

    table_name = "landing.failure_links"
    nullable_key = ("service",)

    failure_id = _text("The failure.", primary_key=True)
    service = _text("Impacted service; NULL where only a team is known.", nullable=True)
    env = _text(_ENV, nullable=True)
    deployment_id = _text("The deployment; NULL: unlinked.", nullable=True)
    rule = _text("The rule that found it.", nullable=True)
    reason = _text("Why it is unlinked.", nullable=True)
    distance_seconds = _number("Start of the failure - end of the deployment.", nullable=True)
    runner_up_id = _text("What the rules name when that deployment is left out.", nullable=True)
    runner_up_rule = _text("The rule that names it.", nullable=True)
    possible_ids = _texts("What the rules name for each env, where the failure names none.", nullable=True)
    day = _day("Day of the failure.")


class DeploymentKinds(Table):
    """Deployments that are redeploys or rollbacks; all others are standard, and duplicates as the one that counts."""

    table_name = "landing.deployment_kinds"

    deployment_id = _text("The deployment.", primary_key=True)
    service = _text(_SERVICE)
    kind = _text("redeploy or rollback.")
    day = _day("Day of the deployment.")


class ChangeSigns(Table):
    """What says that a deployment failed, as it follows from what went live by then; of several one is chosen."""

    table_name = "landing.change_signs"

    deployment_id = _text("The deployment that says so.", primary_key=True)
    way = _text("rollback, revert or rule.", primary_key=True)
    failed_id = _text("The deployment that failed.", primary_key=True)
    rule = _whole("Place of the rule in the settings.", nullable=True)
    history = _text("The history that both belong to.")
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    started_at = _moment("Start of the deployment that says so.")
    finished_at = _moment("Its end.")
    failed_at = _moment("End of the one that failed.")
    day = _day("Day of finished_at.")


class JudgedChanges(Table):
    """Deployments that failed, each once, with what mended them; core.failed_changes is made from them."""

    table_name = "landing.failed_changes"

    deployment_id = _text("The deployment that failed.", primary_key=True)
    service = _text(_SERVICE)
    way = _text("What says so.")
    rule = _text("Name of the rule.", nullable=True)
    remediation_id = _text("The deployment that mended it.", nullable=True)
    remediation_type = _text("rollback or rollforward.", nullable=True)
    remediation_day = _day("Day of the deployment that mended it.", nullable=True)
    recovery_seconds = _number(_RECOVERY, nullable=True)
    day = _day("Day of the failed deployment.")


class ChangedServices(Table):
    """Services whose deployments changed since they were judged."""

    table_name = "landing.changed_services"

    service = _text(_SERVICE)
    from_day = _day("First day that has to be judged again.")


class UnjudgedChanges(Table):
    """Services of whose deployments something changed since it was judged which of them failed."""

    table_name = "landing.unjudged_changes"

    service = _text(_SERVICE)
    from_day = _day("First day that has to be judged again; NULL: only what follows from the signs.", nullable=True)


class ChangedDays(Table):
    """Days whose failures changed since they were judged."""

    table_name = "landing.changed_days"

    day = _day("The day.")


class ChangedDeployments(Table):
    """Deployments that changed since failures were linked, as they were and as they are."""

    table_name = "landing.changed_deployments"

    deployment_id = _text("The deployment, or another id that names one.")
    service = _text("Its service; NULL where only what the id names changed.", nullable=True)
    team = _text("Team that the event names.", nullable=True)
    finished_at = _moment("End of the deployment; NULL where only what the id names changed.", nullable=True)


class UnlinkedDays(Table):
    """Days whose failures changed since they were linked."""

    table_name = "landing.unlinked_days"

    day = _day("The day.")


class ChangedPairs(Table):
    """Services and environments whose sightings changed since their deployments were inferred."""

    table_name = "landing.changed_pairs"

    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    from_day = _day("First day with changed sightings.")


class StaleDays(Table):
    """Days whose rows in a table of core or metrics no longer match what has landed."""

    table_name = "landing.stale_days"

    target = _text("The table whose rows are stale.", primary_key=True)
    day = _day("The day.", primary_key=True)


class Loads(Table):
    """The last load of each day of each table of core and metrics, also of days on which nothing happened."""

    table_name = "landing.loads"
    nullable_key = ("day",)

    target = _text("The table.", primary_key=True)
    day = _day("The day; NULL for a table that is loaded whole.", nullable=True)
    loaded_at = _moment("When it was loaded; later loads have later moments, also where a clock is set back.")
    code_version = _text("Version of the SQL, the rules and the columns that it was loaded by.")
    is_reported = _flag("Whether who loaded it reports that himself, as a run of Dagster reports its partitions.")


class ConfiguredRepositories(Table):
    """Repositories that settings or catalog name. Only these are cloned."""

    table_name = "landing.repositories"

    repository_id = _text(_REPOSITORY, primary_key=True)


class RepositoryErrors(Table):
    """Repositories of which something went wrong when they were asked last."""

    table_name = "landing.repository_errors"

    repository_id = _text(_REPOSITORY, primary_key=True)
    error = _text("What is wrong, and what to do.")


class SourcePatterns(Table):
    """Whether a file of its repository matches the source patterns of a service, when the mirror was last new."""

    table_name = "landing.source_patterns"

    service = _text(_SERVICE, primary_key=True)
    repository_id = _text(_REPOSITORY)
    patterns = _texts("Its source patterns.")
    is_matched = _flag("Whether a file of one of the newest branches matches.")


class CommitHistories(Table):
    """Whether a commit is in the history of another, as far as that was asked; it never changes."""

    table_name = "landing.commit_histories"

    repository_id = _text(_REPOSITORY, primary_key=True)
    commit_sha = _text("Whole SHA of the commit whose history is meant.", primary_key=True)
    earlier_sha = _text("Whole SHA of the other commit.", primary_key=True)
    is_in_history = _flag("Whether the history has the other commit.")


class ChangedRanges(Table):
    """Services whose deployments, repository or patterns changed since their commits were looked up."""

    table_name = "landing.changed_ranges"

    service = _text(_SERVICE)
    from_day = _day("First day of which commits have to be looked up again.")


class DeploymentRanges(Table):
    """What the repositories know of each deployment with a commit that counts: a row also where that is nothing."""

    table_name = "landing.deployment_ranges"

    deployment_id = _text("The deployment.", primary_key=True)
    history = _text("The history that it belongs to, as in landing.judged_deployments.")
    service = _text(_SERVICE)
    env = _text(_ENV, nullable=True)
    repository_id = _text(_REPOSITORY)
    base_sha = _text("Commit of the previous deployment as it came; NULL for the first one.", nullable=True)
    head_sha = _text("Commit of the deployment as it came.")
    patterns = _texts("Source patterns of the service.")
    is_ranged = _flag("Whether its commits are asked for: not of a first one, nor where the previous is too old.")
    commit_sha = _text("The whole SHA of head_sha; NULL where the repository has no such commit.", nullable=True)
    previous_sha = _text("The whole SHA of base_sha; NULL where the repository has no such commit.", nullable=True)
    range_id = _text("Its range in landing.commit_ranges; NULL where it has none.", nullable=True)
    reason = _text("Why it has no range although it is asked for.", nullable=True)
    is_behind = _flag("Whether its commit is another than the previous one, and in its history.")
    day = _day("Day of the deployment.")


class DeliveredTips(Table):
    """Commits in whose histories is all that the deployments of a service and env have had; none has another."""

    table_name = "landing.delivered_tips"
    nullable_key = ("env",)

    history = _text("The history of the deployments, as in landing.judged_deployments.", primary_key=True)
    service = _text(_SERVICE, primary_key=True)
    env = _text(_ENV, nullable=True)
    repository_id = _text(_REPOSITORY, primary_key=True)
    commit_sha = _text("The commit.", primary_key=True)
    from_day = _day("Day on which it was deployed.")
    until_day = _day("Day from whose end on another tip has it in its history; NULL while none has.", nullable=True)


class CommitRanges(Table):
    """Ranges of commits that were looked up, so that none is computed twice."""

    table_name = "landing.commit_ranges"

    range_id = _text("Digest of repository, base, head, patterns and the setting squash_merges.", primary_key=True)
    repository_id = _text(_REPOSITORY)
    base_sha = _text("Commit of the previous deployment.")
    head_sha = _text("Commit of the deployment.")
    patterns = _texts("Globs that a commit must touch; empty: all files.")
    squash_merges = _whole("Number of squash commits in it.")
    unexpanded = _texts("Those of them that stand for themselves, since the repository has no ref of their request.")
    is_final = _flag("Whether the repository could be asked for the refs of all squash commits.")


class RangeCommits(Table):
    """The commits of each looked-up range, merge commits left out, at most the 5,000 newest.

    A squash commit that stands for others has a row for each of them, and one for itself where both SHAs are its own.
    """

    table_name = "landing.range_commits"
    nullable_key = ("landed_as_sha",)

    range_id = _text("The range.", primary_key=True)
    commit_sha = _text("The commit.", primary_key=True)
    landed_as_sha = _text("The squash commit that stands for it; NULL: it is on the branch itself.", nullable=True)
    landed_place = _whole("Place of the landed commit in the range, by first parents, oldest first.")
    is_touching = _flag("Whether it touches the patterns.")
    authored_at = _moment("Author time; NULL where it cannot be used.", nullable=True)
    committed_at = _moment("Committer time; NULL where it cannot be used.", nullable=True)
    subject = _text("First line of its message, at most 500 letters.")
    reverts = _texts("SHAs, whole or abbreviated, of commits that its message says it reverts.")
    landed_subject = _text("The same of the squash commit; NULL without one.", nullable=True)
    landed_reverts = _texts("The same of the squash commit; empty without one.")
    landings = _texts("All squash commits that stand for it, those of other branches and before the range too.")


class RepeatedCommits(Table):
    """Commits of ranges that are otherwise than their ranges say, since an earlier deployment or commit has them."""

    table_name = "landing.repeated_commits"
    nullable_key = ("landed_as_sha",)

    deployment_id = _text("The deployment.", primary_key=True)
    commit_sha = _text("The commit, as in landing.range_commits.", primary_key=True)
    landed_as_sha = _text("The squash commit, as in landing.range_commits.", nullable=True)
    is_brought = _flag(
        "Whether it counts as brought: an original commit that another squash commit stands for does not, a squash "
        "commit that is left with no original does."
    )
    is_redelivery = _flag("Whether an earlier deployment of the history had it already.")
    service = _text(_SERVICE)
    day = _day("Day of the deployment.")


TABLES: tuple[type[Table], ...] = (
    SourceSelections,
    Services,
    ApmVersionActivity,
    Deployments,
    DeploymentCommits,
    Failures,
    FailureLinks,
    FailedChanges,
    RejectedEvents,
    Daily,
    Freshness,
    LandedInputs,
    LandedVersionActivity,
    LandedDeployments,
    LandedFailures,
    LandedEventRecords,
    LandedRejects,
    LeftOutFiles,
    Properties,
    JudgedDeployments,
    JudgedFailures,
    LinkedFailures,
    DeploymentKinds,
    ChangeSigns,
    JudgedChanges,
    SourceStates,
    ChangedServices,
    UnjudgedChanges,
    ChangedDays,
    ChangedDeployments,
    UnlinkedDays,
    ChangedPairs,
    StaleDays,
    Loads,
    ConfiguredRepositories,
    RepositoryErrors,
    SourcePatterns,
    CommitHistories,
    ChangedRanges,
    DeploymentRanges,
    DeliveredTips,
    CommitRanges,
    RangeCommits,
    RepeatedCommits,
)

VIEWS: tuple[type[View], ...] = (Events, Measures, DeploymentOutcomes)


def empty_frame(table: type[Table]) -> pl.DataFrame:
    """A frame with the columns and types of the table and no rows."""
    return pl.DataFrame(schema={name: column.dtype for name, column in table.columns().items()})
