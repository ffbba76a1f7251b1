"""Any name becomes an identifier that every language and file system takes."""

from __future__ import annotations

import re

import pytest

from hwgen.identifiers import LONGEST, RESERVED, identifier, word
from tests.helpers.names import HOSTILE


@pytest.mark.parametrize(
    "name", ["tiny", "mnist_cnn", "resnet8_int8", "A", "Conv2D_1", "a__b_", "n" * LONGEST]
)
def test_ordinary_names_stay(name: str) -> None:
    assert word(name) == identifier(name) == identifier(name, prefixed=True) == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("my-model v2", "my_model_v2"),
        ("mobilenet_v1_0.25", "mobilenet_v1_0_25"),
        ("2nd", "m_2nd"),
        ("_x", "m__x"),
        ("", "m__"),
        ("int", "m_int"),
        ("module", "m_module"),
        ("CON", "m_CON"),
        ("Lpt1", "m_Lpt1"),
        ("math", "m_math"),
        ("../../x", "m_______x"),
    ],
)
def test_other_names(name: str, wanted: str) -> None:
    assert identifier(name) == wanted


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_every_name_becomes_an_identifier(name: str) -> None:
    assert re.fullmatch("[A-Za-z0-9_]{1,200}", word(name))
    for made in (identifier(name), identifier(name, prefixed=True)):
        assert re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,201}", made)
    assert identifier(name) not in RESERVED
    assert identifier(name).lower() not in ("con", "com1")


def test_behind_a_prefix_no_word_is_reserved() -> None:
    assert identifier("output", prefixed=True) == word("output") == "output"
    assert identifier("2nd", prefixed=True) == "m_2nd" and word("2nd") == "2nd"


def test_long_names_that_end_differently_stay_apart() -> None:
    one, two = ("n" * 500 + end for end in "ab")
    assert identifier(one) != identifier(two)
    assert word("\ud800" * 300) != word("\ud801" * 300)
