"""`dora deployment` and `dora resend`, and what every command that sends events has: the options of `datadog-ci`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import click

from dora_pipeline.cli.display import console, messages
from dora_pipeline.cli.parameters import Instant, Text
from dora_pipeline.config import default_home
from dora_pipeline.identifiers import repository_id
from dora_pipeline.sending import sent_events
from dora_pipeline.sending.checkout import LocatedCommit, commit_of
from dora_pipeline.sending.delivery import deliver, resend
from dora_pipeline.sending.intake import IntakeClient
from dora_pipeline.sending.open_failures import questions_of
from dora_pipeline.sending.sent_events import CommonFields, Event
from dora_pipeline.sending.spool import Spool
from dora_pipeline.timeline import FUTURE_TOLERANCE

_MOST_TAGS = 100
# Whether a service is known is worth no longer wait.
_SECONDS_TO_ASK = 10.0

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Destination(TypedDict):
    """The intake that a command speaks to."""

    url: str | None
    ca_cert: Path | None
    timeout: float


class Common(Destination):
    """What every event can have, and where it goes."""

    env: str | None
    version: str | None
    team: str | None
    custom_tags: tuple[str, ...]
    event_id: str | None
    git_repository_url: str | None
    git_commit_sha: str | None
    dry_run: bool
    spool: Path | None


class WithCheckout(Common):
    """The same, with the commit of the checkout unless it is to be left out."""

    skip_git: bool


def options(*options: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """Several options as one decorator, in the order in which help shows them."""

    def decorated(command: _Function) -> _Function:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


destination_options = options(
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
common_options = options(
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
    click.option("--git-repository-url", type=Text(), help="Of the repository that holds the commit."),
    click.option(
        "--git-commit-sha",
        type=Text("sha", "[0-9a-fA-F]{40,64}", "a whole commit SHA of 40 hexadecimal digits or more"),
        help="The commit that the event is about.",
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing."),
    click.option(
        "--spool",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where to keep the event when it cannot be stored now, for `dora resend`.",
    ),
    destination_options,
)
checkout_options = options(
    click.option(
        "--skip-git", is_flag=True, help="Leave the commit out; by default it is that of the checkout one stands in."
    ),
    common_options,
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
@checkout_options
def deployment_command(
    service: str, started_at: datetime, finished_at: datetime | None, **options: Unpack[WithCheckout]
) -> None:
    """Send a deployment to the intake. The key comes from DATADOG_API_KEY, or else DD_API_KEY.

    Ends with 0 only when the intake has stored it.
    """
    end = finished_at or datetime.now(UTC)
    check_order(started_at, end)
    commit = given_commit(options)
    send(sent_events.deployment(service, started_at, end, common_fields(options, commit)), options)


@click.command("resend")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@destination_options
def resend_command(file: Path, **destination: Unpack[Destination]) -> None:
    """Send the events that --spool kept in FILE, in their order; what is stored is taken out of it."""
    with intake(destination) as client:
        stored = resend(Spool(file), client)
    console.print(f"stored: {stored}, left in {file}: 0", markup=False, soft_wrap=True)


def check_order(started_at: datetime, finished_at: datetime | None) -> None:
    """Raise click.UsageError for times in the future, and for an end before the start."""
    latest = datetime.now(UTC) + FUTURE_TOLERANCE
    for option, moment in (("--started-at", started_at), ("--finished-at", finished_at)):
        if moment is not None and moment > latest:
            raise click.UsageError(f"{option} {moment.isoformat()} is in the future")
    if finished_at is not None and started_at > finished_at:
        raise click.UsageError(f"--finished-at {finished_at.isoformat()} is before the start, {started_at.isoformat()}")


def given_commit(options: WithCheckout) -> LocatedCommit | None:
    """The commit of an event: as it is given, else that of the checkout; None where it is to be left out."""
    repository_url, commit_sha = options["git_repository_url"], options["git_commit_sha"]
    if options["skip_git"]:
        if repository_url or commit_sha:
            raise click.UsageError("give --skip-git, or --git-repository-url and --git-commit-sha, not both")
        return None
    return commit_of(Path.cwd(), repository_url, commit_sha)


def common_fields(options: Common, commit: LocatedCommit | None) -> CommonFields:
    """What is given of an event, in one."""
    tags = options["custom_tags"]
    if len(tags) > _MOST_TAGS:
        raise click.UsageError(f"an event has at most {_MOST_TAGS} of --custom-tags, not {len(tags)}")
    return CommonFields(options["env"], options["version"], options["team"], commit, tags, options["event_id"])


def send(event: Event, options: Common) -> None:
    """Send an event, and print its id, and a warning where nobody knows what it names; or print what would be sent."""
    if options["dry_run"]:
        click.echo(json.dumps(event.body, indent=2, ensure_ascii=False))
        return
    spool = options["spool"]
    if spool is not None and not spool.parent.is_dir():
        raise click.UsageError(f"--spool {spool}: there is no folder {spool.parent}")
    with intake(options) as client:
        event_id = deliver(event, client, None if spool is None else Spool(spool))
    git = event.attributes.get("git")
    commit = f", commit {git['commit_sha'][:12]} of {repository_id(git['repository_url'])}" if git else ""
    console.print(f"stored: {event.event_type} {event_id}{commit}", markup=False, soft_wrap=True)
    asking: Destination = {"url": options["url"], "ca_cert": options["ca_cert"], "timeout": _SECONDS_TO_ASK}
    for question in questions_of(event, event_id, default_home(), lambda: intake(asking, reads=True)):
        note(f"warning: {question}")


def intake(destination: Destination, *, reads: bool = False) -> IntakeClient:
    """A client of the intake; `reads`: it needs the application key, too."""
    if destination["url"] is None:
        raise click.UsageError("where to? give --url, or set DORA_INTAKE_ADDRESS")
    return IntakeClient(
        destination["url"], seconds=destination["timeout"], note=note, authority=destination["ca_cert"], reads=reads
    )


def note(message: str) -> None:
    """Print a message that is not the answer."""
    messages.print(message, markup=False, soft_wrap=True)
