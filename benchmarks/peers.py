"""Failures linked to deployments by us, by the query that DevLake asks of MariaDB, and by plain pandas.

    PYTHONPATH=. python benchmarks/peers.py [--deployments 177462] [--failures 3193] [--services 200] [--json F]

One world for all: services of unequal traffic over three years, two thirds of the deployments in production and one in
twenty failed; a failure names its service, and some their version, commit or deployment. We link by all our rules, with
the runner-up of each. DevLake's question is which successful deployment to production of an incident's
project finished last before it; here each service is a project. It is asked in one statement, with an index of the
project as there, and with one made for the question. pandas has `merge_asof` for it. Seconds are of processors, the
database server's own among them; loading is what it takes until the question can be asked. Each peer is a process of
its own, and MariaDB (Debian's mariadb-server) listens on a socket in a temporary folder only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from results import Results, add_json_option
from stopwatch import Stages, peak_mebibytes, used_by

from dora_pipeline_tests.waiting import eventually

_START = "TIMESTAMPTZ '2023-01-01'"
_YEARS_US = 94_608_000_000_000
# One deployment in each step of time, so that none is as late as another.
_DEPLOYMENTS = f"""
    SELECT
        'd' || i AS deployment_id,
        's' || CAST(FLOOR(POWER(HASH(i, $seed) % 1000003 / 1000003.0, 3) * $services) AS INTEGER) AS service,
        CASE WHEN HASH(i, $seed, 2) % 3 = 0 THEN 'STAGING' ELSE 'PRODUCTION' END AS env,
        CASE WHEN HASH(i, $seed, 3) % 20 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END AS result,
        'v' || i AS version, SHA1(CAST(i AS VARCHAR)) AS commit_sha,
        {_START} + TO_MICROSECONDS(i * step + CAST(HASH(i, $seed, 4) % step AS BIGINT)) AS finished_at
    FROM RANGE($deployments) AS r(i)
    CROSS JOIN (SELECT {_YEARS_US} // $deployments AS step)
"""
# Within ten hours after a deployment to production; every second failure names the version, commit or id of it.
_FAILURES = f"""
    SELECT
        'f' || ROW_NUMBER() OVER (ORDER BY deployment_id) AS failure_id, service, env,
        finished_at + TO_MICROSECONDS(CAST(HASH(deployment_id, $seed, 5) % 36000000000 AS BIGINT)) AS started_at,
        CASE WHEN HASH(deployment_id) % 8 < 2 THEN version END AS version,
        CASE WHEN HASH(deployment_id) % 8 = 2 THEN commit_sha END AS commit_sha,
        CASE WHEN HASH(deployment_id) % 8 = 3 THEN deployment_id END AS named
    FROM (
        FROM ({_DEPLOYMENTS}) WHERE env = 'PRODUCTION' AND result = 'SUCCESS'
        ORDER BY HASH(deployment_id, $seed, 6) LIMIT $failures
    )
"""
_LINKS = "SELECT failure_id, deployment_id FROM"


def main() -> None:
    """Print a row for each peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=177_462)
    parser.add_argument("--failures", type=int, default=3_193)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    add_json_option(parser)
    parser.add_argument("--measure", nargs=2, metavar=("PEER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        peer, folder = options.measure
        print(json.dumps(_PEERS[peer](Path(folder))))
        return
    results = Results(options)
    with tempfile.TemporaryDirectory(prefix="dora-peers-") as folder:
        generate(Path(folder), options)
        results.table(f"{options.deployments:,} deployments, {options.failures:,} failures", _COLUMNS)
        ours: dict[str, object] | None = None
        for peer in _PEERS:
            try:
                found = measured(peer, folder)
            except Missing as missing:
                print(f"{peer} is left out: {missing}")
                continue
            ours = ours or found
            linked = dict(found["links"])
            same = len(set(linked.items()) & set(dict(ours["links"]).items()))
            ratio = found["linking"] / ours["linking"]
            results.row(peer, found["loading"], found["linking"], ratio, found["peak"], len(linked), same)
    results.write()


_COLUMNS = {
    "peer": "",
    "loading, processor s": ".2f",
    "linking, processor s": ".2f",
    "÷ ours": ".2f",
    "peak MiB": ",",
    "linked": ",",
    "to the same as ours": ",",
}


class Missing(Exception):
    """What a peer needs is not installed; says what to install."""


_IS_MISSING = 3


def generate(folder: Path, options: argparse.Namespace) -> None:
    """The world, as Parquet and as CSV."""
    folder.chmod(0o755)
    chosen = {"seed": options.seed, "services": options.services, "deployments": options.deployments}
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE deployments AS {_DEPLOYMENTS}", chosen)
        connection.execute(f"CREATE TABLE failures AS {_FAILURES}", chosen | {"failures": options.failures})
        for name, moment in (("deployments", "finished_at"), ("failures", "started_at")):
            connection.execute(f"COPY {name} TO '{folder / name}.parquet'")
            plain = f"SELECT * REPLACE (STRFTIME({moment}, '%Y-%m-%d %H:%M:%S.%f') AS {moment}) FROM {name}"
            connection.execute(f"COPY ({plain}) TO '{folder / name}.csv' (HEADER FALSE)")


def measured(peer: str, folder: str) -> dict[str, object]:
    """What a peer in a process of its own tells: seconds of loading and linking, MiB, and its links."""
    result = subprocess.run(
        [sys.executable, __file__, "--measure", peer, folder], stdout=subprocess.PIPE, text=True, check=False
    )
    if result.returncode == _IS_MISSING:
        raise Missing(result.stdout.strip())
    if result.returncode:
        raise SystemExit(f"{peer} ended with {result.returncode}")
    found: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return found


def _is_missing(what: str) -> None:
    print(what)
    sys.exit(_IS_MISSING)


def by_us(folder: Path) -> dict[str, object]:
    """All rules, on the tables that a run links from."""
    from dora_pipeline.settings import HomeSettings
    from dora_pipeline.timeline import microseconds
    from dora_pipeline.warehouse.engines import InPlace
    from dora_pipeline.warehouse.links import link_failures
    from dora_pipeline.warehouse.schema import ensure_schema

    settings, stages = HomeSettings(), Stages({})
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        ensure_schema(connection, replaces=False)
        with stages.measured() as loading:
            connection.execute(_OUR_DEPLOYMENTS.format(folder=folder))
            connection.execute(_OUR_FAILURES.format(folder=folder))
        with stages.measured() as linking:
            window, slack = microseconds(settings.link_window), microseconds(settings.link_slack)
            link_failures(connection, InPlace(), window, slack)
        links = connection.execute(f"{_LINKS} landing.failure_links WHERE deployment_id IS NOT NULL").fetchall()
    return _told(sum(loading.values()), sum(linking.values()), peak_mebibytes(), links)


# What did not succeed is no deployment to us.
_OUR_DEPLOYMENTS = """
    INSERT INTO landing.judged_deployments BY NAME
    SELECT
        deployment_id, 'deployment_event_api' AS source, service, env, version, commit_sha,
        finished_at AS started_at, finished_at, CAST([] AS VARCHAR[]) AS custom_tags, finished_at AS received_at,
        'selected' AS history, TRUE AS is_selected, CAST(finished_at AS DATE) AS day
    FROM '{folder}/deployments.parquet' WHERE result = 'SUCCESS'
"""
_OUR_FAILURES = """
    INSERT INTO landing.judged_failures BY NAME
    SELECT
        failure_id, 'failure_event_api' AS source, service, env, version, commit_sha, started_at,
        CASE WHEN named IS NULL THEN [] ELSE ['deployment_id:' || named] END AS custom_tags,
        started_at AS received_at, FALSE AS is_rejected, TRUE AS is_selected, CAST(started_at AS DATE) AS day
    FROM '{folder}/failures.parquet';
    INSERT INTO landing.unlinked_days SELECT DISTINCT day FROM landing.judged_failures
"""


def by_pandas(folder: Path) -> dict[str, object]:
    """The one question of DevLake."""
    try:
        import pandas as pd
    except ImportError:
        _is_missing("pandas is not installed: .venv/bin/python -m pip install --editable '.[spark]', or pandas alone")

    stages = Stages({})
    with stages.measured() as loading:
        deployments = pd.read_parquet(folder / "deployments.parquet")
        failures = pd.read_parquet(folder / "failures.parquet")
    with stages.measured() as linking:
        counted = deployments[(deployments.env == "PRODUCTION") & (deployments.result == "SUCCESS")]
        joined = pd.merge_asof(
            failures.sort_values("started_at"),
            counted.sort_values("finished_at"),
            left_on="started_at",
            right_on="finished_at",
            by="service",
            allow_exact_matches=False,
        )
    links = joined[["failure_id", "deployment_id"]].dropna().to_numpy().tolist()
    return _told(sum(loading.values()), sum(linking.values()), peak_mebibytes(), links)


# Projects own scopes, deployments and incidents are of scopes, as in DevLake's model; the statements are ours.
_TABLES = """
    CREATE TABLE project_scopes (project VARCHAR(255), scope VARCHAR(255), PRIMARY KEY (project, scope));
    CREATE TABLE deployments (
        id VARCHAR(255) PRIMARY KEY, scope VARCHAR(255), environment VARCHAR(255), result VARCHAR(100),
        version VARCHAR(255), commit_sha VARCHAR(40), finished DATETIME(6), {index}
    );
    CREATE TABLE incidents (
        id VARCHAR(255) PRIMARY KEY, scope VARCHAR(255), environment VARCHAR(255), created DATETIME(6),
        version VARCHAR(255), commit_sha VARCHAR(40), named VARCHAR(255), INDEX (scope)
    );
    CREATE TABLE links (incident VARCHAR(255) PRIMARY KEY, deployment VARCHAR(255));
"""
_LOAD = """
    LOAD DATA INFILE '{folder}/deployments.csv' INTO TABLE deployments FIELDS TERMINATED BY ','
        (id, scope, environment, result, version, commit_sha, finished);
    LOAD DATA INFILE '{folder}/failures.csv' INTO TABLE incidents FIELDS TERMINATED BY ','
        (id, scope, environment, created, version, commit_sha, named);
    INSERT INTO project_scopes SELECT DISTINCT CONCAT('project-', scope), scope FROM deployments;
    ANALYZE TABLE deployments, incidents, project_scopes;
"""
_LINK = """
    INSERT INTO links
    SELECT i.id, (
        SELECT d.id
        FROM deployments AS d JOIN project_scopes AS p ON p.scope = d.scope
        WHERE p.project = own.project AND d.environment = 'PRODUCTION' AND d.result = 'SUCCESS'
            AND d.finished < i.created
        ORDER BY d.finished DESC LIMIT 1
    )
    FROM incidents AS i JOIN project_scopes AS own ON own.scope = i.scope
"""
_ASKED = "SELECT JSON_ARRAY(incident, deployment) FROM links WHERE deployment IS NOT NULL"


def by_mariadb(folder: Path, index: str) -> dict[str, object]:
    """The one question of DevLake, by a server of its own."""
    with running_mariadb() as (server, query):
        query("CREATE DATABASE devlake")
        began = used_by(server)
        query(_TABLES.format(index=index) + _LOAD.format(folder=folder))
        loaded = used_by(server)
        query(_LINK)
        linked = used_by(server)
        links = [json.loads(line) for line in query(_ASKED).splitlines()]
        return _told(loaded - began, linked - loaded, peak_mebibytes(server), links)


def _told(loading: float, linking: float, peak: int, links: list[object]) -> dict[str, object]:
    return {"loading": loading, "linking": linking, "peak": peak, "links": links}


@contextmanager
def running_mariadb() -> Iterator[tuple[int, Callable[[str], str]]]:
    """The process of a server, and what sends it statements and gives their answer."""
    for program in ("mariadbd", "mariadb-install-db", "mariadb"):
        if shutil.which(program, path=_PATH) is None:
            _is_missing(f"{program} is not installed: apt-get install mariadb-server")
    # The server refuses to be run by root.
    owner = {"user": "mysql", "group": "mysql"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="dora-mariadb-") as folder:
        if owner:
            shutil.chown(folder, **owner)
        environment = {"PATH": _PATH, "HOME": folder}
        making = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--skip-test-db"]
        making += ["--auth-root-authentication-method=normal"]
        subprocess.run(making, check=True, capture_output=True, cwd=folder, env=environment, **owner)
        options = [f"--datadir={folder}/data", f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
        command = ["mariadbd", "--no-defaults", "--skip-networking", *options]
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, **owner)

        def query(statements: str) -> str:
            client = ["mariadb", "--no-defaults", "--user=root", f"--socket={folder}/socket", "--skip-column-names"]
            database = [] if statements.startswith("CREATE DATABASE") else ["devlake"]
            asked = subprocess.run(
                [*client, *database], input=statements, capture_output=True, text=True, check=False, env=environment
            )
            if asked.returncode:
                raise RuntimeError(asked.stderr)
            return asked.stdout

        try:
            eventually(Path(folder, "socket").exists, "MariaDB", 120, 0.1)
            time.sleep(1)
            yield server.pid, query
        finally:
            server.terminate()
            server.wait(120)


# Debian has the server where only root looks for programs.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
_PEERS: dict[str, Callable[[Path], dict[str, object]]] = {
    "ours, all rules": by_us,
    "pandas": by_pandas,
    "MariaDB, an index of the project": lambda folder: by_mariadb(folder, "INDEX (scope)"),
    "MariaDB, an index for the question": lambda folder: by_mariadb(
        folder, "INDEX (scope, environment, result, finished)"
    ),
}


if __name__ == "__main__":
    main()
