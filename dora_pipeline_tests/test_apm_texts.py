"""Columns of texts: what is one, numbers for texts, and the first of several."""

import polars as pl
import pyarrow as pa
import pytest

from dora_pipeline.sources.apm.texts import Texts, first_texts, texts_of_any_type, texts_of_json


def strings(texts: Texts) -> list[str | None]:
    return pa.array(texts.column).cast(pa.string()).to_pylist()


@pytest.mark.parametrize("is_encoded", [False, True], ids=["plain", "dictionary"])
def test_equal_texts_have_one_number_and_no_text_has_another(is_encoded: bool) -> None:
    column = pa.array(["a", "b", None, "a"])
    codes = Texts(column.dictionary_encode() if is_encoded else column).codes()
    a, b, none, again = codes.numbers.tolist()
    assert a == again
    assert len({a, b, none}) == 3
    assert max(a, b, none) < codes.size


def test_json_texts_lose_their_quotes_and_escapes_and_other_values_are_no_text() -> None:
    array = pa.array(['"shop"', r'"caf\u00e9"', "1.5", "true", "null", None])
    texts, is_lost = texts_of_json(array, whole_numbers=False)
    assert strings(texts) == ["shop", "café", None, None, None, None]
    assert is_lost.tolist() == [False, False, True, True, True, False]


def test_whole_numbers_are_texts_where_a_version_is_asked_for_and_fractions_are_not() -> None:
    texts, is_lost = texts_of_json(pa.array(["17", "1.1", "true"]), whole_numbers=True)
    assert strings(texts) == ["17", None, None]
    assert is_lost.tolist() == [False, True, True]
    texts, is_lost = texts_of_any_type(pa.array([17, None]), whole_numbers=True)
    assert strings(texts) == ["17", None]
    assert not is_lost.any()


def test_bytes_that_are_no_utf_8_are_no_text() -> None:
    texts, is_lost = texts_of_any_type(pa.array([b"shop", b"\xff"]), whole_numbers=False)
    assert strings(texts) == ["shop", None]
    assert is_lost.tolist() == [False, True]


def test_the_first_text_that_is_not_empty_counts() -> None:
    columns = [Texts(pa.array(["a", "", None, None])), Texts(pa.array(["b", "b", "b", None]))]
    assert strings(first_texts(columns)) == ["a", "b", "b", None]


def test_a_rule_is_asked_of_each_unusual_text_and_no_text_counts_as_one_that_it_is_for() -> None:
    asked: list[str] = []

    def is_blank(texts: pl.Series) -> pl.Series:
        asked.extend(texts)
        return texts.str.strip_chars() == ""

    texts = Texts(pa.array(["shop", " ", None, "\xe9", "shop"]))
    assert texts.where(is_blank, "[!-~]").tolist() == [False, True, True, False, False]
    assert asked == [" ", "\xe9"]
