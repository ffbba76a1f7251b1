"""Runs the C code of a network: compiled once, called for each frame."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..emit.c import c_files
from ..emit.c.layer import storage
from ..errors import ToolError, UserError
from ..ir import Graph
from . import tools

Array = np.ndarray[Any, Any]
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
        """Outputs of frames, as ir.execute gives them: int64, the frames first."""
        graph = self.graph
        given = [self._checked(t.name, t.shape, storage(t), inputs) for t in graph.inputs]
        frames = len(given[0])
        outputs = {
            name: np.empty((frames, *graph.tensors[name].shape), _dtype(graph, name))
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

    def _checked(
        self, name: str, shape: tuple[int, ...], kind: str, inputs: Mapping[str, Array]
    ) -> Array:
        if name not in inputs:
            raise UserError(f"input {name!r} is missing")
        array = np.asarray(inputs[name])
        if array.shape[1:] != shape:
            raise UserError(f"input {name!r} has shape {array.shape}, (frames, "
                            f"{', '.join(map(str, shape))}) is needed")  # fmt: skip
        tensor = self.graph.tensors[name]
        if array.size and not tensor.type.min <= array.min() <= array.max() <= tensor.type.max:
            raise UserError(f"input {name!r} has integers outside {tensor.type}")
        return np.ascontiguousarray(array, np.dtype(kind[:-2]))


def _dtype(graph: Graph, name: str) -> Any:
    return np.dtype(storage(graph.tensors[name])[:-2])


def _library(graph: Graph) -> tuple[Any, Array]:
    files = c_files(graph, STEM)
    compiler = tools.c_compiler().require()
    digest = hashlib.sha256("".join([compiler, *_FLAGS, *files.values()]).encode()).hexdigest()
    kept = tools.cache_directory("c") / f"{digest[:32]}.so"
    if not kept.exists():
        _compile(compiler, files, kept)
    library = ctypes.CDLL(str(kept))
    run = getattr(library, f"{STEM}_run")
    run.restype = None
    run.argtypes = [ctypes.c_void_p] * (len(graph.inputs) + len(graph.outputs) + 1)
    size = next(line for line in files[f"{STEM}.h"].splitlines() if "WORKSPACE_BYTES" in line)
    return run, np.empty(-(-int(size.split()[-1]) // 8), np.int64)


def _compile(compiler: str, files: Mapping[str, str], kept: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="hwgen-") as folder:
        work = Path(folder)
        for name, text in files.items():
            (work / name).write_text(text)
        made = work / "library.so"
        command = [compiler, *_FLAGS, "-o", str(made), str(work / f"{STEM}.c")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ToolError(f"the C compiler failed: {result.stderr.strip()[:2000]}")
        beside = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copy(made, beside)
        beside.replace(kept)
