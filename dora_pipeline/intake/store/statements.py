"""Statements that are executed for each event: put together by SQLAlchemy once, executed by the driver as they are.

What does not belong here: what is read with its types, for which SQLAlchemy is there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Select
from sqlalchemy.sql.expression import UpdateBase


class PreparedStatement:
    """What it takes and gives is what the database stores: moments in microseconds since 1970."""

    def __init__(self, statement: UpdateBase | Select[Any]) -> None:
        self._statement = statement
        # By dialect: the text, and the parameters by their order where they have no names in it.
        self._texts: dict[str, tuple[str, Sequence[str] | None]] = {}

    def found(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute a query with these parameters."""
        text, order = self._compiled(connection)
        return connection.exec_driver_sql(text, _parameters(values, order))

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute a change once for each row of parameters; there is at least one."""
        text, order = self._compiled(connection)
        connection.exec_driver_sql(text, [_parameters(row, order) for row in rows])

    def _compiled(self, connection: Connection) -> tuple[str, Sequence[str] | None]:
        dialect = connection.dialect
        if dialect.name not in self._texts:
            compiled = self._statement.compile(dialect=dialect)
            self._texts[dialect.name] = str(compiled), getattr(compiled, "positiontup", None)
        return self._texts[dialect.name]


def _parameters(values: Mapping[str, Any], order: Sequence[str] | None) -> Any:
    return dict(values) if order is None else tuple([values[name] for name in order])
