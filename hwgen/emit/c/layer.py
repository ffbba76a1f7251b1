"""What a layer's C text is made from."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from ...ir import Node, Tensor
from .arith import Helpers
from .text import integer_type, number, table


@dataclass
class Layer:
    """A node with its edges; collects the constant arrays that its text needs.

    ``name`` is the C name; the text reads ``x`` (``x0``, ``x1``, ... where there are several) and
    writes ``y``.
    """

    name: str
    node: Node
    inputs: list[Tensor]
    output: Tensor
    helpers: Helpers
    tables: str = ""

    @property
    def op(self) -> Any:
        """The operation."""
        return self.node.op

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.inputs[0]

    def table(self, what: str, values: Any, kind: str | None = None) -> str:
        """Store an array, of the narrowest type or a given one; gives its C name."""
        name = f"{self.name}_{what}"
        self.tables += table(name, values, kind) + "\n"
        return name

    def reals(self, what: str, values: Any, kind: str) -> str:
        """Store floats or doubles, written so that no digit is lost; gives the C name."""
        name, suffix = f"{self.name}_{what}", "f" if kind == "float" else ""
        texts = ", ".join(f"{float(v).hex()}{suffix}" for v in values)
        body = "\n".join(wrap(texts, 96))
        self.tables += f"static const {kind} {name}[{len(values)}] = {{\n{body}\n}};\n\n"
        return name

    def per_channel(self, what: str, values: Any, index: str) -> str:
        """An expression of one number, or of one a channel."""
        flat = [int(v) for v in values.reshape(-1)]
        if len(set(flat)) == 1:
            return number(flat[0])
        return f"{self.table(what, values)}[{index}]"


def storage(tensor: Tensor) -> str:
    """The C type of an edge's elements."""
    return integer_type(tensor.type.min, tensor.type.max)
