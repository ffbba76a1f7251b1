"""Codes of weights that are powers of two."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.numeric import PowerCode


def decoded(code: PowerCode, word: int) -> int:
    """What a code word means, from its description."""
    negative, index = divmod(word, 1 << (code.width - 1))
    if code.zero and index == code.high - code.low + 1:
        return 0
    return (-1) ** negative * 2 ** (code.low + index)


@pytest.mark.parametrize(
    ("values", "width"),
    [([-1, 1], 1), ([4], 1), ([-1, 0, 1], 2), ([0, -8, 8], 2), ([1, -2, 4, 8], 3), ([0, 1, 64], 4)],
)
def test_every_value_has_a_word(values: list[int], width: int) -> None:
    code = PowerCode.of(np.array(values), 8)
    assert code is not None and code.width == width
    words = [code.encode(value) for value in values]
    assert all(0 <= word < 1 << width for word in words)
    assert [decoded(code, word) for word in words] == values
    assert decoded(code, code.encode(code.filler)) == code.filler
    assert (code.filler == 0) == (0 in values)


@pytest.mark.parametrize("values", [[3, 1], [0], [-6, 2], [1, 2, 4, 7]])
def test_other_values_have_no_code(values: list[int]) -> None:
    assert PowerCode.of(np.array(values), 8) is None


def test_a_code_wider_than_the_integers_is_none() -> None:
    assert PowerCode.of(np.array([1, -2, 1 << 20]), 5) is None
    assert PowerCode.of(np.array([1, -2, 1 << 20]), 6) is not None


@pytest.mark.parametrize("value", [0, 3, 16, 1, -5])
def test_refuses_what_has_no_word(value: int) -> None:
    with pytest.raises(ValueError, match=f"{value} has no code word"):
        PowerCode(1, 3, False).encode(value)
