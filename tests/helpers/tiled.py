"""A small tiled engine that tests build once: its compiled bench is shared by all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hwgen
from hwgen.flow import tools
from hwgen.flow.package_files import Package

MODELS = Path(hwgen.__file__).parent / "models"
RESNET, MNIST = MODELS / "resnet_tiny_int8.tflite", MODELS / "mnist_cnn.h5"
SMALL: dict[str, Any] = {"arch": "tiled", "array": "8x8", "buffer_kib": 32}


def tiled_package(model: Path, folder: Path, **options: Any) -> Package:
    """Build it as ``folder``/NAME on the small engine."""
    return hwgen.build(model, folder / model.stem, **(SMALL | options))


def need_verilator() -> None:
    """Skip where a tiled engine can not be simulated."""
    if not tools.can_compile():
        pytest.skip("Verilator, g++, make and perl are needed")
