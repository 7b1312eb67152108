"""How much there is to read: modules and lines, names of several things, and five walks through the program.

    python benchmarks/structure.py [--json FILE]

The walks run the program as users do, in processes that write down which functions of the package they enter: a
sighting from file to metric, a failure that is sent, a selection, a setting, and the backfill of a day as Dagster's
page starts it. Beside each total stands what a run with nothing new does not pass, so that the walk itself is seen.
Which names may stand twice is said in docs/architecture.md ("Names").
Measures the package of the environment that it is run with; needs no network but loopback.
"""

import argparse
import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

import dora_pipeline
from dora_pipeline.sources.source import Reader

PACKAGE = Path(dora_pipeline.__file__).parent
DAY = "2026-03-02"
SETTINGS = "sources: {apm_deployment_tracking: {quiet_gap: 2h}}\n"
PRIVATE_WORDS = re.compile(r"\b(?:un)?t(?:old|ells?|ellings?)(?=\b|_)|(?<=_)t(?:old|ells?|ellings?)\b")

# Read by every Python process of a walk: writes the functions of the package that it entered, when it ends.
TRACER = """
import atexit, os, sys, threading
entered, package = set(), os.environ["WALK_PACKAGE"] + os.sep
def profile(frame, event, argument):
    if event == "call":
        code = frame.f_code
        if code.co_filename.startswith(package) and code.co_name[0] != "<":
            entered.add((code.co_filename[len(package):], code.co_qualname))
def write():
    sys.setprofile(None)
    with open(os.path.join(os.environ["WALK_FOLDER"], str(os.getpid())), "a") as file:
        file.writelines(f"{path}\\t{name}\\n" for path, name in sorted(entered))
threading.setprofile(profile)
sys.setprofile(profile)
atexit.register(write)
"""


def main() -> None:
    """Print the tables, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes, (twins, shared), walked = size(), names_defined_twice(), walks()
    print("\n".join(f"{name}: {count}" for name, count in sizes.items()))
    for what, names in (("names of several things", twins), ("names of one thing in several modules", shared)):
        print(f"{what}: {len(names)}")
        print("".join(f"  {name}: {', '.join(places)}\n" for name, places in sorted(names.items())), end="")
    print("\n| walk | functions | files | beyond an idle run: functions | files |\n|---|---|---|---|---|")
    for walk, counts in walked.items():
        print(f"| {walk} | " + " | ".join(str(count) for count in counts) + " |")
    if options.json:
        tables = {"sizes": sizes, "twins": twins, "shared": shared, "walks": walked}
        options.json.write_text(json.dumps(tables, indent=1) + "\n")


def size() -> dict[str, int]:
    """Modules, SQL files, lines of both, modules past 300 lines, and words that only this project used."""
    modules, queries = list(PACKAGE.rglob("*.py")), list(PACKAGE.rglob("*.sql"))
    texts = {path: path.read_text() for path in [*modules, *queries]}
    return {
        "modules": len(modules),
        "lines of Python": sum(texts[path].count("\n") for path in modules),
        "SQL files": len(queries),
        "lines of SQL": sum(texts[path].count("\n") for path in queries),
        "modules past 300 lines": sum(texts[path].count("\n") > 300 for path in modules),
        "told and its kin": sum(len(PRIVATE_WORDS.findall(text)) for text in texts.values()),
    }


def names_defined_twice() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Classes, functions and modules that bear one name: those that are several things, and those that are one."""
    places: dict[str, list[str]] = defaultdict(list)
    imports = {}
    for path in PACKAGE.rglob("*.py"):
        module, tree = str(path.relative_to(PACKAGE).with_suffix("")), ast.parse(path.read_text())
        imports[module.removesuffix("/__init__")] = imported(tree)
        if not path.stem.startswith("__"):
            places[f"module {path.stem}"].append(module)
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    found = {name: sorted(modules) for name, modules in places.items() if len(modules) > 1}
    shared = {name: modules for name, modules in found.items() if are_one_thing(name, modules, imports)}
    return {name: modules for name, modules in found.items() if name not in shared}, shared


