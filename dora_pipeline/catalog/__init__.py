"""The service catalog: which services there are, who owns them, and where their code is.

What does not belong here: git, and rules about events.
"""

from dora_pipeline.catalog.services import Catalog, Service, read_catalog

__all__ = ["Catalog", "Service", "read_catalog"]
