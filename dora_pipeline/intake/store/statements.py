"""Statements that are executed for each event: put together by SQLAlchemy once, executed by the driver as they are.

What does not belong here: what is read, for whose types SQLAlchemy is there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.sql.expression import UpdateBase


class PreparedChange:
    """An insert or update. Its parameters are what the database stores: moments in microseconds since 1970."""

    def __init__(self, change: UpdateBase) -> None:
        self._change = change
        # By dialect: the text, and the parameters by their order where they have no names in it.
        self._texts: dict[str, tuple[str, Sequence[str] | None]] = {}

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it once for each row of parameters; there is at least one."""
        dialect = connection.dialect
        if dialect.name not in self._texts:
            compiled = self._change.compile(dialect=dialect)
            self._texts[dialect.name] = str(compiled), getattr(compiled, "positiontup", None)
        text, order = self._texts[dialect.name]
        if order is None:
            connection.exec_driver_sql(text, [dict(row) for row in rows])
        else:
            connection.exec_driver_sql(text, [tuple([row[name] for name in order]) for row in rows])
