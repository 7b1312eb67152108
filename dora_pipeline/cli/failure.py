"""`dora failure`, and `start`, `end` and `list` of it for people on call."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack
from uuid import uuid4

import click

from dora_pipeline.cli.display import console, show_plain_table, utc_text
from dora_pipeline.cli.parameters import Instant, Text
from dora_pipeline.cli.sending import (
    Common,
    Destination,
    WithCheckout,
    check_order,
    checkout_options,
    common_fields,
    common_options,
    destination_options,
    given_commit,
    intake,
    note,
    options,
    send,
)
from dora_pipeline.config import Home, default_home
from dora_pipeline.errors import DoraError
from dora_pipeline.report.words import duration_text
from dora_pipeline.sending import sent_events
from dora_pipeline.sending.checkout import NoCheckout, commit_of
from dora_pipeline.sending.open_failures import OpenFailure, stored_failures

_services_option = click.option(
    "--service", "services", type=Text(), multiple=True, help="A service that fails; may be repeated."
)
_words_options = options(
    click.option("--name", type=Text(), help="What fails, in words."),
    click.option("--severity", type=Text(), help="Such as SEV-1."),
)
_now_option = click.option("--now", is_flag=True, help="It is now; so it is without any time, too.")


class NotOne(DoraError):
    """The failure to end is not known, or not the only one."""


@click.group("failure", invoke_without_command=True)
@_services_option
@click.option("--started-at", type=Instant(), help="2024-05-06T07:08:09Z, or a Unix time in s, ms, µs or ns; required.")
@click.option("--finished-at", type=Instant(), help="When it was restored; without it the failure is open.")
@_words_options
@checkout_options
@click.pass_context
def failure_command(
    ctx: click.Context,
    services: tuple[str, ...],
    started_at: datetime | None,
    finished_at: datetime | None,
    name: str | None,
    severity: str | None,
    **options: Unpack[WithCheckout],
) -> None:
    """Send a failure to the intake; or, for people on call, `start`, `end` and `list` those that are open.

    The key comes from DATADOG_API_KEY, or else DD_API_KEY. Give --service or --team; without both it is the service in
    DD_SERVICE. Send it again with the same services, env and --started-at, and with --finished-at, when it is restored.
    Ends with 0 only when the intake has stored it.
    """
    if ctx.invoked_subcommand is not None:
        given = [one.opts[0] for one in ctx.command.params if one.name and _is_given(ctx, one.name)]
        if given:
            raise click.UsageError(f"write {', '.join(given)} behind {ctx.invoked_subcommand}, not before it")
        return
    if started_at is None:
        raise click.UsageError("Missing option '--started-at'; `dora failure start` sends one that starts now")
    services = _someone(services, options)
    check_order(started_at, finished_at)
    try:
        commit = given_commit(options)
    except NoCheckout as trouble:
        # Failures are often told from where no code is.
        commit = None
        note(f"without a commit: {trouble}")
    fields = common_fields(options, commit)
    send(sent_events.failure(services, started_at, finished_at, fields, name=name, severity=severity), options)


@failure_command.command("start")
@_services_option
@_now_option
@click.option("--started-at", type=Instant(), help="2024-05-06T07:08:09Z, or a Unix time; default: now.")
@_words_options
@common_options
def start_command(
    services: tuple[str, ...],
    now: bool,
    started_at: datetime | None,
    name: str | None,
    severity: str | None,
    **options: Unpack[Common],
) -> None:
    """Send a failure that starts now, and print its id.

    No commit is taken from the folder that one stands in. A service that nobody knows is sent all the same, with a
    question: what is known are the services of the warehouse in DORA_HOME, where there is one, else those of the
    deployments that the intake has, where an application key is set.
    """
    _refuse_both(now, started_at, "--started-at")
    services = _someone(services, options)
    url, sha = options["git_repository_url"], options["git_commit_sha"]
    if (url is None) != (sha is None):
        raise click.UsageError("give both --git-repository-url and --git-commit-sha, or none of them")
    moment = started_at or datetime.now(UTC)
    check_order(moment, None)
    commit = commit_of(Path.cwd(), url, sha) if url and sha else None
    options["event_id"] = options["event_id"] or uuid4().hex
    fields = common_fields(options, commit)
    send(sent_events.failure(services, moment, None, fields, name=name, severity=severity), options)
    if not options["dry_run"]:
        note(f"`dora failure end {options['event_id']}` ends it")


@failure_command.command("end")
@click.argument("failure_id", metavar="[ID]", required=False)
@_now_option
@click.option("--finished-at", type=Instant(), help="2024-05-06T07:08:09Z, or a Unix time; default: now.")
@click.option("--service", type=Text(), help="The only open one of this service.")
@click.option("--env", type=Text(), help="The only open one of this environment.")
@destination_options
def end_command(
    failure_id: str | None,
    now: bool,
    finished_at: datetime | None,
    service: str | None,
    env: str | None,
    **destination: Unpack[Destination],
) -> None:
    """End a failure: that with ID, or the only one that is open. An application key lets the intake be asked which are.

    ID may be the beginning of an id, of 6 letters or more, where no other failure that is open has it.
    """
    _refuse_both(now, finished_at, "--finished-at")
    with intake(destination, reads=True) as client:
        if failure_id is None:
            found = _the_only(client.open_failures(), service, _is_of_environment(env, default_home()))
        else:
            found = client.failure(failure_id)
            if found.finished_at is not None and finished_at is None:
                raise NotOne(
                    f"{found.failure_id} ended at {utc_text(found.finished_at)}; --finished-at gives another end"
                )
        moment = finished_at or datetime.now(UTC)
        check_order(found.started_at, moment)
        client.send(found.ended(moment))
    lasted = duration_text((moment - found.started_at).total_seconds())
    console.print(f"ended: {found.title}, after {lasted}", markup=False, soft_wrap=True)


@failure_command.command("list")
@destination_options
def list_command(**destination: Unpack[Destination]) -> None:
    """List the failures that are open at the intake: those that `end` can end.

    With an address, as --url or DORA_INTAKE_ADDRESS, the intake is asked, which needs its application key in
    DATADOG_APP_KEY, or else DD_APP_KEY. Without one it is the intake's store of DORA_HOME. Failures that other sources
    have are in core.failures of the warehouse.
    """
    if destination["url"] is None:
        found = stored_failures(default_home())
    else:
        with intake(destination, reads=True) as client:
            found = client.open_failures()
    if not found:
        note("no failure is open at the intake")
        return
    now = datetime.now(UTC)
    show_plain_table(
        ("open", "service", "env", "severity", "name", "id"),
        [
            (
                duration_text((now - one.started_at).total_seconds()),
                ", ".join(one.services) or f"team {one.team}",
                one.env or "–",
                one.severity or "–",
                one.name or "–",
                one.failure_id,
            )
            for one in found
        ],
    )


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE


def _someone(services: tuple[str, ...], options: Common) -> tuple[str, ...]:
    if not services and not options["team"]:
        services = tuple(filter(None, [os.environ.get("DD_SERVICE", "").strip()]))
    if not services and not options["team"]:
        raise click.UsageError("give --service or --team: what fails?")
    return services


def _refuse_both(now: bool, moment: datetime | None, option: str) -> None:
    if now and moment is not None:
        raise click.UsageError(f"give --now or {option}, not both")


def _is_of_environment(env: str | None, home: Home) -> Callable[[OpenFailure], bool]:
    """Whether a failure is of an environment, by any name that the home's settings, where it has any, give it."""
    if env is None:
        return lambda one: True
    if not home.settings_file.exists():
        return lambda one: one.env == env
    # Those who only send need no settings.
    from dora_pipeline.settings import read_settings

    name_of = read_settings(home).environment
    return lambda one: name_of(one.env) == name_of(env)


def _the_only(found: list[OpenFailure], service: str | None, is_meant: Callable[[OpenFailure], bool]) -> OpenFailure:
    chosen = [one for one in found if service in (None, *one.services) and is_meant(one)]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise NotOne("no such failure is open at the intake; `dora failure list` shows those that are")
    lines = [f"  {one.title}" for one in chosen]
    raise NotOne("\n".join([f"{len(chosen)} failures are open; give the id of one, or --service and --env:", *lines]))
