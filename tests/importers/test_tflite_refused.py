"""TensorFlow Lite operators that a runtime computes otherwise, or not at all, are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.importers import RUNTIMES, load
from tests.helpers.tflite_files import TfFile

SHAPE = (1, 6, 5, 4)


class Files:
    """A file that begins with an int8 image, and what is said when it is read."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.tflite"
        self.file = TfFile()
        self.x = self.file.input(SHAPE, scale=0.05, zero=3)

    def tensor(self, shape: Any = SHAPE, scale: float = 0.05, zero: int = 3, **more: Any) -> int:
        """A tensor of the input's type, but for what is given."""
        return self.file.tensor(shape, scale=scale, zero=zero, **more)

    def load(self, runtime: str) -> Any:
        """The graph."""
        return load(self.file.write(self.path), runtime=runtime)

    def refusal(self, runtime: str = "tflm") -> str:
        """The message, which names the file."""
        with pytest.raises(UserError) as caught:
            self.load(runtime)
        assert str(self.path) in str(caught.value)
        return str(caught.value)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A file to be filled."""
    return Files(tmp_path)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_int8_filters_have_no_zero_point(kind: str, runtime: str, files: Files) -> None:
    filters = files.file.tensor((1, 1, 1, 4), scale=0.01, zero=7, data=np.ones(4))
    channels = 1 if kind == "CONV_2D" else 4
    table = "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"
    y = files.tensor((1, 6, 5, channels))
    files.file.operator(kind, [files.x, filters, -1], y, table, StrideH=1, StrideW=1)
    text = files.refusal(runtime)
    assert f"layer '{kind.lower()}_0'" in text and "'t1' have a zero point" in text


@pytest.mark.parametrize("scale, zero", [(0.1, 3), (0.05, 0)])
@pytest.mark.parametrize("kind", ["PAD", "RESIZE_NEAREST_NEIGHBOR"])
def test_moves_keep_the_type(kind: str, scale: float, zero: int, files: Files) -> None:
    pads = kind == "PAD"
    amounts = files.file.integers([[0, 0], [1, 1], [0, 0], [0, 0]] if pads else [12, 10])
    y = files.tensor((1, 8, 5, 4) if pads else (1, 12, 10, 4), scale, zero)
    files.file.operator(kind, [files.x, amounts], y)
    assert "must have one type, scale and zero point" in files.refusal()


def test_a_border_has_the_input_s_type(files: Files) -> None:
    amounts = files.file.integers([[0, 0], [1, 1], [0, 0], [0, 0]])
    border = files.file.tensor((1,), scale=0.1, zero=0, data=[20])
    y = files.tensor((1, 8, 5, 4))
    files.file.operator("PADV2", [files.x, amounts, border], y, "PadV2Options")
    assert "layer 'padv2_0': the border must have the input's type" in files.refusal()


@pytest.mark.parametrize(
    "runtime, factor, half_pixels, fits",
    [
        ("tflm", 41, False, False),
        ("reference", 41, False, False),
        ("reference", 41, True, True),
        ("xnnpack", 41, False, True),
        ("xnnpack", 64, False, True),
        ("reference", 40, False, True),
    ],
)
def test_resizing_takes_the_runtime_s_neighbours(
    runtime: str, factor: int, half_pixels: bool, fits: bool, files: Files
) -> None:
    size = files.file.integers([6, 5 * factor])
    y = files.tensor((1, 6, 5 * factor, 4))
    table = "ResizeNearestNeighborOptions"
    kind = "RESIZE_NEAREST_NEIGHBOR"
    files.file.operator(kind, [files.x, size], y, table, HalfPixelCenters=half_pixels)
    if fits:
        assert files.load(runtime).nodes[0].op.factor == (1, factor)
    else:
        assert f"resizing 5 elements by 41: {runtime} rounds" in files.refusal(runtime)


def test_a_large_image_is_resized_by_less(files: Files) -> None:
    size = files.file.integers([1, 100 * 60])
    x = files.file.input((1, 1, 100, 1), scale=0.05, zero=3)
    y = files.tensor((1, 1, 6000, 1))
    files.file.operator("RESIZE_NEAREST_NEIGHBOR", [x, size], y)
    assert "resizing 100 elements by 60: xnnpack rounds" in files.refusal("xnnpack")


def test_slices_whose_ends_are_sizes(files: Files) -> None:
    bounds = [files.file.integers(v) for v in ([0, 1, 1, 0], [1, 5, 4, 4], [1, 1, 1, 1])]
    y = files.tensor((1, 5, 4, 4))
    files.file.operator("STRIDED_SLICE", [files.x, *bounds], y, "StridedSliceOptions", Offset=True)
    assert "whose ends count from its begins" in files.refusal()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_parts_of_another_scale_are_not_joined(runtime: str, files: Files) -> None:
    other = files.file.input(SHAPE, scale=0.1, zero=0)
    y = files.tensor((1, 6, 5, 8))
    table = "ConcatenationOptions"
    files.file.operator("CONCATENATION", [files.x, other], y, table, Axis=3)
    assert "inputs of another scale than the output's" in files.refusal(runtime)


@pytest.mark.parametrize("kind, scale, zero", [("LOGISTIC", 1 / 256, -128), ("TANH", 1 / 128, 0)])
def test_curves_have_one_zero_point_in_tflm(
    kind: str, scale: float, zero: int, files: Files
) -> None:
    y = files.tensor(scale=scale, zero=zero + 5)
    files.file.operator(kind, [files.x], y)
    assert f"the output's zero point must be {zero}, not {zero + 5}" in files.refusal()
    assert files.load("xnnpack").outputs == (f"{kind.lower()}_0",)


def test_an_operator_that_tflm_lacks(files: Files) -> None:
    files.file.operator("RELU_N1_TO_1", [files.x], files.tensor(), version=1)
    assert "TensorFlow Lite Micro has no such operator" in files.refusal()
    assert files.load("reference").outputs == ("relu_n1_to_1_0",)


def test_integers_between_types_that_hang_on_their_place(files: Files) -> None:
    y = files.file.tensor(SHAPE, "UINT8", scale=0.11, zero=100)
    files.file.operator("QUANTIZE", [files.x], y, "QuantizeOptions")
    text = files.refusal("xnnpack")
    assert "layer 'quantize_0': 120 elements from int8" in text and "the last 8" in text
    assert files.load("reference").outputs == ("quantize_0",)


def test_a_tensor_has_one_origin(files: Files) -> None:
    y = files.tensor()
    files.file.operator("RELU", [files.x], y)
    files.file.operator("RELU6", [files.x], y)
    assert "layer 'relu6_1': tensor 't1' is given a second time" in files.refusal()


@pytest.mark.parametrize("data", [None, np.zeros(SHAPE)])
def test_inputs_and_constants_are_not_given_again(data: Any, files: Files) -> None:
    y = files.x if data is None else files.tensor(data=data)
    files.file.operator("RELU", [files.x], y)
    assert "is given a second time" in files.refusal()


def test_constant_operands(files: Files) -> None:
    y = files.tensor()
    other, whole = files.tensor((3,), data=np.zeros(3)), files.tensor(data=np.zeros(SHAPE))
    files.file.operator("ADD", [files.x, other], y, "AddOptions")
    assert "layer 'add_0': constants of shape [3] do not fit [6, 5, 4]" in files.refusal()
    files.file.operators.clear()
    files.file.operator("MUL", [whole, whole], y, "MulOptions")
    assert "layer 'mul_0': both operands are constants" in files.refusal()


@pytest.mark.parametrize("shape", [(1, 1 << 20, 1 << 20, 4), (1, 1 << 14, 1 << 12, 2)])
def test_shapes_beyond_any_memory(shape: tuple[int, ...], tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.file.operator("RELU", [files.x], files.tensor(shape))
    text = files.refusal()
    assert f"tensor 't1' of shape {list(shape)} would have" in text and "most 16777216" in text


@pytest.mark.parametrize("shape, axis", [((), 0), (SHAPE, 4), (SHAPE, -5)])
@pytest.mark.parametrize("kind", ["MEAN", "CONCATENATION"])
def test_axes_that_do_not_exist(kind: str, shape: Any, axis: int, tmp_path: Path) -> None:
    files = Files(tmp_path)
    x = files.file.input(shape, scale=0.05, zero=3)
    if kind == "MEAN":
        files.file.operator(kind, [x, files.file.integers([axis])], files.tensor(shape))
    else:
        table = "ConcatenationOptions"
        files.file.operator(kind, [x, x], files.tensor(shape), table, Axis=axis)
    assert f"axis {axis} of {list(shape)} does not exist" in files.refusal()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", ["MEAN", "MUL", "RELU", "QUANTIZE"])
def test_scales_too_far_apart(kind: str, runtime: str, files: Files) -> None:
    x = files.file.input(SHAPE, scale=1e38, zero=3)
    y = files.tensor((1, 4) if kind == "MEAN" else SHAPE, scale=1e-38)
    more = {"MEAN": [files.file.integers([1, 2])], "MUL": [x]}.get(kind, [])
    files.file.operator(kind, [x, *more], y)
    text = files.refusal(runtime)
    assert f"layer '{kind.lower()}_0'" in text and ("too" in text or "can not be used" in text)


@pytest.mark.parametrize("kind, said", [("SOFTMAX", "softmax"), ("LOGISTIC", "sigmoid")])
def test_functions_of_real_numbers_at_the_end_are_left_out(
    kind: str, said: str, files: Files
) -> None:
    real, flat, out = (files.file.tensor(shape, "FLOAT32") for shape in (SHAPE, (1, 120), (1, 120)))
    files.file.operator("DEQUANTIZE", [files.x], real)
    files.file.operator("RESHAPE", [real, files.file.integers((1, 120))], flat, version=1)
    files.file.operator(kind, [flat], out, version=1)
    graph = files.load("tflm")
    assert graph.outputs == ("reshape_1",) and graph.tensors["reshape_1"].type.scale is not None
    assert f"the {said} at the end is left out" in " ".join(graph.notes)


def test_arithmetic_with_real_numbers_is_refused(files: Files) -> None:
    real, other = (files.file.tensor(SHAPE, "FLOAT32") for _ in range(2))
    files.file.operator("DEQUANTIZE", [files.x], real)
    files.file.operator("LOGISTIC", [real], other, version=1)
    files.file.operator("LOGISTIC", [other], files.file.tensor(SHAPE, "FLOAT32"), version=1)
    text = files.refusal()
    assert "layer 'logistic_1': LOGISTIC computes with the real numbers behind a DEQUANT" in text


def test_layers_of_few_bits_that_tflm_lacks(files: Files) -> None:
    weights = files.file.tensor((2, 120), "INT4", (0.1, 0.2), data=np.ones((2, 120)))
    y = files.tensor((1, 2))
    files.file.operator("FULLY_CONNECTED", [files.x, weights, -1], y, "FullyConnectedOptions")
    assert "has no fully connected layer of int4 weights with a scale for each" in files.refusal()
    assert files.load("reference").outputs == ("fully_connected_0",)


def test_axes_that_are_too_long_to_be_exchanged(tmp_path: Path) -> None:
    files = Files(tmp_path)
    x = files.file.input((1, 200, 300), scale=0.05, zero=3)
    order = files.file.integers((0, 2, 1))
    files.file.operator("TRANSPOSE", [x, order], files.tensor((1, 300, 200)), "TransposeOptions")
    assert (
        "layer 'transpose_0': elements would have to be put in another order, by 200 slices"
        in files.refusal()
    )


def test_operators_that_runtimes_have_for_bytes_only(files: Files) -> None:
    x = files.file.input((1, 4), "INT16", scale=0.01)
    files.file.operator("HARD_SWISH", [x], files.file.tensor((1, 4), "INT16", scale=0.01))
    said = "layer 'hard_swish_0': no runtime of TensorFlow Lite has HARD_SWISH of int16"
    assert said in files.refusal()


def test_operators_of_int16_that_are_not_read(files: Files) -> None:
    x, size = files.file.input((1, 2, 2, 1), "INT16", scale=0.01), files.file.integers((4, 4))
    y = files.file.tensor((1, 4, 4, 1), "INT16", scale=0.01)
    files.file.operator("RESIZE_BILINEAR", [x, size], y, "ResizeBilinearOptions")
    said = "layer 'resize_bilinear_0': RESIZE_BILINEAR of int16 is not supported"
    assert said in files.refusal()


def test_int16_has_no_zero_point(files: Files) -> None:
    x = files.file.input((1, 4), "INT16", scale=0.01, zero=2)
    files.file.operator("ADD", [x, x], files.file.tensor((1, 4), "INT16", scale=0.01), "AddOptions")
    assert "of int16 has a zero point, which it can not have" in files.refusal()


def test_sums_of_int16_with_scales_of_powers_of_two(files: Files) -> None:
    x = files.file.input((1, 4), "INT16", scale=0.25)
    y = files.file.tensor((1, 4), "INT16", scale=0.25)
    files.file.operator("ADD", [x, x], y, "AddOptions", PotScaleInt16=True)
    assert "sums have scales of powers of two" in files.refusal()


def test_an_output_before_and_behind_a_dequantize(files: Files) -> None:
    y, real = files.tensor(), files.file.tensor(SHAPE, "FLOAT32")
    files.file.operator("RELU", [files.x], y)
    files.file.operator("DEQUANTIZE", [y], real)
    files.file.outputs += [y, real]
    graph = files.load("tflm")
    assert graph.outputs == ("t1", "t2")
    assert graph.tensors["t1"].type == graph.tensors["t2"].type


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_weights_and_input_have_one_kind_of_integers(kind: str, files: Files) -> None:
    sizes = (1, 120) if kind == "FULLY_CONNECTED" else (1, 1, 1, 4)
    weights = files.file.tensor(sizes, "UINT8", 0.1, 9, data=np.ones(sizes))
    y = files.tensor((1, 1) if kind == "FULLY_CONNECTED" else (1, 6, 5, sizes[-1]))
    window = {} if kind == "FULLY_CONNECTED" else {"StrideH": 1, "StrideW": 1}
    table = "".join(part.capitalize() for part in kind.split("_")).replace("2d", "2D") + "Options"
    files.file.operator(kind, [files.x, weights, -1], y, table, **window)
    assert "weights 't1' are uint8, the input is int8; convert" in files.refusal("reference")


def test_one_largest_element_is_taken(files: Files) -> None:
    outputs = [files.tensor((1, 6, 5, 2)), files.file.tensor((1, 6, 5, 2), "INT32")]
    files.file.operator("TOPK_V2", [files.x, files.file.integers(2)], outputs, "TopKV2Options")
    text = files.refusal()
    assert "layer 'topk_v2_0': gives the 2 largest elements, one is supported" in text
    assert "end the network at its input" in text


def test_rows_are_no_batch_where_an_axis_is_named(files: Files) -> None:
    rows = files.tensor((30, 4))
    files.file.operator("RESHAPE", [files.x, files.file.integers((30, 4))], rows, version=1)
    files.file.operator("RELU", [rows], files.tensor((30, 4)), version=1)
    assert files.load("tflm").tensors["relu_1"].shape == (30, 4)
    y = files.tensor((30,))
    files.file.operator("MEAN", [rows, files.file.integers([1])], y, "ReducerOptions")
    assert "layer 'mean_2': tensor 't1' has a batch of 30, 1 is supported" in files.refusal()
