"""What benchmarks print and write: tables of Markdown as their rows come, and the same as JSON to compare over time."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path


class Results:
    """The tables of one call. The JSON has its options, the processors of the machine, and the rows of each table."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._file: Path | None = options.json
        self._options = vars(options)
        self._tables: dict[str, list[dict[str, object]]] = {}
        self._formats: dict[str, str] = {}

    def table(self, name: str, columns: Mapping[str, str]) -> None:
        """Begin a table. Its columns have the format specifications of their values."""
        print(f"\n{name}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
        self._tables[name] = []
        self._formats = dict(columns)

    def row(self, *values: object) -> None:
        """Print a row of the newest table; None is no value."""
        named = dict(zip(self._formats, values, strict=True))
        shown = ["" if value is None else f"{value:{self._formats[name]}}" for name, value in named.items()]
        print(f"| {' | '.join(shown)} |", flush=True)
        [*_, rows] = self._tables.values()
        rows.append(named)

    def write(self) -> None:
        """Write the JSON where the options name a file for it."""
        if self._file is not None:
            known = {"options": self._options, "processors": os.cpu_count(), "tables": self._tables}
            self._file.write_text(json.dumps(known, indent=1, default=str) + "\n", encoding="utf-8")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark be told the file of its JSON."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON")
