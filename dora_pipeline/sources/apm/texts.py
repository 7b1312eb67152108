"""Columns of texts, in which each different text is kept once and numbered.

What has to be looked at once per text is then not looked at once per record, and records are sorted by numbers.
"""

import json
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]

_JSON = r"^(-?[0-9].*[0-9]|[0-9]|[\[{].*|true|false)$"
_TEXT_TYPES = {
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
}


@dataclass(frozen=True)
class Codes:
    """A number below `size` for each record, the same for the same text; one of them stands for no text."""

    numbers: npt.NDArray[np.integer]
    size: int


class Texts(Protocol):
    """A field of texts: one or none for each record."""

    def codes(self) -> Codes:
        """The texts as numbers."""

    def at(self, places: npt.NDArray[np.intp]) -> pl.Series:
        """The texts of some records."""

    def is_told(self) -> Flags | None:
        """Which records have a text; None where all have one."""


@dataclass(frozen=True)
class ArrowTexts:
    """Texts in an array of Arrow, of strings or dictionary-encoded."""

    column: pa.Array

    def codes(self) -> Codes:
        """See Texts."""
        column = _encoded(self.column)
        none = len(column.dictionary)
        indices = column.indices.cast(pa.int64()).fill_null(none) if column.indices.null_count else column.indices
        return Codes(indices.to_numpy(zero_copy_only=False), none + 1)

    def at(self, places: npt.NDArray[np.intp]) -> pl.Series:
        """See Texts."""
        texts = self.column.take(pa.array(places))
        return pl.Series(texts.dictionary_decode() if pa.types.is_dictionary(texts.type) else texts, dtype=pl.String)

    def is_told(self) -> Flags | None:
        """See Texts."""
        return self.column.is_valid().to_numpy(zero_copy_only=False) if self.column.null_count else None

    def may_be_json(self) -> bool:
        """Whether any text looks like a number, a list, an object or a truth value; the texts are encoded."""
        looks = pc.match_substring_regex(self.column.dictionary, _JSON)
        return bool(pc.any(looks).as_py())


@dataclass(frozen=True)
class PolarsTexts:
    """Texts in a column of Polars, of the type Categorical."""

    column: pl.Series

    def codes(self) -> Codes:
        """See Texts."""
        numbers = self.column.to_physical()
        highest = numbers.max()
        none = highest + 1 if isinstance(highest, int) else 0
        return Codes((numbers.cast(pl.Int64).fill_null(none) if numbers.null_count() else numbers).to_numpy(), none + 1)

    def at(self, places: npt.NDArray[np.intp]) -> pl.Series:
        """See Texts."""
        return self.column.gather(places).cast(pl.String)

    def is_told(self) -> Flags | None:
        """See Texts."""
        return self.column.is_not_null().to_numpy() if self.column.null_count() else None


def texts_of_json(array: pa.Array, *, whole_numbers: bool) -> tuple[Texts, Flags]:
    """A column of JSON values as DuckDB's type JSON writes them, and the records whose value is no text.

    Whole numbers, which build numbers are, can be the text of a version; fractions cannot, since 1.10 is told as 1.1.
    """
    column = _encoded(array)
    told = column.dictionary
    is_text = pc.starts_with(told, '"')
    texts = pc.if_else(is_text, pc.utf8_slice_codeunits(told, 1, -1), None)
    is_odd = pc.or_(pc.match_substring(told, "\\"), pc.invert(is_text))
    if pc.any(is_odd).as_py():
        decoded = texts.to_pylist()
        for place in np.flatnonzero(is_odd.to_numpy(zero_copy_only=False)):
            decoded[place] = usable_text(json.loads(told[place].as_py()), whole_numbers=whole_numbers)
        texts = pa.array(decoded, pa.string())
    return _with_dictionary(column, texts)


def texts_of_any_type(array: pa.Array, *, whole_numbers: bool) -> tuple[ArrowTexts, Flags]:
    """A column of any type, and the records whose value is no text."""
    if pa.types.is_nested(array.type):
        return ArrowTexts(pa.nulls(len(array), pa.string())), array.is_valid().to_numpy(zero_copy_only=False)
    column = _encoded(array)
    told = column.dictionary
    if pa.types.is_integer(told.type) and whole_numbers:
        texts = told.cast(pa.string())
    elif told.type in _TEXT_TYPES:
        try:
            texts = told.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            texts = pa.array([_utf8(text) for text in told.cast(pa.binary()).to_pylist()], pa.string())
    else:
        texts = pa.nulls(len(told), pa.string())
    return _with_dictionary(column, texts)


def encoded_texts(array: pa.Array) -> ArrowTexts:
    """A column of strings, encoded."""
    return ArrowTexts(_encoded(array))


def first_texts(columns: list[ArrowTexts]) -> ArrowTexts:
    """For each record the first of several texts that there is."""
    if len(columns) == 1:
        return columns[0]
    return ArrowTexts(pc.coalesce(*(texts.column.dictionary_decode() for texts in columns)))


def usable_text(value: object, *, whole_numbers: bool) -> str | None:
    """The text that a JSON value is, if it is one."""
    if isinstance(value, str):
        return value
    return str(value) if whole_numbers and isinstance(value, int) and not isinstance(value, bool) else None


def _with_dictionary(column: pa.DictionaryArray, texts: pa.Array) -> tuple[ArrowTexts, Flags]:
    if not texts.null_count:
        return ArrowTexts(pa.DictionaryArray.from_arrays(column.indices, texts)), np.zeros(len(column), np.bool_)
    found = texts.take(column.indices)
    is_lost = pc.and_(column.indices.is_valid(), found.is_null()).to_numpy(zero_copy_only=False)
    return ArrowTexts(_encoded(found)), is_lost


def _encoded(array: pa.Array) -> pa.DictionaryArray:
    if pa.types.is_dictionary(array.type):
        return array
    return array.cast(pa.string()).dictionary_encode() if pa.types.is_null(array.type) else array.dictionary_encode()


def _utf8(text: bytes) -> str | None:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return None
