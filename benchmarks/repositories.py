"""What git costs: the commits of deployments from many repositories, in a first load, after a new day and late events.

    python benchmarks/repositories.py [--deployments 100000] [--repositories 100] [--folder F] [--json FILE]

Each repository has a branch of merge commits, each of which brings two commits and is deployed by a service of its own
to one environment, as an export of sightings tells. Then 300 more are pushed and deployed, at most one a repository;
and as many deployments become known whose commits had been skipped, in the middle of the years: each changes what the
one after it brought. Processor seconds of each run's process, which is one of its own, and of git; the yardstick is a
clone of each repository by git, and `git log` of what the range of each of its deployments is. `--folder` keeps the
repositories, and takes those that are there.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from results import Results, add_json_option
from stopwatch import Stages, in_a_process, peak_mebibytes

from dora_pipeline.config import Home
from dora_pipeline.pipeline.runs import run
from dora_pipeline.selection import append_selection
from dora_pipeline.warehouse.reader import open_reader

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_FIRST, _DAYS = 1_672_531_200, 1_095
_MORE = 300
_HOST = "git.example.com/organization"
_STAGES = {
    "fetching": ("dora_pipeline.repositories.mirror.Mirror.fetch",),
    "resolving": ("dora_pipeline.repositories.mirror.Mirror.resolve",),
    "ranges": ("dora_pipeline.pipeline.mirrors.read_ranges",),
    "keeping ranges": ("dora_pipeline.pipeline.commits.keep_ranges",),
    "answers": ("dora_pipeline.pipeline.runs.look_up_commits",),
    "commits of core": ("dora_pipeline.pipeline.loading.load_deployments",),
}
_COLUMNS = {"run": "", **dict.fromkeys(_STAGES, ".1f"), "the rest": ".1f", "git": ".1f", "wall": ".0f"}
_SUMS = {"run": "", "deployments": ",", "with lead time": ",", "commits": ",", "÷ yardstick": ".1f", "peak MiB": ","}


def main() -> int:
    """Print a row for each run; 1 where a commit of a deployment is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=100_000)
    parser.add_argument("--repositories", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    add_json_option(parser)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(Home(options.measure))))
        return 0
    results = Results(options)
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = options.folder or Path(temporary)
        each = options.deployments // options.repositories
        remotes = [made(folder, number, each) for number in range(options.repositories)]
        home = Home(Path(temporary) / "home")
        (home.path / "exports" / "apm").mkdir(parents=True)
        append_selection(home, "deployment", ["apm_deployment_tracking"], _LONG_AGO)
        urls = {f"{_HOST}/{path.stem}": str(path) for path in remotes}
        home.settings_file.write_text(json.dumps({"repositories": urls}), encoding="utf-8")
        yardstick = cost(lambda: by_git(remotes, Path(temporary)))
        deployed = [path.with_suffix(".txt").read_text(encoding="ascii").split() for path in remotes]
        late = late_deployments(deployed)
        told = [(one, place) for one, heads in enumerate(deployed) for place in range(len(heads))]
        export(home, "first", deployed, each, sorted({*told} - {*late}))
        whole = True
        results.table("processor seconds", _COLUMNS)
        rows = []
        for title, prepare in {
            "first load": lambda: None,
            "nothing new": lambda: None,
            f"{_MORE} new": lambda: deploy_more(home, remotes, deployed, each),
            f"{len(late)} late": lambda: export(home, "late", deployed, each, late),
        }.items():
            prepare()
            found = in_a_process(__file__, "--measure", str(home.path))
            seconds = found["stages"]
            results.row(
                title, *(seconds.get(stage, 0.0) for stage in (*_STAGES, "the rest")), found["git"], found["wall"]
            )
            rows.append((title, *known(home), (sum(seconds.values()) + found["git"]) / yardstick[1], found["peak MiB"]))
        results.table("what is known then", _SUMS)
        for row in rows:
            results.row(*row)
            # All but the first deployment of each service.
            whole &= row[2] == row[1] - len(remotes)
        print(f"\nyardstick: {yardstick[1]:.1f} processor s of git")
    results.write()
    return 0 if whole else 1


def measured(home: Home) -> dict[str, object]:
    """What a run in this process takes."""
    stages = Stages(_STAGES)
    with stages.measured() as seconds:
        wall, git = cost(lambda: run(home))
    return {"stages": seconds, "git": git, "wall": wall, "peak MiB": peak_mebibytes()}


