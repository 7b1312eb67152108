"""Statements over a part of the warehouse, each as one query of the warehouse itself, for any client to run.

What does not belong here: the parts in memory, over which a page asks the same statements (`filtered`).
"""

import re
from collections.abc import Mapping

import duckdb

from dora_pipeline.warehouse.queries import statement

# The tables that a filter is about, and the names that they have in a query.
_FILTERED = {
    "metrics.measures": "asked_measures",
    "core.failures": "asked_failures",
    "core.source_selections": "asked_source_selections",
}
_PARTS = {
    "asked_measures": """\
SELECT m.* FROM metrics.measures AS m
WHERE ({days}) AND {passes} AND ({has_deployments} OR m.measure IN ('failure', 'restore'))""",
    "asked_failures": "SELECT m.* FROM (SELECT f.*, f.custom_tags AS tags FROM core.failures AS f) AS m WHERE {passes}",
    "asked_source_selections": statement("filtered.source_selections").replace("{source}.", "").strip(),
}
_NAMES = re.compile(r"\b(" + "|".join(re.escape(name) for name in _FILTERED) + r")\b")
_SUMMARY_BY = re.compile(r"metrics\.summary_by\(([^()]*)\)")
_SUMMARY_BY_OPTIONS = ("dimension", "grain", "from_day", "to_day")


def single_query(text: str, conditions: Mapping[str, str]) -> str:
    """The query that gives, of the warehouse, what a statement gives over the part that conditions of `filtered` make.

    The statement has its values written into it, none of which comes from outside.
    """
    # A macro knows the tables that it was made with, so what it stands for takes its place.
    whole = _NAMES.sub(lambda match: _FILTERED[match[1]], _SUMMARY_BY.sub(_summary_by, text))
    parts = [
        f"{name} AS (\n{text.format(**conditions)}\n)"
        for name, text in _PARTS.items()
        if re.search(rf"\b{name}\b", whole)
    ]
    return f"WITH {', '.join(parts)}\nSELECT * FROM (\n{whole}\n)"


def _summary_by(call: re.Match[str]) -> str:
    values = dict(zip(_SUMMARY_BY_OPTIONS, call[1].split(", "), strict=True))
    body = statement("metrics.summary_by").partition("AS TABLE\n")[2].encode()
    for place, kind in reversed(duckdb.tokenize(body.decode())):
        word = re.match(rb"\w*", body[place:])
        name = word[0].decode() if word and kind == duckdb.token_type.identifier else ""
        if name in values:
            body = body[:place] + values[name].encode() + body[place + len(name) :]
    return f"(\n{body.decode()}\n)"
