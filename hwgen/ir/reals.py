"""Real numbers of a network's inputs as its integers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import UserError
from ..numeric import dequantize, quantize, type_text
from .graph import Graph, as_array
from .op import IntArray
from .tensor import Tensor


def integers_of(graph: Graph, reals: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs quantized by their types, as a model's own quantizer does it.

    Parameters
    ----------
    reals : arrays by the names of inputs, in any order of axes; others stay as they are.

    Warns of numbers that a type can not hold, where the model does not say that type. Raises
    UserError for what are no real numbers.
    """
    known = {tensor.name: tensor for tensor in graph.inputs}
    integers = dict(reals)
    for name in reals:
        if name not in known:
            continue
        array = as_array(name, reals[name])
        integers[name] = _quantized(known[name], array, name in graph.inverted)
        if name in graph.unstated:
            _warn_of_unheld(known[name], array)
    return integers


def _quantized(tensor: Tensor, array: np.ndarray[Any, Any], inverse: bool) -> IntArray:
    if array.dtype.kind not in "fiu":
        raise UserError(f"input {tensor.name!r} has type {array.dtype}, real numbers are needed")
    try:
        return quantize(array, tensor.type, single=True, inverse=inverse)
    except ValueError as error:
        raise UserError(f"input {tensor.name!r}: {error}") from None


def _warn_of_unheld(tensor: Tensor, array: np.ndarray[Any, Any]) -> None:
    """Warn of real numbers that are beyond what a type can hold, and by how many."""
    low, high = dequantize(np.array([tensor.type.low, tensor.type.max]), tensor.type)
    reals, half = np.asarray(array, np.float64), 2.0 ** -(tensor.type.frac + 1)
    if count := int(np.count_nonzero((reals < low - half) | (reals > high + half))):
        warnings.warn(
            f"{tensor.name}: {count} of {reals.size} values are outside of {low:g}..{high:g}, all "
            f"that its type {type_text(tensor.type)} holds, which the model does not say "
            "(set --input-type)",
            stacklevel=4,  # whoever called what asked for integers
        )
