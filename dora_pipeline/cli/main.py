"""The command `dora`. Each of its commands is in a module of its own, which is read when it is called."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module

import click

from dora_pipeline.cli.display import messages
from dora_pipeline.errors import DoraError
from dora_pipeline.identifiers import without_secrets

# Sending one event, or answering requests, should not wait for what loading a warehouse needs.
_MODULES: Mapping[str, str] = {
    "backup": "backup",
    "check": "check",
    "demo": "demo",
    "deployment": "sending",
    "dev": "dev",
    "failure": "sending",
    "init": "files",
    "report": "report",
    "resend": "sending",
    "restore": "backup",
    "run": "runs",
    "select": "selections",
    "serve": "serve",
    "sources": "sources",
    "sql": "queries",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"dora_pipeline.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.version_option(package_name="dora-pipeline")
def dora(debug: bool) -> None:
    """DORA metrics from deployments and failures. All files live in the folder DORA_HOME."""


def main() -> None:
    """Run a command: 0 done, 1 failed with one clear line on stderr, 2 wrong usage."""
    try:
        dora(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        messages.print("stopped")
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        messages.print("stopped")
        sys.exit(1)
    except Exception as error:
        if "--debug" in sys.argv[1:]:
            raise
        known = isinstance(error, DoraError)
        told = str(error) if known else f"{type(error).__name__}: {error} (not expected; `dora --debug …` shows where)"
        messages.print(f"dora: {without_secrets(told)}", markup=False, soft_wrap=True)
        sys.exit(1)