def made(folder: Path, number: int, each: int) -> Path:
    """The bare repository with this number, of so many merge commits; their SHAs stand in a file beside it."""
    path = folder / f"service-{number}.git"
    heads = path.with_suffix(".txt")
    if not heads.exists():
        git(folder, "init", "--quiet", "--bare", "--initial-branch", "main", str(path))
        heads.write_text("\n".join(pushed(path, number, range(each), each, None)) + "\n", encoding="ascii")
    return path


def pushed(path: Path, number: int, places: range, each: int, parent: str | None) -> list[str]:
    """Push merge commits, each of two commits that begin at the one before; their SHAs."""

    def stream() -> Iterator[str]:
        before = parent
        for place in places:
            moment = _FIRST + _DAYS * 86_400 // each * place + number
            for part in range(2):
                yield commit(3 * place + part + 1, moment - 7_200 * (2 - part), f"Change {place}.{part}")
                if first := f":{3 * place + part}" if part else before:
                    yield f"from {first}\n"
            yield commit(3 * place + 3, moment - 600, f"Merge {place}")
            yield f"from {before or f':{3 * place + 2}'}\n" + (f"merge :{3 * place + 2}\n" if before else "")
            before = f":{3 * place + 3}"

    with tempfile.NamedTemporaryFile() as marks:
        command = ["git", f"--git-dir={path}", "fast-import", "--quiet", "--force", f"--export-marks={marks.name}"]
        subprocess.run(command, input="".join(stream()), text=True, check=True)
        named = dict(line.split() for line in Path(marks.name).read_text(encoding="ascii").splitlines())
    return [named[f":{3 * place + 3}"] for place in places]


def commit(mark: int, moment: int, subject: str) -> str:
    """A commit of the branch, without its parents."""
    person = f"A <a@example.com> {moment} +0000"
    return (
        f"commit refs/heads/main\nmark :{mark}\nauthor {person}\ncommitter {person}\ndata {len(subject)}\n{subject}\n"
    )


def late_deployments(deployed: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Which become known late: one a repository, from its middle."""
    return [(number, len(heads) // 2) for number, heads in enumerate(deployed)][:_MORE]


def export(
    home: Home, name: str, deployed: Sequence[Sequence[str]], each: int, places: Sequence[tuple[int, int]]
) -> None:
    """Tell of deployments in an export of this name."""
    step = _DAYS * 86_400 // each
    pl.DataFrame(
        {
            "timestamp": [_FIRST + step * place + number for number, place in places],
            "service": [f"service-{number}" for number, _ in places],
            "env": ["prod"] * len(places),
            "version": [f"v{place}" for _, place in places],
            "git.commit.sha": [deployed[number][place] for number, place in places],
            "git.repository_url": [f"https://{_HOST}/service-{number}" for number, _ in places],
        }
    ).with_columns(pl.from_epoch("timestamp").dt.replace_time_zone("UTC")).write_parquet(
        home.path / "exports" / "apm" / f"{name}.parquet"
    )


def deploy_more(home: Home, remotes: Sequence[Path], deployed: Sequence[list[str]], each: int) -> None:
    """One more push and deployment in some of the repositories."""
    places = []
    for number, path in enumerate(remotes[:_MORE]):
        place = len(deployed[number])
        deployed[number] += pushed(path, number, range(place, place + 1), each, deployed[number][-1])
        places.append((number, place))
    export(home, "newest", deployed, each, places)


def by_git(remotes: Sequence[Path], folder: Path) -> None:
    """The yardstick."""
    for path in remotes:
        clone = folder / "clone.git"
        git(folder, "clone", "--quiet", "--bare", "--no-local", str(path), str(clone))
        heads = path.with_suffix(".txt").read_text(encoding="ascii").split()
        git(clone, "log", "--format=%H %ct %at %P", f"{heads[0]}..{heads[-1]}")
        subprocess.run(["rm", "-r", str(clone)], check=True)


def git(folder: Path, *arguments: str) -> None:
    """Run git."""
    subprocess.run(["git", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def cost(act: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds of a call, and processor seconds of the processes that it started."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    act()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def known(home: Home) -> tuple[int, int, int]:
    """How many deployments there are, how many of them have a lead time, and how many commits they brought."""
    asked = """
        SELECT COUNT(*), COUNT(lead_time_mean_seconds), (SELECT COUNT(*) FROM core.deployment_commits)
        FROM core.deployments WHERE is_selected AND duplicate_of IS NULL
    """
    with open_reader(home) as connection:
        [row] = connection.execute(asked).fetchall()
    return row


if __name__ == "__main__":
    sys.exit(main())
