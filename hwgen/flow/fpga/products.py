"""Products that find no DSP block: a device has so many, and a design may multiply more often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .devices import Device

MULTIPLIER = "hwgen_mul"
"""The module of a product (hwgen.gateware.common.multiplier)."""

Modules = dict[str, Any]
"""Modules as Yosys writes them with write_json, the multiplier's a black box."""


@dataclass(frozen=True)
class Product:
    """An instance of the multiplier. name : its path below the top; a, b : bits of its operands."""

    name: str
    a: int
    b: int


def without_block(modules: Modules, top: str, device: Device) -> list[str]:
    """The paths of the products for which the device has no block: of the smallest ones, since
    those take the fewest tables; among equal ones those that come last in the design."""
    fitting = [p for p in _products(modules, top) if {p.a, p.b} <= set(device.block_operands)]
    excess = max(0, len(fitting) - device.blocks)
    smallest = sorted(reversed(fitting), key=lambda product: product.a * product.b)
    return [product.name for product in smallest[:excess]]


def _products(modules: Modules, module: str, path: str = "") -> Iterator[Product]:
    for name, cell in modules[module]["cells"].items():
        if cell["type"] == MULTIPLIER:
            bits = cell["parameters"]
            widths = (int(bits[f"{side}_WIDTH"], 2) for side in "AB")
            yield Product(path + name, *widths)
        elif cell["type"] in modules:
            yield from _products(modules, cell["type"], f"{path}{name}.")
