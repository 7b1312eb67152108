"""`dora serve`: the intake, until it is told to stop."""

from pathlib import Path

import click

from dora_pipeline.cli.display import console, messages
from dora_pipeline.config import default_home
from dora_pipeline.intake.web.certificates import Tls
from dora_pipeline.intake.web.server import IntakeServer

_FILE = click.Path(path_type=Path)


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--tls-cert", type=_FILE, help="The certificate and its chain, in PEM.")
@click.option("--tls-key", type=_FILE, help="The certificate's key, in PEM.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@click.option(
    "--rate-limit",
    type=click.IntRange(min=0),
    default=12_000,
    show_default=True,
    help="Requests a minute for each key and worker; 0 is no limit.",
)
@click.option("--insecure", is_flag=True, help="Where no key is configured: let everyone in, on loopback only.")
def serve_command(
    host: str, port: int, tls_cert: Path | None, tls_key: Path | None, workers: int, rate_limit: int, insecure: bool
) -> None:
    """Take deployments and failures over HTTP, in the words of Datadog's API.

    Keys come from DORA_INTAKE_API_KEYS and DORA_INTAKE_APP_KEYS, secrets of PagerDuty's webhooks from
    PAGERDUTY_WEBHOOK_SECRETS, each separated by commas.
    """
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("give both --tls-cert and --tls-key, or none of them")
    tls = Tls(tls_cert, tls_key) if tls_cert and tls_key else None
    server = IntakeServer(
        default_home(), host, port, tls=tls, workers=workers, requests_per_minute=rate_limit, is_insecure=insecure
    )
    server.run(lambda: _announce(server, workers, rate_limit))


def _announce(server: IntakeServer, workers: int, rate_limit: int) -> None:
    for warning in server.keys.short:
        messages.print(f"warning: {warning}; longer ones cannot be guessed", markup=False, soft_wrap=True)
    for line in _announcement(server, workers, rate_limit):
        console.print(line, markup=False, soft_wrap=True)


def _announcement(server: IntakeServer, workers: int, rate_limit: int) -> list[str]:
    keys = server.keys
    if keys.is_empty:
        admitted = "everyone on this machine, for no key is configured (--insecure)"
    else:
        admitted = f"{_counted(len(keys.api), 'API key')}, {_counted(len(keys.app), 'application key')}"
        if not keys.app:
            admitted += " (DORA_INTAKE_APP_KEYS is not set: listing, getting, deleting and patching are refused)"
    limit = f"{rate_limit:,} requests a minute for each key and worker" if rate_limit else "no limit of requests"
    return [
        f"intake   {server.address} ({_counted(workers, 'worker')}, {limit})",
        f"store    {server.store_address}",
        f"admits   {admitted}",
    ]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
