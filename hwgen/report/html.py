"""HTML of reports: the templates of ``templates/``, and how figures, types and names are written.

Everything that comes from a model is text: templates escape it, but for what a template made.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..numeric import ceil_div, type_text
from .labels import fitted

THIN = "\u202f"
"""A thin space that no line ends at, between thousands."""


def render(template: str, **values: Any) -> Markup:
    """A template of ``hwgen/report/templates`` with these values."""
    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hwgen.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number, "percent": percent, "size": size, "shape": shape, "type": type_text,
        "fitted": fitted,
    }  # fmt: skip
    return environment


def number(value: Any) -> str:
    """A figure with thin spaces between its thousands."""
    if value is None:
        return "not measured"
    return f"{value:,}".replace(",", THIN) if isinstance(value, int) else str(value)


def percent(part: float | None, digits: int | None = None) -> str:
    """A part of 1 in percent; empty where there is none. Small parts have a digit more, unless
    ``digits`` says how many there are behind the point."""
    if part is None:
        return ""
    if digits is None:
        digits = 1 if part < 0.1 else 0
    return f"{100 * part:.{digits}f}{THIN}%"


def size(bits: int) -> str:
    """Bits of memory in the unit that gives up to four digits."""
    if bits < 8192:
        return f"{number(ceil_div(bits, 8))}{THIN}B"
    kib = bits / 8192
    return f"{kib:.1f}{THIN}KiB" if kib < 1000 else f"{kib / 1024:.1f}{THIN}MiB"


def shape(sizes: tuple[int, ...] | list[int]) -> str:
    """The shape of a tensor."""
    return " x ".join(map(str, sizes))
