"""What speaks Spark Connect, on loopback: a server by itself, or on a master with workers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dora_pipeline_tests.dagster_servers import free_port
from dora_pipeline_tests.waiting import eventually

# Where `make test-spark` installs the servers; Spark's package and that of the client have one name.
SERVER = Path(sys.prefix) / "spark" / "pyspark"
SAIL = Path(sys.prefix) / "sail"
TOKEN = "not-to-be-seen/anywhere"
_DEPLOY = "org.apache.spark.deploy"
_CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"
# To compile as well as Java can takes longer than a few rows do.
_JAVA = "-XX:TieredStopAtLevel=1"
_ONE_CORE = {"spark.executor.memory": "512m", "spark.executor.cores": "1", "spark.executor.extraJavaOptions": _JAVA}


@dataclass(frozen=True)
class ConnectServer:
    """A server of Spark Connect, where it writes what it does, and the token that it asks for, if any."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    token: str = ""

    def lose(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_server(folder: Path, master: str = "local[2]") -> Iterator[ConnectServer]:
    """A Connect server that asks for TOKEN: with a Spark of its own, or as the program of a master."""
    folder.mkdir()
    port = free_port()
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.authenticate.token": TOKEN,
        "spark.sql.shuffle.partitions": "2",
        # To compile each plan takes longer than a few rows do.
        "spark.sql.codegen.wholeStage": "false",
        "spark.driver.extraJavaOptions": _JAVA,
        "spark.sql.warehouse.dir": str(folder / "tables"),
        "spark.local.dir": str(folder / "temporary"),
        **(_ONE_CORE if master.startswith("spark:") else {}),
    }
    options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
    command = [_script("spark-submit"), "--master", master, *options, "--class", _CONNECT, "spark-internal"]
    log = folder / "server.log"
    process = _started(folder, log, command)
    try:
        _wait_for(port, process, log)
        # With a token no other host is spoken to in clear.
        yield ConnectServer(f"sc://localhost:{port}", process, log, TOKEN)
    finally:
        _end(process)


@contextmanager
def running_sail(folder: Path) -> Iterator[ConnectServer]:
    """Sail, which asks for no token."""
    assert SAIL.is_dir(), f"Sail is not in {SAIL}: `make test-spark` installs it"
    folder.mkdir()
    port = free_port()
    log = folder / "server.log"
    where = ["--ip", "127.0.0.1", "--port", str(port)]
    process = _started(folder, log, [sys.executable, "-m", "pysail", "spark", "server", *where])
    try:
        _wait_for(port, process, log)
        yield ConnectServer(f"sc://localhost:{port}", process, log)
    finally:
        _end(process)


@dataclass
class Cluster:
    """A master and its workers of one core each."""

    folder: Path
    url: str
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _started: int = 0

    def add_worker(self) -> None:
        """Start one more."""
        self._started += 1
        folder = self.folder / f"worker-{self._started}"
        folder.mkdir()
        where = ["--host", "127.0.0.1", "--webui-port", "0", "--work-dir", str(folder)]
        command = [
            _script("spark-class"),
            f"{_DEPLOY}.worker.Worker",
            *where,
            "--cores",
            "1",
            "--memory",
            "1g",
            self.url,
        ]
        self.workers.append(_started(folder, folder / "worker.log", command))

    def lose_worker(self) -> None:
        """End the oldest at once, with all that it runs."""
        _end(self.workers.pop(0))


@contextmanager
def running_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A master with so many workers."""
    folder.mkdir()
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    log = folder / "master.log"
    master = _started(folder, log, [_script("spark-class"), f"{_DEPLOY}.master.Master", *where])
    cluster = Cluster(folder, f"spark://127.0.0.1:{port}")
    try:
        _wait_for(port, master, log)
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        for process in (*cluster.workers, master):
            _end(process)


def _script(name: str) -> str:
    assert shutil.which("java"), "java is missing: install Debian's default-jre-headless"
    assert SERVER.is_dir(), f"Spark is not in {SERVER}: `make test-spark` installs it"
    return str(SERVER / "bin" / name)


def _started(folder: Path, log: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    where = {"SPARK_HOME": str(SERVER), "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(SAIL)}
    daemons = {"SPARK_DAEMON_JAVA_OPTS": f"{_JAVA} -Dspark.master.rest.enabled=false"}
    with log.open("wb") as output:
        # The scripts replace themselves by Java; what that starts is in its group.
        return subprocess.Popen(
            command, cwd=folder, env=kept | where | daemons, stdout=output, stderr=output, start_new_session=True
        )


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    eventually(lambda: process.poll() is not None or _answers(port), "Spark answers")
    assert process.poll() is None, log.read_text(encoding="utf-8")


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
