"""Strict JSON: what is none to other programs, and how deep it may be."""

import json
from json import JSONDecodeError

import pytest

from dora_pipeline.json_values import TooDeep, is_deeper, json_reader, json_value


@pytest.mark.parametrize("text", ["NaN", "[-Infinity]", '{"a": Infinity}'])
def test_what_is_no_number_of_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of JSON"):
        json_value(text)


@pytest.mark.parametrize("text", ["{'a': 1}", "", "1 2", '{"a": 1,}', "\ufeff1"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(JSONDecodeError):
        json_value(text)


def test_a_text_without_end_is_refused_and_does_not_end_the_program() -> None:
    with pytest.raises(TooDeep, match="nested too deeply"):
        json_value("[" * 500_000)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be"])
def test_bytes_are_read_in_every_encoding_of_json(encoding: str) -> None:
    assert json_value('{"name": "Zoë"}'.encode(encoding)) == {"name": "Zoë"}


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        json_value(b'"\xff"')


def test_numbers_and_objects_are_made_as_asked() -> None:
    read = json_reader(whole=str, fraction=lambda digits: digits + "!", pairs=list, constant=lambda name: name)
    assert read('{"a": 12, "a": 1.50, "b": NaN}') == [("a", "12"), ("a", "1.50!"), ("b", "NaN")]


@pytest.mark.parametrize(("text", "levels"), [("1", 0), ("[]", 1), ('{"a": [1, {"b": 2}]}', 3), ('["[[[["]', 1)])
def test_depth_is_the_number_of_objects_and_lists_in_each_other(text: str, levels: int) -> None:
    value = json.loads(text)
    assert not is_deeper(text, value, levels)
    assert levels == 0 or is_deeper(text, value, levels - 1)
