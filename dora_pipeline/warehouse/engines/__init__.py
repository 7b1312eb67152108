"""Where the statements of the transformation run: one door, `Engine`, and what is behind it.

The files of `sql/` are the same for each; the warehouse keeps the rows whichever engine made them.
"""

from dora_pipeline.warehouse.engines.engine import Engine, InPlace, open_engine

__all__ = ["Engine", "InPlace", "open_engine"]
