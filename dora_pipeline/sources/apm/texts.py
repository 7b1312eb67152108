"""Columns of texts, in which each different text is kept once and numbered.

What has to be looked at once per text is then not looked at once per record, and records are sorted by numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from dora_pipeline.json_values import json_reader

Flags = npt.NDArray[np.bool_]

# More are no whole number that could be of use, and Python refuses to read the longest.
_MOST_DIGITS = 400
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


@dataclass(frozen=True)
class Texts:
    """A field of texts: one or none for each record, in an array of strings, plain or dictionary-encoded."""

    column: pa.Array

    def codes(self) -> Codes:
        """The texts as numbers."""
        column = _encoded(self.column)
        none = len(column.dictionary)
        indices = column.indices.cast(pa.int64()).fill_null(none) if column.indices.null_count else column.indices
        return Codes(indices.to_numpy(zero_copy_only=False), none + 1)

    def at(self, places: npt.NDArray[np.intp]) -> pl.Series:
        """The texts of some records."""
        return pl.Series(_decoded(self.column.take(pa.array(places))), dtype=pl.String)

    def categories(self, places: npt.NDArray[np.intp]) -> pl.Series:
        """The texts of some records, as categories."""
        return pl.Series(self.column.take(pa.array(places))).cast(pl.Categorical)

    def where(self, applies: Callable[[pl.Series], pl.Series], usual: str | None = None) -> Flags:
        """Which records have no text, or one to which the rule applies.

        It is asked once of each text, but of none that the pattern `usual` finds something in: to these it does not
        apply.
        """
        column = _encoded(self.column)
        texts = column.dictionary
        is_odd = pc.invert(pc.match_substring_regex(texts, usual)) if usual else pa.repeat(True, len(texts))
        if not pc.any(is_odd).as_py() and not column.indices.null_count:
            return np.zeros(len(column), np.bool_)
        found = np.append(is_odd.to_numpy(zero_copy_only=False), True)
        found[:-1][found[:-1]] = applies(pl.Series(texts.filter(is_odd), dtype=pl.String)).to_numpy()
        flags: Flags = found[self.codes().numbers]
        return flags


def texts_of_json(array: pa.Array, *, whole_numbers: bool) -> tuple[Texts, Flags]:
    """A column of JSON values as DuckDB's type JSON writes them, and the records whose value is no text.

    Whole numbers, which build numbers are, can be the text of a version; fractions cannot, since 1.10 comes as 1.1.
    """
    column = _encoded(array.cast(pa.string()))
    values = column.dictionary
    is_text = pc.starts_with(values, '"')
    texts = pc.if_else(is_text, pc.utf8_slice_codeunits(values, 1, -1), None)
    is_odd = pc.or_(pc.match_substring(values, "\\"), pc.invert(is_text))
    if pc.any(is_odd).as_py():
        decoded = texts.to_pylist()
        for place in np.flatnonzero(is_odd.to_numpy(zero_copy_only=False)):
            decoded[place] = usable_text(value_of_json(values[place].as_py()), whole_numbers=whole_numbers)
        texts = pa.array(decoded, pa.string())
    return _with_dictionary(column, texts)


def texts_of_any_type(array: pa.Array, *, whole_numbers: bool) -> tuple[Texts, Flags]:
    """A column of any type, and the records whose value is no text."""
    if pa.types.is_nested(array.type):
        return Texts(pa.nulls(len(array), pa.string())), array.is_valid().to_numpy(zero_copy_only=False)
    column = _encoded(array)
    values = column.dictionary
    if pa.types.is_integer(values.type) and whole_numbers:
        texts = values.cast(pa.string())
    elif values.type in _TEXT_TYPES:
        try:
            texts = values.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            texts = pa.array([_utf8(text) for text in values.cast(pa.binary()).to_pylist()], pa.string())
    else:
        texts = pa.nulls(len(values), pa.string())
    return _with_dictionary(column, texts)


def first_texts(columns: Sequence[Texts]) -> Texts:
    """For each record the first of several texts that is not empty."""
    if len(columns) == 1:
        return columns[0]
    plain = [_decoded(texts.column) for texts in columns]
    return Texts(pc.coalesce(*(pc.if_else(pc.equal(column, ""), None, column) for column in plain)))


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


# Raises ValueError for what is no JSON.
value_of_json = json_reader(whole=_whole)


def usable_text(value: object, *, whole_numbers: bool) -> str | None:
    """The text that a JSON value is, if it is one."""
    if isinstance(value, str):
        return value
    return str(value) if whole_numbers and isinstance(value, int) and not isinstance(value, bool) else None


def _with_dictionary(column: pa.DictionaryArray, texts: pa.Array) -> tuple[Texts, Flags]:
    if not texts.null_count:
        return Texts(pa.DictionaryArray.from_arrays(column.indices, texts, safe=False)), np.zeros(len(column), np.bool_)
    found = texts.take(column.indices)
    is_lost = pc.and_(column.indices.is_valid(), found.is_null()).to_numpy(zero_copy_only=False)
    return Texts(_encoded(found)), is_lost


def _encoded(array: pa.Array) -> pa.DictionaryArray:
    if pa.types.is_dictionary(array.type):
        return array
    return array.cast(pa.string()).dictionary_encode() if pa.types.is_null(array.type) else array.dictionary_encode()


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _utf8(text: bytes) -> str | None:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return None
