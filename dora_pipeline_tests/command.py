"""The `dora` command in tests: in this process through its entry point, or as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

from dora_pipeline.cli.main import main
from dora_pipeline_tests.waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str


def environment(folder: Path) -> dict[str, str]:
    """This process's environment, with another home."""
    return {**os.environ, "DORA_HOME": str(folder), "COLUMNS": "80"}


def command_line(*arguments: str) -> list[str]:
    """How a `dora` command is started as a process."""
    return [sys.executable, "-m", "dora_pipeline.cli", *arguments]


def call(folder: Path, *arguments: str) -> Answer:
    """Run `dora` in this process, through its entry point: for what a process of its own adds nothing to."""
    code = 0
    out, err = (TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        patch.object(sys, "argv", ["dora", *arguments]),
        patch.dict(os.environ, environment(folder)),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Answer(code, *(stream.detach().getvalue().decode() for stream in (out, err)))


def process(folder: Path, *arguments: str, before: Sequence[str] = ()) -> Answer:
    """Run `dora` as a process of its own; `before` is a command that starts it with less than it would have."""
    ended = subprocess.run(
        [*before, *command_line(*arguments)], env=environment(folder), capture_output=True, text=True, timeout=PATIENCE
    )
    return Answer(ended.returncode, ended.stdout, ended.stderr)


def without_root() -> list[str]:
    """What to put before a command so that modes of files hold for it; nothing where they hold already."""
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