def imported(tree: ast.Module) -> set[str]:
    """The modules of the package that a module imports, and the names that it takes from them, as paths."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names} | {node.module for node in nodes}
    return {name.partition(".")[2].replace(".", "/") for name in names if name.startswith(f"{PACKAGE.name}.")}


def are_one_thing(name: str, modules: list[str], imports: Mapping[str, set[str]]) -> bool:
    """Whether a rule of docs/architecture.md lets the modules share a name."""
    if not name.startswith("module "):
        return name in Reader.__dataclass_fields__ and all(plan(module) == "sources" for module in modules)
    reached, waiting = {modules[0]}, set(modules[1:])
    while linked := {
        one
        for one in waiting
        for other in reached
        if plan(one) == plan(other) != "" or builds_on(one, other, imports) or builds_on(other, one, imports)
    }:
        reached, waiting = reached | linked, waiting - linked
    return not waiting


def plan(module: str) -> str:
    """The plan by which the folder of a module is made; none of most."""
    room = module.rpartition("/")[0]
    return "servers" if room in ("dashboard", "intake/web") else room.partition("/")[0] if "sources/" in room else ""


def builds_on(module: str, other: str, imports: Mapping[str, set[str]]) -> bool:
    """Whether a module imports another one, by itself or through the registry of sources."""
    direct = imports[module]
    declared = {name for source in imports["sources/registry"] for name in imports.get(source, ())}
    return other in direct or ("sources/registry" in direct and other in declared)


def walks() -> dict[str, list[int]]:
    """For each walk: functions and files passed, and those of them that a run with nothing new does not pass."""
    with tempfile.TemporaryDirectory() as folder:
        walker = Walker(Path(folder))
        walker.prepare()
        idle = walker.passed(walker.run)
        steps: Mapping[str, Callable[[], None]] = {
            "a sighting, from file to metric": walker.sighting,
            "a failure that is sent": walker.sent_failure,
            "a selection": walker.selection,
            "a setting": walker.setting,
            "a backfill of a day": walker.backfill,
        }
        counts = {"a run with nothing new": [len(idle), len({path for path, _ in idle}), 0, 0]}
        for name, step in steps.items():
            passed = walker.passed(step)
            own = passed - idle
            counts[name] = [len(passed), len({path for path, _ in passed}), len(own), len({path for path, _ in own})]
    return counts


class Walker:
    """Runs the program on a home of its own, and knows which functions were entered."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._traces = folder / "traces"
        self._traces.mkdir()
        (folder / "tracer").mkdir()
        (folder / "tracer" / "sitecustomize.py").write_text(TRACER)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DORA_HOME": str(self.home),
            "DAGSTER_HOME": str(folder),
            "PYTHONPATH": str(folder / "tracer"),
            "WALK_PACKAGE": str(PACKAGE),
            "WALK_FOLDER": str(self._traces),
        }

    def prepare(self) -> None:
        """A home with two sources, one export, and a first load."""
        self.dora("init")
        self.dora("select", "deployments", "apm_deployment_tracking", "--at", "2026-03-01T00:00:00Z")
        self.dora("select", "failures", "failure_event_api", "--at", "2026-03-01T00:00:00Z")
        self._write_sighting("first", 8)
        self.run()

    def passed(self, step: Callable[[], None]) -> set[tuple[str, str]]:
        """The functions that the processes of a step enter, as (file, name)."""
        for trace in self._traces.iterdir():
            trace.unlink()
        step()
        lines = [line for trace in self._traces.iterdir() for line in trace.read_text().splitlines()]
        return {(path, name) for path, _, name in (line.partition("\t") for line in lines)}

    def run(self) -> None:
        self.dora("run")

    def sighting(self) -> None:
        self._write_sighting("second", 10)
        self.run()

    def sent_failure(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "dora_pipeline.cli", "serve", "--insecure", "--port", str(port)]
        server = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            self._post(f"http://127.0.0.1:{port}/api/v2/dora/failure")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
        self.run()

    def selection(self) -> None:
        self.dora("select", "deployments", "apm_deployment_tracking", "deployment_event_api")
        self.run()

    def setting(self) -> None:
        (self.home / "dora.yaml").write_text(SETTINGS)
        self.run()

    def backfill(self) -> None:
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "dora_pipeline.definitions"]
        self._call([*command, "--select", "*", "--partition", DAY])

    def dora(self, *arguments: str) -> None:
        self._call([sys.executable, "-m", "dora_pipeline.cli", *arguments])

    def _call(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")

    def _post(self, url: str) -> None:
        started_at = int(time.time()) * 1_000_000_000
        attributes = {"services": ["shop"], "env": "production", "started_at": started_at}
        for _ in range(600):
            try:
                requests.post(url, json={"data": {"attributes": attributes}}, timeout=60).raise_for_status()
            except requests.ConnectionError:
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"{url} does not answer")

    def _write_sighting(self, version: str, hour: int) -> None:
        record = {"timestamp": f"{DAY}T{hour:02}:00:00Z", "service": "shop", "env": "production", "version": version}
        (self.home / "exports" / "apm" / f"{version}.jsonl").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
