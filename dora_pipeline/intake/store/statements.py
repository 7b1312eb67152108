"""Statements that are executed for each event: put together by SQLAlchemy once, executed by the driver as they are.

What does not belong here: what is read with its types, for which SQLAlchemy is there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import UpdateBase


class PreparedStatement:
    """What it takes and gives is what the database stores: moments in microseconds since 1970."""

    def __init__(self, statement: UpdateBase | Select[Any]) -> None:
        self._statement = statement
        # By dialect: the text, and the parameters by their order where they have no names in it.
        self._texts: dict[str, tuple[str, Sequence[str] | None]] = {}

    def found(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """The rows of a query with these parameters."""
        text, order = self._compiled(connection)
        with _cursor(connection) as cursor:
            cursor.execute(text, _parameters(values, order))
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute a change once for each row of parameters; there is at least one."""
        text, order = self._compiled(connection)
        with _cursor(connection) as cursor:
            cursor.executemany(text, [_parameters(row, order) for row in rows])

    def _compiled(self, connection: Connection) -> tuple[str, Sequence[str] | None]:
        dialect = connection.dialect
        if dialect.name not in self._texts:
            compiled = self._statement.compile(dialect=dialect)
            self._texts[dialect.name] = str(compiled), getattr(compiled, "positiontup", None)
        return self._texts[dialect.name]


def _parameters(values: Mapping[str, Any], order: Sequence[str] | None) -> Any:
    return dict(values) if order is None else tuple([values[name] for name in order])


@contextmanager
def _cursor(connection: Connection) -> Iterator[DBAPICursor]:
    """One of the driver, for SQLAlchemy takes longer to execute than SQLite; its errors are those of SQLAlchemy."""
    dialect, cursor = connection.dialect, connection.connection.cursor()
    errors = dialect.loaded_dbapi.Error
    try:
        yield cursor
    except errors as error:
        if dialect.is_disconnect(error, connection.connection, cursor):
            connection.invalidate(error)
        raise DBAPIError.instance(None, None, error, errors, hide_parameters=True, dialect=dialect) from error
    finally:
        cursor.close()
