"""`dora deployment`, `dora failure` and `dora resend`: events sent to an intake, with the options of `datadog-ci`."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import click

from dora_pipeline.cli.display import console, messages
from dora_pipeline.cli.parameters import Instant, Text
from dora_pipeline.identifiers import repository_id
from dora_pipeline.sending import events
from dora_pipeline.sending.checkout import Commit, NoCheckout, commit_of
from dora_pipeline.sending.delivery import deliver, resend
from dora_pipeline.sending.events import Details, Event
from dora_pipeline.sending.intake import IntakeClient
from dora_pipeline.sending.spool import Spool
from dora_pipeline.timeline import FUTURE_TOLERANCE

_MOST_TAGS = 100

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Destination(TypedDict):
    url: str | None
    ca_cert: Path | None
    timeout: float


class _Common(_Destination):
    env: str | None
    version: str | None
    team: str | None
    custom_tags: tuple[str, ...]
    event_id: str | None
    git_repository_url: str | None
    git_commit_sha: str | None
    skip_git: bool
    dry_run: bool
    spool: Path | None


def _options(*options: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    def decorated(command: _Function) -> _Function:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


_destination_options = _options(
    click.option(
        "--url",
        envvar="DORA_INTAKE_ADDRESS",
        type=Text("address", r"https?://[^\s/?#@]+(/[^\s?#@]*)?", "https://host:port without user and password"),
        show_envvar=True,
        help="Address of the intake, such as https://dora.example:8443.",
    ),
    click.option(
        "--ca-cert",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Certificates of a private authority, as PEM.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=1, max=3600),
        default=45,
        show_default=True,
        help="Seconds for one event, retries included.",
    ),
)
_common_options = _options(
    click.option("--env", envvar="DD_ENV", type=Text(), show_envvar=True, help="Environment."),
    click.option("--version", type=Text(), help="Version that the service has, or fails with."),
    click.option("--team", type=Text(), help="Team; default: that of the service in the catalog."),
    click.option(
        "--custom-tags",
        "custom_tags",
        type=Text("key:value", "[^:]+:.+", "a tag such as key:value"),
        multiple=True,
        help="A tag; may be repeated.",
    ),
    click.option(
        "--id",
        "event_id",
        type=Text("id", r"[A-Za-z0-9_.:-]{16,128}", "16 to 128 letters, digits, or any of - _ . :"),
        help="The event's own id; sent again with it, the event is brought up to date.",
    ),
    click.option("--git-repository-url", type=Text(), help="Default: the remote of the checkout."),
    click.option(
        "--git-commit-sha",
        type=Text("sha", "[0-9a-fA-F]{40,64}", "a whole commit SHA of 40 hexadecimal digits or more"),
        help="Default: the commit that is checked out.",
    ),
    click.option("--skip-git", is_flag=True, help="Leave the commit out."),
    click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing."),
    click.option(
        "--spool",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where to keep the event when it cannot be stored now, for `dora resend`.",
    ),
    _destination_options,
)
_started_option = click.option(
    "--started-at",
    type=Instant(),
    required=True,
    help="2024-05-06T07:08:09Z, or a Unix time in s, ms, µs or ns.",
)


@click.command("deployment")
@click.option("--service", envvar="DD_SERVICE", type=Text(), required=True, show_envvar=True, help="Service.")
@_started_option
@click.option("--finished-at", type=Instant(), help="Default: now.")
@_common_options
def deployment_command(
    service: str, started_at: datetime, finished_at: datetime | None, **told: Unpack[_Common]
) -> None:
    """Send a deployment to the intake. The key comes from DD_API_KEY or DATADOG_API_KEY.

    Ends with 0 only when the intake has stored it.
    """
    end = finished_at or datetime.now(UTC)
    _check_order(started_at, end)
    commit = _told_commit(told)
    _deliver(events.deployment(service, started_at, end, _details(told, commit)), told)


@click.command("failure")
@click.option("--service", "services", type=Text(), multiple=True, help="A service that fails; may be repeated.")
@_started_option
@click.option("--finished-at", type=Instant(), help="When it was restored; without it the failure is open.")
@click.option("--name", type=Text(), help="What fails, in words.")
@click.option("--severity", type=Text(), help="Such as SEV-1.")
@_common_options
def failure_command(
    services: tuple[str, ...],
    started_at: datetime,
    finished_at: datetime | None,
    name: str | None,
    severity: str | None,
    **told: Unpack[_Common],
) -> None:
    """Send a failure to the intake. The key comes from DD_API_KEY or DATADOG_API_KEY.

    Give --service or --team; without both it is the service in DD_SERVICE. Send it again with the same services, env
    and --started-at, and with --finished-at, when it is restored. Ends with 0 only when the intake has stored it.
    """
    if not services and not told["team"]:
        services = tuple(filter(None, [os.environ.get("DD_SERVICE", "").strip()]))
    if not services and not told["team"]:
        raise click.UsageError("give --service or --team: what fails?")
    _check_order(started_at, finished_at)
    try:
        commit = _told_commit(told)
    except NoCheckout as trouble:
        # Failures are often told from where no code is.
        commit = None
        _note(f"without a commit: {trouble}")
    details = _details(told, commit)
    _deliver(events.failure(services, started_at, finished_at, details, name=name, severity=severity), told)


@click.command("resend")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_destination_options
def resend_command(file: Path, **destination: Unpack[_Destination]) -> None:
    """Send the events that --spool kept in FILE, in their order; what is stored is taken out of it."""
    with _intake(destination) as intake:
        stored = resend(Spool(file), intake)
    console.print(f"stored: {stored}, left in {file}: 0", markup=False, soft_wrap=True)


def _check_order(started_at: datetime, finished_at: datetime | None) -> None:
    latest = datetime.now(UTC) + FUTURE_TOLERANCE
    for option, moment in (("--started-at", started_at), ("--finished-at", finished_at)):
        if moment is not None and moment > latest:
            raise click.UsageError(f"{option} {moment.isoformat()} is in the future")
    if finished_at is not None and started_at > finished_at:
        raise click.UsageError(
            f"--started-at {started_at.isoformat()} is after --finished-at {finished_at.isoformat()}"
        )


def _told_commit(told: _Common) -> Commit | None:
    repository_url, commit_sha = told["git_repository_url"], told["git_commit_sha"]
    if told["skip_git"]:
        if repository_url or commit_sha:
            raise click.UsageError("give --skip-git, or --git-repository-url and --git-commit-sha, not both")
        return None
    return commit_of(Path.cwd(), repository_url, commit_sha)


def _details(told: _Common, commit: Commit | None) -> Details:
    tags = told["custom_tags"]
    if len(tags) > _MOST_TAGS:
        raise click.UsageError(f"an event has at most {_MOST_TAGS} of --custom-tags, not {len(tags)}")
    return Details(told["env"], told["version"], told["team"], commit, tags, told["event_id"])


def _deliver(event: Event, told: _Common) -> None:
    if told["dry_run"]:
        click.echo(json.dumps(event.body, indent=2, ensure_ascii=False))
        return
    spool = told["spool"]
    if spool is not None and not spool.parent.is_dir():
        raise click.UsageError(f"--spool {spool}: there is no folder {spool.parent}")
    with _intake(told) as intake:
        event_id = deliver(event, intake, None if spool is None else Spool(spool))
    git = event.attributes.get("git")
    commit = f", commit {git['commit_sha'][:12]} of {repository_id(git['repository_url'])}" if git else ""
    console.print(f"stored: {event.event_type} {event_id}{commit}", markup=False, soft_wrap=True)


def _intake(destination: _Destination) -> IntakeClient:
    if destination["url"] is None:
        raise click.UsageError("where to? give --url, or set DORA_INTAKE_ADDRESS")
    return IntakeClient(
        destination["url"], seconds=destination["timeout"], note=_note, authority=destination["ca_cert"]
    )


def _note(message: str) -> None:
    messages.print(message, markup=False, soft_wrap=True)
