"""SQL files as Spark runs them: a short list of functions, and an error for any other.

That a translation succeeds proves nothing: sqlglot makes approximations of exact percentiles, for one. So each function
that a file may use stands here, as it is or with what takes its place, and tests run every file on both engines.
What does not belong here: running them (`spark.py`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from dora_pipeline.errors import WarehouseError

# Both engines have these, with the same result.
ALIKE: tuple[type[exp.Func], ...] = (
    exp.Abs,
    exp.And,
    exp.Array,
    exp.ArrayContains,
    exp.ArrayAgg,
    exp.ArraySize,
    exp.ArraySort,
    exp.Case,
    exp.Chr,
    exp.Coalesce,
    exp.ConcatWs,
    exp.Count,
    exp.Explode,
    exp.FirstValue,
    exp.Greatest,
    exp.If,
    exp.Lag,
    exp.Left,
    exp.Length,
    exp.MD5,
    exp.Max,
    exp.Min,
    exp.Nullif,
    exp.Or,
    exp.Round,
    exp.StartsWith,
    exp.TimestampTrunc,
)


@dataclass(frozen=True)
class Step:
    """A query of Spark whose result others read as `view`; `is_kept` says that several do."""

    view: str
    query: str
    is_kept: bool


def spark_steps(text: str, view: str) -> list[Step]:
    """The text of an SQL file as Spark runs it: its common tables in their order, and last what it gives, as `view`.

    The table `core.failures` is read as `core_failures`. Parameters stay by name. Raises WarehouseError for whatever
    does not stand on the short list.
    """
    tree = _query(text)
    common = {one.alias: view_name(f"{view}.{one.alias}") for one in tree.ctes}
    reads = Counter(table.name for table in tree.find_all(exp.Table) if not table.db)
    for table in tree.find_all(exp.Table):
        name = f"{table.db}.{table.name}" if table.db else common.get(table.name, table.name)
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
        table.set("this", exp.to_identifier(view_name(name)))
        table.set("db", None)
    # From the inside, so that what takes the place of something holds what is translated already.
    for node in reversed(list(tree.walk(bfs=True))):
        changed = _translated(node)
        if changed is not node:
            node.replace(changed)
    steps = [Step(common[one.alias], _written(one.this), reads[one.alias] > 1) for one in tree.ctes]
    tree.set("with_", None)
    return [*steps, Step(view_name(view), _written(tree), is_kept=False)]


def _query(text: str) -> exp.Query:
    tree = sqlglot.parse_one(text, read="duckdb")
    if not isinstance(tree, exp.Query):
        raise _not_translated(tree.key.upper())
    return tree


def _written(tree: exp.Expr) -> str:
    return tree.sql(dialect="spark", comments=False, unsupported_level=sqlglot.ErrorLevel.RAISE)


def tables_read(text: str) -> set[str]:
    """The names of the tables and views that the text of an SQL file reads; those that it makes itself are left out."""
    tree = _query(text)
    made = {common.alias for common in tree.find_all(exp.CTE)}
    return {_table_name(table) for table in tree.find_all(exp.Table)} - made


def columns_read(text: str, table: str, columns: Sequence[str]) -> list[str]:
    """Those of the columns of a table that the text of an SQL file may read: all that it names, whatever has the name.

    Where it takes all of the table by a `*`, they are all of them; of a table whose rows it only counts, it is one.
    """
    tree = _query(text)
    for select in tree.find_all(exp.Select):
        sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
        names = [_table_name(one.this) for one in sources if one and isinstance(one.this, exp.Table)]
        if table in names and any(found.find(exp.Star) for found in select.expressions if not found.find(exp.Count)):
            return list(columns)
    named = {identifier.name.lower() for identifier in tree.find_all(exp.Identifier)}
    return [name for name in columns if name.lower() in named] or list(columns[:1])


def _table_name(table: exp.Table) -> str:
    return f"{table.db}.{table.name}" if table.db else table.name


def view_name(table: str) -> str:
    """The name of a table's view in a session of Spark, where views have no schema."""
    return table.replace(".", "_")


def _translated(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Anonymous):
        name = node.name.upper()
        if name in _NAMED:
            return _NAMED[name](*node.expressions)
        raise _not_translated(name)
    if type(node) in _TRANSLATIONS:
        return _TRANSLATIONS[type(node)](node)
    if isinstance(node, exp.Func) and not isinstance(node, ALIKE):
        raise _not_translated(node.sql(dialect="duckdb").partition("(")[0])
    return node


def _not_translated(name: str) -> WarehouseError:
    return WarehouseError(
        f"{name}: is not among what is known to give the same on DuckDB and Spark; put it into warehouse/engines/"
        "translation.py with a test, or write the SQL file without it"
    )


def _call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _row(*values: exp.Expr) -> exp.Expr:
    return _call("STRUCT", *values)


def _at_time_zone(node: exp.Expr) -> exp.Expr:
    # Where clocks change at midnight, each engine takes another one of two moments.
    raise _not_translated("AT TIME ZONE")


