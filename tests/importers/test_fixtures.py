"""The frozen networks are all there: tests take those that they find in the folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
KINDS = {".h5": 20, ".json": 1, ".keras": 5, ".onnx": 15, ".tflite": 20}
"""Files of each format; more may come."""
WITHOUT_OUTPUTS = {"float_model", "pair_weights"}
WITHOUT_MODEL = {"quantizers", "rn07_logits"}


def test_no_network_and_no_frozen_output_is_lost() -> None:
    files = list(FIXTURES.iterdir())
    frozen = {path.stem for path in files if path.suffix == ".npz"}
    models = {path.stem for path in files if path.suffix != ".npz"}
    counts = Counter(path.suffix for path in files)
    assert set(counts) == {*KINDS, ".npz"}
    for kind, least in KINDS.items():
        assert counts[kind] >= least, f"{counts[kind]} files {kind}"
    refused = {name for name in models if name.startswith("refused_")}
    assert models - frozen - refused == WITHOUT_OUTPUTS
    assert frozen - models == WITHOUT_MODEL
