"""What a vendor's refusal becomes."""

from dora_pipeline.errors import SourceRejected


class Refused(SourceRejected):
    """A 4xx that lasts: `status` is the HTTP status, `code` the number that the vendor gives the error."""

    def __init__(self, source: str, message: str, status: int, code: int | None) -> None:
        super().__init__(source, message)
        self.status = status
        self.code = code


class NotFound(Refused):
    """404: the record is not there, or not any more."""
