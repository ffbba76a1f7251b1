"""How much one tensor may hold: what a file asks for is checked before memory is taken for it."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UserError
from ..ir import Graph

MAX_ELEMENTS = 1 << 24
"""Elements of an edge, or of a constant that is computed while reading: 128 MiB in 64 bits each."""


_ROOM, _RATIO = 1 << 24, 16
"""Bytes that a file's content may unpack to: so many, and so many for each byte of the file."""


def check_unpacked(count: int, size: int, what: str) -> None:
    """Raises UserError where ``what``, of ``count`` bytes, is more than a file of ``size`` bytes
    would hold: packed by a jester, or a number that is damaged."""
    if count > _ROOM + _RATIO * size:
        raise UserError(
            f"{what} would take {count} bytes, a file of {size} bytes is read up to "
            f"{_ROOM + _RATIO * size}",
            hint="it may be damaged: copy or save it again, without compression",
        )


def check_elements(shape: Iterable[int], what: str) -> None:
    """Raises UserError where a tensor of that shape would be larger than any that is supported;
    ``what`` it is, as a subject: "its output"."""
    # Python's integers do not overflow, whatever numbers a file holds.
    sizes = [int(n) for n in shape]
    count = 1
    for n in sizes:
        count *= n
    if count > MAX_ELEMENTS:
        raise UserError(
            f"{what} of shape {sizes} would have {count} elements, "
            f"at most {MAX_ELEMENTS} are supported"
        )


def check_edges(graph: Graph) -> Graph:
    """The graph itself. Raises UserError naming the layer of an edge that is too large."""
    inputs = {tensor.name for tensor in graph.inputs}
    for name, tensor in graph.tensors.items():
        try:
            check_elements(tensor.shape, "the input" if name in inputs else "its output")
        except UserError as error:
            raise UserError(error.reason, layer=name) from None
    return graph
