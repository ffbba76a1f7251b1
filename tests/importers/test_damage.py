"""Files with a wrong bit: read or refused, in little time and little memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.importers import confined, load
from hwgen.importers.keras.hdf5 import read_confined
from tests.helpers import damage

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = Path(load.__globals__["__file__"]).parent.parent / "models"
ROOT = Path(__file__).parent.parent.parent

SEED, BITS = 9, 40
SECONDS, MEBIBYTES = 4.0, 700
"""Most that reading one file of up to 150 KiB may compute and take, Python itself included."""

# (byte, bit), and what the HDF5 library does where nothing limits it.
WORST = [
    (29227, 7),  # takes 3.1 GB in 22 s
    (2011, 5),  # takes 0.5 GB
    (13657, 2),  # computes for ever
    (132273, 2),  # crashes
]

Case = tuple[str, str | None, list[int], str]


def model_json(folder: Path) -> Path:
    """The project's own model description, of a network with weights."""
    from hwgen.ir import graph_to_json

    path = folder / "own.json"
    path.write_text(json.dumps(graph_to_json(load(FIXTURES / "tflite_squeeze.tflite"))))
    return path


def arrays(folder: Path) -> list[Path]:
    """An array, and labelled ones, plain and compressed."""
    x, y = np.arange(4 * 784, dtype=np.uint8).reshape(4, 28, 28, 1), np.arange(4)
    paths = [folder / name for name in ("x.npy", "plain.npz", "packed.npz")]
    np.save(paths[0], x)
    np.savez(paths[1], x=x, y=y)
    np.savez_compressed(paths[2], x=x, y=y)
    return paths


def external(folder: Path) -> Path:
    """An ONNX file whose constants lie beside it."""
    import onnx

    path = folder / "external.onnx"
    onnx.save(onnx.load(FIXTURES / "onnx_qdq_residual.onnx"), path, save_as_external_data=True,
              location="external.data", size_threshold=64)  # fmt: skip
    return path


def of(source: Path, folder: Path, inside: str | None = None) -> list[Case]:
    """Random bits of a file, half of them in its first 2 KiB, where lengths and places are."""
    rng = random.Random(f"{SEED} {source.name} {inside}")
    size = source.stat().st_size
    if inside is not None:
        size = len(zipfile.ZipFile(source).read(inside))
    places = [rng.randrange(8 * size) for _ in range(BITS // 2)]
    places += [rng.randrange(8 * min(size, 2048)) for _ in range(BITS // 2)]
    target = folder / f"damaged{source.suffix}"
    return [(str(source), inside, [bit], str(target)) for bit in places]


def run(cases: list[Case]) -> list[list[Any]]:
    """What became of each case: outcome, seconds, and MiB at most until then."""
    command = [sys.executable, "-m", "tests.helpers.damage"]
    result = subprocess.run(
        command, input=json.dumps(cases), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def check(cases: list[Case]) -> list[str]:
    """Run cases; gives their outcomes."""
    results = run(cases)
    for (source, inside, bits, _), (outcome, seconds, memory) in zip(cases, results, strict=True):
        case = f"{Path(source).name} {inside or ''} bit {bits}: {outcome}"
        assert outcome in ("read", "refused"), case
        assert seconds < SECONDS, f"{case} after {seconds} s"
        assert memory < MEBIBYTES, f"{case} with {memory} MiB"
    return [outcome for outcome, *_ in results]


def test_a_wrong_bit_in_a_file_of_each_format(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    inside = {"config.json", damage.WEIGHTS}
    archive = FIXTURES / "hgq_elements.keras"
    sources: list[tuple[Path, str | None]] = [
        (FIXTURES / "signed_input.h5", None),
        (archive, None),
        *((archive, name) for name in sorted(inside)),
        (FIXTURES / "tflite_residual.tflite", None),
        (FIXTURES / "onnx_qdq_residual.onnx", None),
        (external(tmp_path), None),
        (model_json(tmp_path), None),
        *((path, None) for path in arrays(tmp_path)),
    ]
    cases = [case for source, name in sources for case in of(source, tmp_path, name)]
    outcomes = check(cases)
    for n, (source, name) in enumerate(sources):
        mine = outcomes[n * BITS : (n + 1) * BITS]
        assert "refused" in mine, f"no bit of {source.name} {name or ''} matters"
    assert outcomes.count("read") > len(outcomes) // 8


def test_the_worst_bits_of_hdf5(tmp_path: Path) -> None:
    source, target = MODELS / "mnist_cnn.h5", tmp_path / "bad.h5"
    cases = [(str(source), None, [8 * byte + bit], str(target)) for byte, bit in WORST]
    assert check(cases) == ["refused"] * len(WORST)


def read(name: str, size: int = 0) -> Any:
    """What the confined reader says of a function of this module."""
    return confined.confined(globals()[name], size)


def ten() -> int:
    return 10


def wrong() -> None:
    raise UserError("it is wrong", layer="conv", hint="mend it")


def endless() -> None:
    while True:
        pass


def greedy() -> None:
    _ = bytearray(1 << 30)


def crash() -> None:
    import ctypes

    ctypes.string_at(0)


def test_a_confined_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "_SECONDS", 1)
    assert read("ten") == 10
    with pytest.raises(UserError, match="layer 'conv': it is wrong; mend it") as caught:
        read("wrong")
    assert (caught.value.reason, caught.value.layer) == ("it is wrong", "conv")
    with pytest.raises(UserError, match="compute without end"):
        read("endless")
    with pytest.raises(MemoryError):
        read("greedy")
    read("greedy", 1 << 26)  # a large file may take more
    with pytest.raises(UserError, match="crash"):
        read("crash")


def test_arrays_larger_than_their_file_could_hold(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("zeros", (1 << 24,), "f4", compression="gzip", chunks=(1 << 20,))
        file.create_dataset("fits", (1 << 22,), "f4", compression="gzip", chunks=(1 << 20,))
    size = path.stat().st_size
    for name, fits in (("zeros", False), ("fits", True)):
        if fits:
            read_confined(path, size, lambda file, arrays: arrays.read(file["fits"]))
            continue
        with pytest.raises(UserError, match="arrays that it states would take 67108864 bytes"):
            read_confined(path, size, lambda file, arrays, name=name: arrays.read(file[name]))


@pytest.mark.parametrize("name", ["config.json", damage.WEIGHTS])
def test_a_packed_archive(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    for method, size, reason in (
        (zipfile.ZIP_DEFLATED, 20_000_000, "would take 20000000 bytes"),
        (zipfile.ZIP_LZMA, 10, "a method that Keras does not use"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b" " * size, method)
            for other in {"config.json", damage.WEIGHTS} - {name}:
                archive.writestr(other, "{}")
        with pytest.raises(UserError, match=f"{name} .*{reason}"):
            load(path)
