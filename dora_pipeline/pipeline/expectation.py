"""One check in words: the rule, what was found, and what to do about it."""

from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal

from dora_pipeline.pipeline.findings import Look
from dora_pipeline.pipeline.glimpses import Shown, shown_rows
from dora_pipeline.report.words import counted
from dora_pipeline.tables import Table
from dora_pipeline.warehouse.checks import Finding

_NAMED_EXAMPLES = 3
# What a check does that finds something. One that passes is there to be looked at.
Kind = Literal["warns", "fails", "passes"]


@dataclass(frozen=True)
class CheckResult:
    """What a check found: the number of rows against it, some of them, one sentence, and what to do about it."""

    table: type[Table]
    name: str
    passed: bool
    wrong: int
    examples: list[dict[str, Shown]]
    is_warning: bool
    sentence: str
    advice: str

    @property
    def line(self) -> str:
        """What was found, and where it stands, in one line."""
        return f"{self.sentence} [{self.table.table_name} {self.name}]"


@dataclass(frozen=True)
class Expectation:
    """A check: `rule` holds where it passes; `finding` and `example` say what was found, `example` of one row.

    `{events:event}` in an example is a number with what it counts.
    """

    rule: str
    advice: str
    finding: str
    example: str
    look: Look
    kind: Kind = "warns"

    @property
    def description(self) -> str:
        """What holds, and what to do where it does not."""
        return f"{self.rule} If it {'fails' if self.kind == 'fails' else 'warns'}: {self.advice}."

    def result(self, table: type[Table], name: str, found: Finding) -> CheckResult:
        """What was found, in words."""
        examples = shown_rows(found.examples)
        named = ", ".join(_printable(_Example().vformat(self.example, (), row)) for row in examples[:_NAMED_EXAMPLES])
        more = ", …" if len(examples) > _NAMED_EXAMPLES else ""
        wrong = 0 if self.kind == "passes" else found.wrong
        remark = f"; {_printable(found.remark)}" if found.remark else ""
        sentence = f"{self.finding} ({wrong:,}): {named}{more}{remark}"
        return CheckResult(table, name, wrong == 0, wrong, examples, self.kind != "fails", sentence, self.advice)


class _Example(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec.replace(" ", "").isalpha():
            return counted(value, format_spec)
        return str(super().format_field(value, format_spec))


def _printable(text: str) -> str:
    # Names come from outside; a line of them stays one line.
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
