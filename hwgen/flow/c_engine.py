"""Runs the C code of a network: compiled once, called for each frame."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..aliases import Array
from ..emit.c import c_files
from ..emit.c.layer import storage
from ..errors import ToolError
from ..ir import Graph, Tensor
from ..ir.graph import check_inputs
from ..numeric import ceil_div
from . import tools
from .workplace import plain_directory

STEM = "network"
_FLAGS = ["-std=c99", "-O3", "-march=native", "-ffp-contract=off", "-fPIC", "-shared"]


class CEngine:
    """A network's C code, compiled. Raises UserError without a compiler, or for a layer without C
    form; ToolError where the compiler fails."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._run, self._workspace = _library(graph)

    def execute(
        self,
        inputs: Mapping[str, Array],
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Array]:
        """Outputs of frames, as ir.execute gives them: int64, the frames first.

        Raises UserError for the inputs that ir.execute refuses.
        """
        graph = self.graph
        checked, frames = check_inputs(graph, inputs)
        given = [np.ascontiguousarray(checked[t.name], _dtype(t)) for t in graph.inputs]
        outputs = {
            name: np.empty((frames, *graph.tensors[name].shape), _dtype(graph.tensors[name]))
            for name in graph.outputs
        }
        arrays = [*given, *outputs.values()]
        workspace = self._workspace.ctypes.data
        # Only addresses change from frame to frame.
        steps = [(a.ctypes.data, a.strides[0]) for a in arrays]
        for frame in range(frames):
            self._run(*(start + frame * stride for start, stride in steps), workspace)
            if progress is not None and frame % 64 == 0:
                progress(frame, frames)
        return {name: array.astype(np.int64) for name, array in outputs.items()}


def _dtype(tensor: Tensor) -> Any:
    return np.dtype(storage(tensor).removesuffix("_t"))


def _library(graph: Graph) -> tuple[Any, Array]:
    files = c_files(graph, STEM)
    compiler = tools.c_compiler().require()
    # What is compiled for one processor may not run on another that shares the cache.
    parts = [compiler, *_FLAGS, _processor(), *files.values()]
    digest = hashlib.sha256("".join(parts).encode()).hexdigest()
    kept = tools.cache_directory("c") / f"{digest[:32]}.so"
    if not kept.exists():
        _compile(compiler, files, kept)
    try:
        library = ctypes.CDLL(str(kept))
    except OSError as error:
        raise ToolError(f"{kept} can not be loaded ({error}); delete it and try again") from None
    run = getattr(library, f"{STEM}_run")
    run.restype = None
    run.argtypes = [ctypes.c_void_p] * (len(graph.inputs) + len(graph.outputs) + 1)
    size = next(line for line in files[f"{STEM}.h"].splitlines() if "WORKSPACE_BYTES" in line)
    return run, np.empty(ceil_div(int(size.split()[-1]), 8), np.int64)


def _processor() -> str:
    """What the compiler may see of this processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _compile(compiler: str, files: Mapping[str, str], kept: Path) -> None:
    with plain_directory() as work:
        for name, text in files.items():
            (work / name).write_text(text)
        command = [compiler, *_FLAGS, "-o", "library.so", f"{STEM}.c"]
        result = subprocess.run(
            command, cwd=work, env=os.environ | {"TMPDIR": str(work)}, capture_output=True,
            text=True, errors="replace", check=False,
        )  # fmt: skip
        if result.returncode:
            raise ToolError(f"the C compiler failed: {result.stderr.strip()[:2000]}")
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copy(work / "library.so", beside)
        beside.replace(kept)
