"""Processor seconds of parts of the program and of processes, and their memory, for benchmarks."""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from typing import Any


def used_by(process: int) -> float:
    """Processor seconds that another process has used, all threads."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def used_by_all(process: int) -> float:
    """Processor seconds that another process and all below it have used, those that have ended too."""
    used = {}
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            one = int(path.parent.name)
            parents[one] = int(fields[1])
            used[one] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    below = {process}
    while more := {one for one, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(used.get(one, 0.0) for one in below)


def peak_mebibytes(process: int | str = "self") -> int:
    """Most memory that a process held; unlike getrusage not that of the process which started it."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


def in_a_process(script: str, *arguments: str) -> dict[str, Any]:
    """What a script in a process of its own prints in its last line, as JSON. Ends with its complaint if it fails."""
    result = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


class Stages:
    """Processor seconds of this process, all threads, in functions by stage; what a stage calls of others is theirs.

    `functions` are the functions of each stage, by the module that calls them: `package.module.function`, or a method
    of a class. What is in none is "the rest".
    """

    def __init__(self, functions: Mapping[str, Sequence[str]]) -> None:
        self._seconds: dict[str, float] = {}
        self._running = ["the rest"]
        self._since = time.process_time()
        for stage, names in functions.items():
            for name in names:
                self._wrap(stage, name)

    @contextmanager
    def measured(self) -> Iterator[dict[str, float]]:
        """The seconds of each stage in the block, when it has ended."""
        self._turn()
        self._seconds.clear()
        seconds: dict[str, float] = {}
        yield seconds
        self._turn()
        seconds |= self._seconds

    def _turn(self) -> None:
        now = time.process_time()
        stage = self._running[-1]
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def _in(self, stage: str) -> Iterator[None]:
        self._turn()
        self._running.append(stage)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def _wrap(self, stage: str, name: str) -> None:
        owner, attribute = _owner(name)
        function: Callable[..., Any] = getattr(owner, attribute)

        @wraps(function)
        def timed(*given: Any, **options: Any) -> Any:
            with self._in(stage):
                return function(*given, **options)

        @wraps(function)
        def timed_steps(*given: Any, **options: Any) -> Iterator[Any]:
            steps = iter(function(*given, **options))
            yield from self._each(stage, steps)

        setattr(owner, attribute, timed_steps if isgeneratorfunction(function) else timed)

    def _each(self, stage: str, steps: Iterable[Any]) -> Iterator[Any]:
        iterator = iter(steps)
        while True:
            with self._in(stage):
                try:
                    step = next(iterator)
                except StopIteration:
                    return
            yield step


def _owner(name: str) -> tuple[Any, str]:
    """The module or class that holds what a name names, and the last part of the name."""
    path, _, attribute = name.rpartition(".")
    try:
        return importlib.import_module(path), attribute
    except ModuleNotFoundError:
        module, _, owner = path.rpartition(".")
        return getattr(importlib.import_module(module), owner), attribute
