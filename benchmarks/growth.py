"""How the cost of loads grows with the warehouse: processor time and memory by deployments, as a table and as a plot.

    python benchmarks/growth.py [--deployments N ...] [--folder FOLDER] [--svg FILE] [--json FILE]

Each number of deployments is a call of `first_load.py`. `--folder` keeps what each call gave, and takes what is there
already. The plot needs matplotlib, which is no part of the project: `pip install matplotlib`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import Results, add_json_option

_FIRST_LOAD = Path(__file__).with_name("first_load.py")
_SIZES = (10_000, 100_000, 1_000_000)
# How each column of the table is drawn.
_CURVES = {"first load": "o-", "newest day": "s-", "DuckDB": "^:", "Polars": "v:"}


def main() -> None:
    """Print a row for each number of deployments, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deployments", type=int, nargs="+", default=_SIZES)
    parser.add_argument("--folder", type=Path, help="keep what each call gave here")
    parser.add_argument("--svg", type=Path, help="draw the table into this file")
    add_json_option(parser)
    options = parser.parse_args()
    results = Results(options)
    columns = {"deployments": ",", "first load": ".2f", "µs each": ".1f", "newest day": ".2f", "DuckDB": ".2f"}
    results.table("Processor seconds", columns | {"first load ÷ DuckDB": ".1f", "Polars": ".2f", "peak MiB": ","})
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for deployments in options.deployments:
            found = measured(options.folder or Path(temporary), deployments)
            row = figures(deployments, found)
            results.row(*row.values())
            rows.append(row)
    results.write()
    if options.svg:
        draw(rows, options.svg)


def measured(folder: Path, deployments: int) -> dict[str, Any]:
    """What `first_load.py` gives for so many deployments."""
    known = folder / f"{deployments}.json"
    if not known.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(_FIRST_LOAD), "--deployments", str(deployments), "--json", str(known)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise SystemExit(result.stderr or result.stdout)
    found: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
    return found


def figures(deployments: int, found: dict[str, Any]) -> dict[str, float]:
    """A row of the table. The newest day is without the copy of publishing."""
    load = found["load"]
    first = sum(load["stages"].values())
    duckdb, polars = (sum(found[name]["stages"].values()) for name in ("duckdb", "polars"))
    return {
        "deployments": deployments,
        "first load": first,
        "µs each": first / deployments * 1e6,
        "newest day": sum(load["newest"].values()) - load["newest"].get("publishing", 0),
        "DuckDB": duckdb,
        "first load ÷ DuckDB": first / duckdb,
        "Polars": polars,
        "peak MiB": load["load MiB"],
    }


def draw(rows: Sequence[dict[str, float]], path: Path) -> None:
    """Write the plot: processor seconds and memory by deployments, all axes logarithmic."""
    # Only the plot needs it.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same rows give the same file.
    mpl.rcParams["svg.hashsalt"] = "growth"
    figure = Figure(figsize=(9, 4), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    sizes = [row["deployments"] for row in rows]
    for name, style in _CURVES.items():
        seconds.plot(sizes, [row[name] for row in rows], style, label=name)
    memory.plot(sizes, [row["peak MiB"] for row in rows], "o-", label="first load")
    for axes, title in ((seconds, "processor seconds"), (memory, "peak memory, MiB")):
        axes.set(title=title, xlabel="deployments", xscale="log", yscale="log")
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
