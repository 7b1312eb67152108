"""The command `dora`. Each of its commands is in a module of its own, which is read when it is called."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import NoReturn, TypeGuard

import click

from dora_pipeline.files import NO_SPACE

# What the list of commands says of each: the list needs none of what the commands need.
_COMMANDS: Mapping[str, str] = {
    "backup": "Write an archive of all that cannot be made again.",
    "check": "Check the whole warehouse, and say what to do.",
    "dashboard": "Show the figures of any question in a browser.",
    "demo": "Run the whole pipeline on bundled real data.",
    "deployment": "Send a deployment to the intake.",
    "dev": "Start Dagster's page, schedules and sensors.",
    "explain": "Show the events behind each figure of a service.",
    "export": "Write core and metrics as Parquet files.",
    "failure": "Send a failure to the intake, end one, list the open ones.",
    "init": "Write commented settings to begin with.",
    "report": "Write the report page, and print its path.",
    "resend": "Send the events that --spool kept.",
    "restore": "Restore an archive into an empty DORA_HOME.",
    "run": "Read the sources, and load the days that changed.",
    "select": "Select the sources of deployments or failures.",
    "serve": "Take deployments and failures over HTTP.",
    "sources": "Show every source, and what came from it.",
    "sql": "Query the warehouse, read-only.",
}
# Those that share a module with another one; every other module has the name of its command.
_MODULES: Mapping[str, str] = {"deployment": "sending", "resend": "sending", "restore": "backup"}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"dora_pipeline.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from dora_pipeline.identifiers import suggestion

        name = args[0]
        if name not in _COMMANDS and name[:1].isalnum():
            ctx.fail(f"there is no command {name!r}{suggestion(name, _COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show where an error came from.")
@click.version_option(package_name="dora-pipeline")
def dora(debug: bool) -> None:
    """DORA metrics from deployments and failures. All files live in the folder DORA_HOME."""


def main() -> None:
    """Run a command: 0 done, 1 failed with one clear line on stderr, 2 wrong usage."""
    try:
        dora(prog_name="dora", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        _fail("stopped")
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        _drop_output()
        sys.exit(1)
    except KeyboardInterrupt:
        _fail("stopped")
    except Exception as error:
        if "--debug" in sys.argv[1:]:
            raise
        if _is_for_want_of_space(error):
            _drop_output()
        _fail(_explained(error))


def _drop_output() -> None:
    """Let what is still buffered go nowhere: Python would try to write it at its end, and end with another code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_for_want_of_space(error: Exception) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in NO_SPACE


def _explained(error: Exception) -> str:
    from dora_pipeline.errors import DoraError, forbidden_file
    from dora_pipeline.identifiers import without_secrets

    if isinstance(error, DoraError):
        text = str(error)
    elif forbidden := forbidden_file(error):
        text = forbidden
    elif _is_for_want_of_space(error):
        text = f"{error.filename or 'the output'}: {error.strerror}; make space, and do it again"
    else:
        text = f"{type(error).__name__}: {error} (not expected; `dora --debug …` shows where)"
    return f"dora: {without_secrets(text)}"


def _fail(line: str) -> NoReturn:
    from dora_pipeline.cli.display import messages

    messages.print(line, markup=False, soft_wrap=True)
    sys.exit(1)
