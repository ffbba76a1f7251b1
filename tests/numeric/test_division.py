"""Division that rounds up: one function for integers and arrays."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np

import hwgen
from hwgen.numeric import ceil_div

ROOT = Path(hwgen.__file__).parent


def test_it_is_the_least_number_of_steps() -> None:
    for length in range(-9, 10):
        for step in range(1, 6):
            least = next(n for n in range(-10, 11) if n * step >= length)
            assert ceil_div(length, step) == least
            assert np.array_equal(ceil_div(np.array([length]), step), [least])
            assert np.array_equal(ceil_div(length, np.array([step])), [least])


def is_written_out(node: ast.AST) -> bool:
    """Whether it is -(-a // b)."""
    if not (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)):
        return False
    quotient = node.operand
    if not (isinstance(quotient, ast.BinOp) and isinstance(quotient.op, ast.FloorDiv)):
        return False
    return isinstance(quotient.left, ast.UnaryOp)


def test_it_is_written_once() -> None:
    found = [
        str(file.relative_to(ROOT))
        for file in sorted(ROOT.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if is_written_out(node)
    ]
    assert found == ["numeric/division.py"]
