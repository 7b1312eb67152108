"""The command `dora`. Each of its commands is in a module of its own, which is read when it is called."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import NoReturn

import click

# Where each command is, and what the list of commands says of it: the list needs none of what the commands need.
_COMMANDS: Mapping[str, tuple[str, str]] = {
    "backup": ("backup", "Write an archive of all that cannot be made again."),
    "check": ("check", "Check the whole warehouse, and say what to do."),
    "dashboard": ("dashboard", "Show the figures of any question in a browser."),
    "demo": ("demo", "Run the whole pipeline on bundled real data."),
    "deployment": ("sending", "Send a deployment to the intake."),
    "dev": ("dev", "Start Dagster's page, schedules and sensors."),
    "explain": ("explain", "Show the events behind each figure of a service."),
    "export": ("export", "Write core and metrics as Parquet files."),
    "failure": ("failures", "Send a failure to the intake, end one, list the open ones."),
    "init": ("files", "Write commented settings to begin with."),
    "report": ("report", "Write the report page, and print its path."),
    "resend": ("sending", "Send the events that --spool kept."),
    "restore": ("backup", "Restore an archive into an empty DORA_HOME."),
    "run": ("runs", "Read the sources, and load the days that changed."),
    "select": ("selections", "Select the sources of deployments or failures."),
    "serve": ("serve", "Take deployments and failures over HTTP."),
    "sources": ("sources", "Show every source, and what came from it."),
    "sql": ("queries", "Query the warehouse, read-only."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"dora_pipeline.cli.{_COMMANDS[cmd_name][0]}")
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
            formatter.write_dl([(name, _COMMANDS[name][1]) for name in self.list_commands(ctx)])


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
        # Whoever read the output has seen enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        _fail("stopped")
    except Exception as error:
        if "--debug" in sys.argv[1:]:
            raise
        _fail(_explained(error))


def _explained(error: Exception) -> str:
    from dora_pipeline.errors import DoraError
    from dora_pipeline.identifiers import without_secrets

    known = isinstance(error, DoraError)
    text = str(error) if known else f"{type(error).__name__}: {error} (not expected; `dora --debug …` shows where)"
    return f"dora: {without_secrets(text)}"


def _fail(line: str) -> NoReturn:
    from dora_pipeline.cli.display import messages

    messages.print(line, markup=False, soft_wrap=True)
    sys.exit(1)
