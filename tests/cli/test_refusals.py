"""Bad input ends in exit code 2 and one clear message, with nothing half-written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.cli import main
from hwgen.flow import tools
from hwgen.ir import graph_to_json
from tests.helpers.packages import tiny_model, tiny_package

MODEL = Path(hwgen.__file__).parent / "models" / "mnist_cnn.h5"
FLOAT_MODEL = Path(__file__).parents[1] / "importers" / "fixtures" / "float_model.h5"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must be refused; returns its message."""
    capsys.readouterr()
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2, err
    assert "Traceback" not in err
    message = [line for line in err.splitlines() if line.startswith("hwgen: ")]
    assert len(message) == 1, err
    return message[0]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small package: the last dense layer of the shipped network alone."""
    folder = tmp_path_factory.mktemp("small")
    graph = hwgen.load(MODEL)
    value = graph_to_json(graph)
    node = graph.nodes[-1]
    x = graph.operands(node)[0]
    value["inputs"] = [{"name": x.name, "shape": list(x.shape), "type": x.type.to_json()}]
    value |= {"layers": value["layers"][-1:], "unstated": []}
    (folder / "small.json").write_text(json.dumps(value))
    hwgen.build(folder / "small.json", folder / "package", multipliers=4)
    return folder


def test_model_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = MODEL.read_bytes()
    files = {
        "missing.h5": None,
        "empty.h5": b"",
        "text.h5": b"not HDF5",
        "short.h5": data[: len(data) // 2],
        "other.txt": b"x",
        "broken.json": b"{",
        "list.json": b"[]",
    }
    for name, content in files.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        assert name in refused(capsys, "build", path, "--out", out)
        assert not out.exists()
    assert "not quantized" in refused(capsys, "build", FLOAT_MODEL, "--out", out)
    assert "tmp" in refused(capsys, "inspect", tmp_path)


def test_names_that_are_no_text(
    capsys: pytest.CaptureFixture[str], small: Path, tmp_path: Path
) -> None:
    """The report's command could not name them."""
    for kind, file in (("model", small / "small.json"), ("plan", small / "package" / "plan.json")):
        odd = Path(os.fsdecode(bytes(tmp_path) + b"/\xff." + kind.encode() + b".json"))
        odd.write_bytes(file.read_bytes())
        given = (odd,) if kind == "model" else (small / "small.json", "--plan", odd)
        message = refused(capsys, "build", *given, "--out", tmp_path / "out")
        assert "not UTF-8" in message and rf"\udcff.{kind}.json" in message
        assert not (tmp_path / "out").exists()


def test_budgets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for option, value, said in (
        ("--multipliers", 0, "at least 4"),
        ("--multipliers", -5, "at least 4"),
        ("--interval", 100, "784"),
        ("--interval", 0, "784"),
    ):
        assert said in refused(capsys, "build", MODEL, "--out", out, option, value)
    assert "give one of --multipliers and --interval" in refused(
        capsys, "build", MODEL, "--out", out, "--interval", 9000, "--multipliers", 9
    )
    assert "--input-type" in refused(capsys, "build", MODEL, "--out", out, "--input-type", "int8")
    assert list(tmp_path.iterdir()) == []


