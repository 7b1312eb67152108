"""Dagster as it runs at a user's: its page, its daemon, and what is asked of them over GraphQL."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from dora_pipeline.cli.dagster_home import DagsterHome, workspace_file
from dora_pipeline.config import Home
from dora_pipeline_tests.dagster_runs import DAILY
from dora_pipeline_tests.waiting import PATIENCE, eventually

_LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "dora_pipeline"}
# What a backfill is called that will do no more.
ENDED = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED")


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Dagster:
    """A page of Dagster that answers."""

    url: str

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of an answer to a GraphQL query."""
        told = requests.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=PATIENCE
        ).json()
        assert "errors" not in told, told["errors"]
        return told["data"]

    def is_ready(self) -> bool:
        """Whether the page shows the assets, and backfills would start."""
        try:
            told = self.ask(
                """{
                    assetNodes { id }
                    instance { daemonHealth { allDaemonStatuses { daemonType healthy } } }
                }"""
            )
        except (requests.RequestException, AssertionError, ValueError):
            return False
        health = {item["daemonType"]: item["healthy"] for item in told["instance"]["daemonHealth"]["allDaemonStatuses"]}
        return bool(told["assetNodes"]) and bool(health.get("BACKFILL")) and bool(health.get("SENSOR"))

    def backfill(self, days: Sequence[str], assets: Sequence[str] = DAILY) -> str:
        """Launch a backfill as the page does; its id."""
        told = self.ask(
            """mutation($b: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $b) {
                __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
            } }""",
            b={"assetSelection": [{"path": name.split("/")} for name in assets], "partitionNames": list(days)},
        )["launchPartitionBackfill"]
        assert told["__typename"] == "LaunchBackfillSuccess", told
        backfill_id: str = told["backfillId"]
        return backfill_id

    def newest_backfill(self) -> str | None:
        """The id of the backfill that was launched last; None where there is none yet."""
        told = self.ask("{ partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills { results { id } } } }")
        return next((item["id"] for item in told["partitionBackfillsOrError"]["results"]), None)

    def backfill_state(self, backfill_id: str) -> str:
        """The status of a backfill, such as COMPLETED_SUCCESS."""
        state: str = self.ask(
            """query($i: String!) {
                partitionBackfillOrError(backfillId: $i) { ... on PartitionBackfill { status } }
            }""",
            i=backfill_id,
        )["partitionBackfillOrError"]["status"]
        return state

    def cancel_backfill(self, backfill_id: str) -> None:
        """Cancel a backfill and its runs, as the page does."""
        self.ask("""mutation($i: String!) { cancelPartitionBackfill(backfillId: $i) { __typename } }""", i=backfill_id)

    def runs(self, limit: int = 200) -> list[dict[str, Any]]:
        """Runs, newest first: runId, status, startTime, endTime, tags as a mapping."""
        found = self.ask(
            """query($n: Int!) { runsOrError(limit: $n) { ... on Runs { results {
                runId status jobName startTime endTime creationTime tags { key value }
            } } } }""",
            n=limit,
        )["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def partitions(self, asset: str) -> dict[str, int]:
        """How many days of an asset are materialized, failed, being made, and there in all."""
        told = self.ask(
            """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { partitionStats {
                numMaterialized numFailed numMaterializing numPartitions
            } } } }""",
            k={"path": asset.split("/")},
        )["assetNodeOrError"]["partitionStats"]
        return {name.removeprefix("num").lower(): count for name, count in told.items()}

    def made_days(self, assets: Sequence[str] = DAILY) -> dict[str, set[str]]:
        """The days of each asset that are called materialized."""
        return {asset: self._made(asset) for asset in assets}

    def _made(self, asset: str) -> set[str]:
        told = self.ask(
            """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode {
                partitionKeys
                assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } }
            } } }""",
            k={"path": asset.split("/")},
        )["assetNodeOrError"]
        made = [item for item in told["assetPartitionStatuses"]["ranges"] if item["status"] == "MATERIALIZED"]
        return {key for key in told["partitionKeys"] if any(item["startKey"] <= key <= item["endKey"] for item in made)}

    def days(self, asset: str = "metrics/daily") -> list[str]:
        """The partition keys of an asset, oldest first."""
        told = self.ask(
            """query($k: AssetKeyInput!) { assetNodeOrError(assetKey: $k) { ... on AssetNode { partitionKeys } } }""",
            k={"path": asset.split("/")},
        )
        keys: list[str] = told["assetNodeOrError"]["partitionKeys"]
        return keys

    def launch(self, job: str, config: Mapping[str, Any]) -> str:
        """Launch a job with a run configuration; the id of its run."""
        told = self.ask(
            """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
                __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
                ... on RunConfigValidationInvalid { errors { message } }
            } }""",
            p={"selector": {**_LOCATION, "jobName": job}, "runConfigData": config, "mode": "default"},
        )["launchRun"]
        assert told["__typename"] == "LaunchRunSuccess", told
        run_id: str = told["run"]["runId"]
        return run_id


class Units:
    """Webserver and daemons as services of their own on a home, started again when they end.

    With `apart` they do not know the home, as on another machine: a code server does, which they ask over gRPC.
    """

    def __init__(
        self,
        home: Path,
        logs: Path,
        daemons: int = 1,
        environment: Mapping[str, str] | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self._logs = logs
        port = free_port()
        self.page = Dagster(f"http://127.0.0.1:{port}")
        dagster = DagsterHome(Home(home))
        dagster.make()
        self._folder = dagster.path
        self._environment = {
            **dagster.environment,
            **(environment or {}),
            "DORA_HOME": str(home),
            "DAGSTER_HOME": str(home / "dagster"),
        }
        told = ["-w", str(workspace_file())]
        self._homeless: set[str] = set()
        self._commands: dict[str, list[str]] = {}
        if apart:
            served, workspace = free_port(), logs / "workspace.yaml"
            logs.mkdir(parents=True, exist_ok=True)
            workspace.write_text(
                f"load_from:\n- grpc_server: {{host: 127.0.0.1, port: {served}, location_name: dora_pipeline}}\n",
                encoding="utf-8",
            )
            told = ["-w", str(workspace)]
            where = ["-h", "127.0.0.1", "-p", str(served)]
            self._commands["code server"] = [
                "dagster",
                "code-server",
                "start",
                *where,
                "-m",
                "dora_pipeline.definitions",
            ]
            self._homeless = {"webserver", *(f"daemon-{number}" for number in range(1, daemons + 1))}
        self._commands |= {
            "webserver": ["dagster_webserver", "-h", "127.0.0.1", "-p", str(port), *told],
            **{f"daemon-{number}": ["dagster._daemon", "run", *told] for number in range(1, daemons + 1)},
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)

    def __enter__(self) -> "Units":
        self._logs.mkdir(parents=True, exist_ok=True)
        self._keeper.start()
        eventually(self.page.is_ready, f"page and daemon, see {self._logs}")
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._keeper.join()
        for _, pid in self._members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes.values():
            process.wait()

    def kill(self, kind: str, chance: random.Random) -> bool:
        """SIGKILL for one process of a kind; False where there is none now."""
        pids = [pid for name, pid in self._members() if name == kind]
        if not pids:
            return False
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
            return True
        return False

    def memory(self) -> int:
        """Bytes of resident memory of all processes together, now."""
        pages = 0
        for _, pid in self._members():
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """Processor time of all processes and of their children that have ended."""
        return sum(_seconds(pid, 4) for _, pid in self._members())

    def run_workers(self) -> dict[int, float]:
        """The processes of runs that are going on now, and the processor time of each."""
        return {pid: _seconds(pid, 2) for kind, pid in self._members() if kind == "run worker"}

    def _keep(self) -> None:
        while not self._is_over.wait(0.5):
            for name, command in self._commands.items():
                known = self._processes.get(name)
                if known is None or known.poll() is not None:
                    with (self._logs / f"{name}.log").open("ab") as output:
                        left_out = {"DORA_HOME"} if name in self._homeless else ()
                        self._processes[name] = subprocess.Popen(
                            [sys.executable, "-m", *command],
                            env={key: value for key, value in self._environment.items() if key not in left_out},
                            cwd=self._folder,
                            stdout=output,
                            stderr=subprocess.STDOUT,
                            start_new_session=True,
                        )

    def _members(self) -> list[tuple[str, int]]:
        """Kind and pid of every process that works on this home: also of those whose parent is gone."""
        mark = f"DAGSTER_HOME={self._folder}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append((_kind(command), int(folder.name)))
        return [(kind, pid) for kind, pid in found if pid != os.getpid()]


def _seconds(pid: int, numbers: int) -> float:
    """Processor time of a process in user and system mode: the first two numbers; the next two are its children's."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(value) for value in told[11 : 11 + numbers]) / os.sysconf("SC_CLK_TCK")


def _kind(command: str) -> str:
    if "dagster_webserver" in command:
        return "webserver"
    if "dagster._daemon" in command:
        return "daemon"
    if "api grpc" in command or "code-server" in command:
        return "code server"
    return "run worker" if "spawn_main" in command or "execute_run" in command else "other"


@contextmanager
def running_dagster(home: Path, log: Path) -> Iterator[Dagster]:
    """`dora dev` on a home, ready; it ends, with all that it started, at the end of the block."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    command = [sys.executable, "-m", "dora_pipeline.cli", "dev", "--port", str(port)]
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            env={**environment, "DORA_HOME": str(home)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        server = Dagster(f"http://127.0.0.1:{port}")
        eventually(lambda: server.is_ready() or _ended(process, log), "dora dev")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=PATIENCE)
        finally:
            process.kill()


def _ended(process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text(encoding="utf-8")
    return False
