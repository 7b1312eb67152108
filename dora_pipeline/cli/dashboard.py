"""`dora dashboard`: pages about the published warehouse, until it is told to stop."""

import click

from dora_pipeline.cli.display import console, messages
from dora_pipeline.config import default_home
from dora_pipeline.dashboard.server import DashboardServer
from dora_pipeline.listening import is_loopback


@click.command("dashboard")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 takes a free one.")
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name under which it is asked, such as that of a proxy that passes its own on; may stand several times.",
)
def dashboard_command(host: str, port: int, names: tuple[str, ...]) -> None:
    """Show the figures of any question in a browser, always of the newest publication, read-only."""
    server = DashboardServer(default_home(), host, port, names)
    server.run(lambda: _announce(server, host))


def _announce(server: DashboardServer, host: str) -> None:
    if not is_loopback(host):
        text = "dora: everyone who reaches this address can read all figures; put it behind a proxy with sign-in"
        messages.print(text, markup=False, soft_wrap=True)
    console.print(f"dashboard   {server.address}", markup=False, soft_wrap=True)