def test_output_places(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("x")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    for place in (file, foreign, dangling, file / "below", Path("/proc/hwgen")):
        named = file if place.parent == file else place
        assert str(named) in refused(capsys, "build", MODEL, "--out", place)
    assert (foreign / "thesis.tex").read_text() == "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "file", "foreign"]


def test_a_package_with_something_of_a_person_stays(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Refused before anything is done, by the command line as by the API."""
    package = tiny_package(tmp_path)
    model = tiny_model(tmp_path)
    build = ("build", model, "--out", package.path, "--multipliers", 4)
    package.write_result("verify", {"equal": True})
    assert main([str(a) for a in build]) == 0, "results are hwgen's"
    top = package.path / "rtl" / "top.v"
    top.write_text(top.read_text() + "// mine\n")
    (package.path / "notes.txt").write_text("mine")
    message = refused(capsys, *build)
    assert "notes.txt, rtl/top.v (changed)" in message and "choose another --out" in message
    assert top.read_text().endswith("// mine\n")
    with pytest.raises(hwgen.UserError, match=r"notes\.txt"):
        hwgen.build(model, package.path)
    assert (package.path / "notes.txt").read_text() == "mine"


def test_what_is_read_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model, x, link = tiny_model(tmp_path), tmp_path / "x.npy", tmp_path / "link"
    np.save(x, np.zeros((1, 4, 4, 1), np.uint8))
    link.symlink_to(x)
    before = model.read_bytes(), x.read_bytes()
    run = ("run", model, "--input", x, "--output")
    for place in (model, x, link, tmp_path / "below" / ".." / "x.npy"):
        (tmp_path / "below").mkdir(exist_ok=True)
        assert "is read, and would be overwritten" in refused(capsys, *run, place)
        given = (*run, tmp_path / "y.npy", "--edges", place)
        assert "is read, and would be overwritten" in refused(capsys, *given)
    same = ("run", model, "--input", x, "--output", tmp_path / "y", "--edges")
    assert "two results" in refused(capsys, *same, tmp_path / "below" / ".." / "y")
    assert (model.read_bytes(), x.read_bytes()) == before
    os.mkfifo(tmp_path / "pipe")
    assert "is a device or a pipe" in refused(capsys, *run, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_to_an_array_stays_a_link(tmp_path: Path) -> None:
    model, x, link = tiny_model(tmp_path), tmp_path / "x.npy", tmp_path / "link.npy"
    np.save(x, np.zeros((1, 4, 4, 1), np.uint8))
    link.symlink_to(tmp_path / "y.npy")
    assert main(["run", str(model), "--input", str(x), "--output", str(link)]) == 0
    assert link.is_symlink() and np.load(tmp_path / "y.npy").shape == (1, 2)


def test_a_model_whose_name_is_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Bytes that are not UTF-8, which file systems take."""
    model = tiny_model(tmp_path)
    bad = model.rename(tmp_path / os.fsdecode(b"\xff.json"))
    assert "its name is not UTF-8" in refused(capsys, "inspect", bad)
    assert "its name is not UTF-8" in refused(capsys, "build", bad, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_arrays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    good = np.zeros((2, 28, 28, 1), np.uint8)
    arrays = {
        "shape": np.zeros((2, 27, 28, 1), np.uint8),
        "flat": np.zeros((2, 784), np.uint8),
        "real": good / 2,
        "large": good.astype(np.int64) + 256,
        "negative": good.astype(np.int64) - 1,
        "text": np.array(["a"]),
    }
    out = tmp_path / "y.npy"
    for name, array in arrays.items():
        path = tmp_path / f"{name}.npy"
        np.save(path, array)
        assert "image" in refused(capsys, "run", MODEL, "--input", path, "--output", out), name
    np.save(tmp_path / "nan.npy", np.full(good.shape, np.nan))
    nan = ("run", MODEL, "--float", "--input", tmp_path / "nan.npy", "--output", out)
    assert "NaN" in refused(capsys, *nan)
    np.save(tmp_path / "good.npy", good)
    (tmp_path / "short.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:-9])
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04K\x01.")
    np.savez(tmp_path / "archive.npz", x=good)
    for name in ("short.npy", "pickle.npy", "archive.npz", "absent.npy"):
        path = tmp_path / name
        assert name in refused(capsys, "run", MODEL, "--input", path, "--output", out)
    given = ("run", MODEL, "--input", tmp_path / "good.npy", "--output")
    assert "nowhere" in refused(capsys, *given, tmp_path / "nowhere" / "y.npy")
    assert "other" in refused(
        capsys, "run", MODEL, "--input", f"other={tmp_path / 'good.npy'}", "--output", out
    )
    assert not out.exists()


def test_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = tmp_path / "x.npy"
    np.save(x, np.zeros((28, 28, 1), np.uint8))
    given = ("run", MODEL, "--input", x, "--output", tmp_path / "y.npy")
    message = refused(capsys, *given, "--engine", "c", "--edges", tmp_path / "e.npz")
    assert "--edges" in message and "x.npy" not in message

    def full(*arguments: object) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr("hwgen.api.execute", full)
    message = refused(capsys, *given)
    assert "not enough memory for its frames (no more); give fewer frames" in message
    monkeypatch.setattr("hwgen.importers.check_edges", full)
    message = refused(capsys, "inspect", MODEL)
    assert "mnist_cnn.h5: there is not enough memory to read it" in message
    assert "frames" not in message


def test_labelled_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    x = np.zeros((3, 28, 28), np.uint8)
    np.savez(path, x=x)
    assert "'y" in refused(capsys, "eval", MODEL, "--data", path)
    np.savez(path, x=x, y=np.zeros(2, int))
    assert "3 samples and 2 labels" in refused(capsys, "eval", MODEL, "--data", path)
    np.savez(path, x=x, y=np.zeros(3))
    assert "labels" in refused(capsys, "eval", MODEL, "--data", path)
    np.savez(path, x=x, y=np.zeros(3, int))
    assert "--rtl" in refused(capsys, "eval", MODEL, "--data", path, "--rtl", 4)
    path.write_bytes(b"PK nonsense")
    assert "data.npz" in refused(capsys, "eval", MODEL, "--data", path)


def test_damaged_packages(capsys: pytest.CaptureFixture[str], small: Path, tmp_path: Path) -> None:
    import shutil

    assert "no such directory" in refused(capsys, "verify", tmp_path / "nowhere")
    assert "not a package" in refused(capsys, "verify", tmp_path)
    for name in ("manifest.json", "graph.json", "plan.json", "vectors/vectors.npz"):
        for damage in (None, b"", b'{"schema": 1'):
            copy = tmp_path / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(small / "package", copy)
            (copy / name).unlink()
            if damage is not None:
                (copy / name).write_bytes(damage)
            refused(capsys, "verify", copy, "--sim", "python")
    assert "--random" in refused(
        capsys, "verify", small / "package", "--sim", "python", "--random", 0
    )


def test_plan_files(capsys: pytest.CaptureFixture[str], small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    good = json.loads((small / "package" / "plan.json").read_text())
    worse = [
        "{",
        "[]",
        "{}",
        json.dumps(good | {"units": []}),
        json.dumps(good | {"input_lanes": 99}),
        json.dumps(good | {"units": [u | {"pe": 0} for u in good["units"]]}),
        json.dumps(good | {"units": [u | {"pe": "many"} for u in good["units"]]}),
        json.dumps(good | {"units": [u | {"fifo": 0} for u in good["units"]]}),
    ]
    for text in worse:
        path = tmp_path / "plan.json"
        path.write_text(text)
        refused(capsys, "build", small / "small.json", "--out", out, "--plan", path)
        assert not out.exists()
    good_path = small / "package" / "plan.json"
    assert (
        main(["build", str(small / "small.json"), "--out", str(out), "--plan", str(good_path)]) == 0
    )


def test_no_simulator(
    capsys: pytest.CaptureFixture[str], small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    package = small / "package"
    assert "iverilog is not installed" in refused(capsys, "verify", package, "--sim", "icarus")
    assert "g++" in refused(capsys, "verify", package, "--sim", "verilator")
    assert not tools.can_compile()
    assert main(["verify", str(package)]) == 0, "falls back to Amaranth's simulator"


def test_command_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ((), ("dance",), ("build", MODEL), ("verify", "x", "--sim", "modelsim")):
        refused(capsys, *arguments)


def test_json_output_is_one_value(
    capsys: pytest.CaptureFixture[str], small: Path, tmp_path: Path
) -> None:
    x = tmp_path / "x.npy"
    np.save(x, np.zeros((1, 28, 28, 1), np.uint8))
    for arguments in (
        ("inspect", MODEL, "--plan"),
        ("run", MODEL, "--input", x, "--output", tmp_path / "y.npy"),
        ("build", small / "small.json", "--out", tmp_path / "p"),
        ("verify", tmp_path / "p", "--sim", "python"),
        ("report", tmp_path / "p"),
        ("doctor",),
    ):
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        json.loads(capsys.readouterr().out)


def test_real_values_in_and_out(tmp_path: Path) -> None:
    real = np.random.default_rng(1).random((2, 28, 28, 1))
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "codes.npy", np.minimum(np.rint(real * 256), 255).astype(np.int64))
    common = ["run", str(MODEL)]
    real_out, int_out = tmp_path / "yr.npy", tmp_path / "yi.npy"
    edges = tmp_path / "e.npz"
    given = ["--float", "--input", str(tmp_path / "real.npy"), "--output", str(real_out)]
    assert main([*common, *given]) == 0
    given = ["--input", str(tmp_path / "codes.npy"), "--output", str(int_out)]
    assert main([*common, *given, "--edges", str(edges)]) == 0
    output = hwgen.load(MODEL)
    frac = output.tensors[output.outputs[0]].type.frac
    assert np.array_equal(np.load(real_out), (np.load(int_out) / 2.0**frac).astype(np.float32))
    with np.load(edges) as values:
        assert set(values) == set(output.tensors)


def test_names_of_files_may_have_equals_signs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model, folder = tiny_model(tmp_path), tmp_path / "a=b"
    folder.mkdir()
    np.save(folder / "x=1.npy", np.zeros((1, 4, 4, 1), np.uint8))
    (name,) = (x.name for x in hwgen.load(model).inputs)
    for text in (folder / "x=1.npy", f"{name}={folder / 'x=1.npy'}"):
        run = ["run", str(model), "--input", str(text), "--output", str(tmp_path / "y.npy")]
        assert main(run) == 0, capsys.readouterr().err
    for text, said in (
        (f"up={folder / 'x=1.npy'}", "no input 'up'"),
        (f"{name}=", "the name of the file is empty"),
        ("", "the name of the file is empty"),
    ):
        run = ("run", model, "--input", text, "--output", tmp_path / "z.npy")
        assert said in refused(capsys, *run)


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", ""),
        ("report", ""),
        ("build", str(MODEL), "--out", ""),
        ("build", str(MODEL), "--out", "p", "--plan", ""),
        ("run", str(MODEL), "--input", "x.npy", "--output", ""),
        ("run", str(MODEL), "--input", "x.npy", "--output", "y.npy", "--edges", ""),
        ("eval", str(MODEL), "--data", ""),
        ("verify", "p", "--trace", ""),
    ],
    ids=str,
)
def test_an_empty_name_is_no_place(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """It would stand for the current directory."""
    assert "the name is empty" in refused(capsys, *words)