def _epoch_us(moment: exp.Expr) -> exp.Expr:
    return _call("UNIX_MICROS", moment)


def _to_microseconds(number: exp.Expr) -> exp.Expr:
    seconds = exp.cast(
        exp.Div(this=exp.cast(number, "DECIMAL(38, 0)"), expression=exp.convert(1000000)), "DECIMAL(18, 6)"
    )
    zero = exp.convert(0)
    return _call("MAKE_DT_INTERVAL", zero, zero.copy(), zero.copy(), exp.cast(seconds, "DECIMAL(18, 6)"))


def _list_position(values: exp.Expr, value: exp.Expr) -> exp.Expr:
    return _call("ARRAY_POSITION", values, value)


_NAMED: Mapping[str, Callable[..., exp.Expr]] = {
    "ROW": _row,
    "EPOCH_US": _epoch_us,
    "TO_MICROSECONDS": _to_microseconds,
    "LIST_POSITION": _list_position,
}


def _date_diff(node: exp.Expr) -> exp.Expr:
    if node.text("unit") != "MICROSECOND":
        raise _not_translated(f"DATE_DIFF of {node.text('unit').lower()}")
    return exp.paren(exp.Sub(this=_epoch_us(node.this), expression=_epoch_us(node.expression)))


def _cast(node: exp.Expr) -> exp.Expr:
    # What a moment or a fraction is as text differs.
    is_known = isinstance(node.this, exp.Null) or node.this.name in ("EPOCH_US", "UNIX_MICROS")
    if node.args["to"].is_type("text") and not is_known:
        raise _not_translated("CAST to VARCHAR")
    return node


def _row_number(node: exp.Expr) -> exp.Expr:
    # What the numbers are then may differ each time it is computed.
    if not (isinstance(node.parent, exp.Window) and node.parent.args.get("order")):
        raise _not_translated("ROW_NUMBER without ORDER BY")
    return node


def _sum(node: exp.Expr) -> exp.Expr:
    # DuckDB widens whole numbers, of which all sums are.
    return exp.Sum(this=exp.cast(node.this, "DECIMAL(38, 0)"))


def _arg_min(node: exp.Expr) -> exp.Expr:
    # DuckDB leaves out where the value is NULL, Spark does not.
    condition = node.parent.expression.this if isinstance(node.parent, exp.Filter) else None
    if condition != exp.Not(this=exp.Is(this=node.this.copy(), expression=exp.Null())):
        raise _not_translated("MIN_BY without FILTER (WHERE the value IS NOT NULL)")
    return node


def _percentiles(node: exp.Expr) -> exp.Expr:
    if not isinstance(node.this, exp.PercentileCont):
        raise _not_translated("WITHIN GROUP")
    (ordered,) = node.expression.expressions
    return _call("PERCENTILE", ordered.this, node.this.this)


def _concatenated(node: exp.Expr) -> exp.Expr:
    # DuckDB takes a list that is NULL as an empty one beside another.
    lists = [node.this, *node.expressions]
    if len(lists) != 2:
        raise _not_translated("LIST_CONCAT of more than two")
    first, second = lists
    either = _call("COALESCE", first.copy(), second.copy())
    return _call("COALESCE", _call("CONCAT", first, second), either)


def _array(node: exp.Expr) -> exp.Expr:
    # A comprehension stands in brackets, and what takes its place is a list already.
    return node.expressions[0] if node.meta.get("is_list") else node


def _comprehension(node: exp.Expr) -> exp.Expr:
    values: exp.Expr = node.args["iterator"]
    name, place, condition, body = node.expression, node.args.get("position"), node.args.get("condition"), node.this
    if condition is not None:
        names = [name.copy()]
        if place is not None:
            names.append(place.copy())
            for column in list(condition.find_all(exp.Column)):
                if not column.table and column.name == place.name:
                    # Spark counts from 0.
                    column.replace(exp.paren(exp.Add(this=column.copy(), expression=exp.convert(1))))
        values = _call("FILTER", values, exp.Lambda(this=condition, expressions=names))
    if not (isinstance(body, exp.Column) and not body.table and body.name == name.name):
        values = _call("TRANSFORM", values, exp.Lambda(this=body, expressions=[name.copy()]))
    if isinstance(node.parent, exp.Array):
        node.parent.meta["is_list"] = True
    return values


_TRANSLATIONS: Mapping[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.Array: _array,
    exp.ArgMin: _arg_min,
    exp.ArrayConcat: _concatenated,
    exp.AtTimeZone: _at_time_zone,
    exp.Cast: _cast,
    exp.Comprehension: _comprehension,
    exp.DateDiff: _date_diff,
    # Stands in WITHIN GROUP, which is translated as a whole.
    exp.PercentileCont: lambda node: node,
    exp.RowNumber: _row_number,
    exp.Sum: _sum,
    exp.WithinGroup: _percentiles,
}
