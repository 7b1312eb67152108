"""The names of environments by their aliases, as the settings of the newest run had them.

Events bear the names alone, so what people ask for by an alias is asked for by its name.
"""

import json
from collections.abc import Callable

import duckdb

from dora_pipeline.config import Settings
from dora_pipeline.warehouse.properties import read_property

PROPERTY = "environments"


def environment_names(connection: duckdb.DuckDBPyConnection) -> Callable[[str], str | None]:
    """What gives the name of an environment by an alias, and any other name as it is."""
    return Settings(environments=json.loads(read_property(connection, PROPERTY) or "{}")).environment
