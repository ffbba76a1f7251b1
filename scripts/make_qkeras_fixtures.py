#!/usr/bin/env python3
"""Makes the QKeras fixtures of tests/importers: frozen quantizers and tiny frozen models.

``quantizers.npz`` holds the inputs and outputs of many quantizer configurations:

- ``configs``: one JSON string each, with ``class_name``, ``config``, ``shape``, ``start`` (the
  values are ``x[start:start + size]`` and the same of ``y``) and, for scales that QKeras computes,
  ``scale``: one number a channel, the value of one step of the code.
- ``x``, ``y``: all inputs and outputs, flat, float32.

``<model>.h5`` and ``<model>.npz`` are a model and what QKeras computes with it:

- ``x``, ``y``: inputs and outputs of QKeras, float32, inference; before a final softmax.
- ``y64``: the outputs of the same network evaluated in float64, only where they differ from ``y``.
- ``trace.<layer>``: each layer's float32 output for the first input, to find the wrong layer.
- ``info``: JSON with ``oracle``, the array to compare with (``y`` or ``y64``), and for quantizer
  layers and the output how many values differ between the two evaluations, and of how many, on
  ``checked_inputs`` inputs.

Where float32 sums round (batch normalization, kernels with real scales), ``y64`` is the truth: a
float32 sum next to a rounding threshold of the quantizer that follows falls on either side of it.

``float_model.h5`` has no quantizers and must be refused. ``pair.json`` and ``pair_weights.h5`` are
one model in two files. Runs in the environment of scripts/train: ``scripts/train --fixtures``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Set before TensorFlow starts: oneDNN may choose Winograd convolutions, whose float sums differ.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
import qkeras_models
import tensorflow as tf
from qkeras import (
    QActivation,
    QBatchNormalization,
    QConv2D,
    QDense,
    QDepthwiseConv2D,
    binary,
    quantized_bits,
    quantized_po2,
    quantized_relu,
    ternary,
)

Array = np.ndarray[Any, Any]
Quantizer = Callable[[Any], Any]

layers = tf.keras.layers

ROOT = Path(__file__).resolve().parent.parent
FROZEN = 12
TRACED = 1
CHECKED = 2000
VALUES = 64
# In some 98 % of such models no float32 sum falls on the wrong side of a threshold. With this
# salt of its random weights one does, so that the choice of oracle is tested.
SALTS = {"bn_dense": 44}


# --- quantizers ---------------------------------------------------------------------------------


def probe(step: float, top: float, rng: np.random.Generator) -> Array:
    """Inputs that tell a fixed quantizer apart: ties, their neighbours, limits, random values.

    ``step`` is the quantizer's LSB and ``top`` the end of its range.
    """
    reach = max(round(1.25 * top / step), 2)
    ties = ((rng.integers(-reach, reach, 22) + 0.5) * step).astype(np.float32)
    special = [0.0, 1e-9, -1e-9, top, -top, top - step / 2, step / 2 - top, 1000 * top, -1000 * top]
    # Multiples of a small part of the step compress well, and hit thresholds more often.
    parts = rng.integers(-8 * reach, 8 * reach, 23) * (step / 8)
    values = np.concatenate(
        [ties, np.nextafter(ties[:5], np.inf), np.nextafter(ties[5:10], -np.inf), special, parts]
    )
    return values.astype(np.float32)


def fixed_cases(rng: np.random.Generator) -> Iterator[tuple[Any, Array]]:
    """Quantizers whose step does not depend on the data."""
    grid = itertools.product(range(1, 9), range(4), (0, 1), (True, False), (1, 0.5))
    for bits, integer, symmetric, negative, alpha in grid:
        if alpha != 1 and integer % 2:
            continue
        step = 2.0 ** (integer - bits + negative)
        quantizer = quantized_bits(bits, integer, symmetric, keep_negative=negative, alpha=alpha)
        yield quantizer, probe(step, 2.0**integer, rng)
    for bits, integer in itertools.product((1, 4, 8), (0, 2)):
        yield quantized_bits(bits, integer), probe(2.0 ** (integer - bits + 1), 2.0**integer, rng)
    for bits, integer, slope in itertools.product(range(1, 9), range(4), (0.0, 0.5, 0.125)):
        step = 2.0 ** (integer - bits + (slope != 0))
        quantizer = quantized_relu(bits, integer, negative_slope=slope)
        # A small slope stretches the negative side of the step function by its reciprocal.
        top = 2.0**integer
        values = probe(step, top, rng)
        if slope:
            values[::3] /= slope
        yield quantizer, values
    for quantizer in (binary(alpha=1), ternary(alpha=1), ternary(alpha=1, threshold=0.5)):
        yield quantizer, probe(0.125, 1.0, rng)
    for bits, limit in itertools.product((2, 3, 4, 5), (None, 1, 2, 8)):
        powers = 2.0 ** rng.uniform(-6, 4, VALUES) * rng.choice([-1, 1], VALUES)
        powers[:12] = [0, 1, -1, 2, 4, 0.5, 0.25, -0.125, 1e-9, 3, 1.4142, 1.4143]
        yield quantized_po2(bits, limit), powers.astype(np.float32)


def kernel_with_corners(shape: tuple[int, ...], bits: int, rng: np.random.Generator) -> Array:
    """A random kernel; channel 0 is all zero and channel 1 is full of exact ties."""
    kernel = rng.normal(size=shape) * rng.uniform(0.2, 1.5, shape[-1])
    # Short mantissas compress better, and make no scale any rounder.
    kernel = (np.rint(kernel * 2**12) / 2**12).astype(np.float32)
    kernel[..., 0] = 0
    top = 2 ** (bits - 1) - 1
    ties = rng.integers(-top, top, kernel[..., 1].shape) + 0.5
    ties.flat[0] = top  # the largest magnitude makes the step exactly 1/8
    kernel[..., 1] = ties / 8
    return kernel


def scaled_cases(rng: np.random.Generator) -> Iterator[tuple[Any, Array]]:
    """Quantizers that compute a scale for each output channel from the kernel."""
    shapes: tuple[tuple[int, ...], ...] = ((12, 5), (3, 3, 2, 4))
    # One bit is left out: "auto" then has zero levels, and QKeras returns NaN.
    for alpha, shape, bits, integer in itertools.product(
        ("auto", "auto_po2"), shapes, range(2, 9), (0, 1)
    ):
        yield quantized_bits(bits, integer, alpha=alpha), kernel_with_corners(shape, bits, rng)


def step_of(quantizer: quantized_bits) -> Array:
    """The value of one code step for each channel, after a quantizer with a computed scale ran."""
    unsigned = quantizer.bits - quantizer.keep_negative
    scale = np.asarray(quantizer.scale, dtype=np.float32).reshape(-1)
    return scale.astype(np.float64) * 2.0 ** (quantizer.integer - unsigned)


def freeze_quantizers(path: Path, rng: np.random.Generator) -> None:
    """Runs every configuration through QKeras and writes ``quantizers.npz``."""
    configs: list[str] = []
    inputs: list[Array] = []
    outputs: list[Array] = []
    start = off_grid = 0
    for quantizer, values in itertools.chain(fixed_cases(rng), scaled_cases(rng)):
        result = quantizer(tf.constant(values)).numpy()
        assert np.all(np.isfinite(result)), quantizer
        case = {
            "class_name": type(quantizer).__name__,
            "config": quantizer.get_config(),
            "shape": values.shape,
            "start": start,
        }
        if isinstance(getattr(quantizer, "alpha", None), str):
            case["scale"] = step_of(quantizer).tolist()
            off_grid += int(np.sum(exact_weights(quantizer, values) != result))
        elif isinstance(quantizer, quantized_bits | quantized_relu):
            twin = exact_quantizer(quantizer)(tf.constant(values, tf.float64)).numpy()
            assert np.array_equal(twin, result), case
        configs.append(json.dumps(case))
        inputs.append(values.reshape(-1))
        outputs.append(result.reshape(-1))
        start += values.size
    np.savez_compressed(
        path, configs=np.array(configs), x=np.concatenate(inputs), y=np.concatenate(outputs)
    )
    print(
        f"{path.name}: {len(configs)} configurations, {start} values;"
        f" {off_grid} values of computed scales are not code * step in float32"
    )


# --- the same network in float64 ----------------------------------------------------------------


def exact_quantizer(quantizer: Any) -> Quantizer:
    """An activation quantizer for float64 tensors; QKeras casts some of its own to float32.

    ``freeze_quantizers`` checks it against QKeras.
    """
    step = 2.0 ** (quantizer.integer - quantizer.bits)
    if isinstance(quantizer, quantized_bits):
        alpha = 1.0 if quantizer.alpha is None else float(quantizer.alpha)
        unsigned = quantizer.bits - quantizer.keep_negative
        if unsigned == 0:
            return lambda x: alpha * tf.where(x >= 0, tf.ones_like(x), -tf.ones_like(x))
        step = 2.0 ** (quantizer.integer - unsigned)
        low = (-(2.0**unsigned) + quantizer.symmetric) if quantizer.keep_negative else 0.0
        high = 2.0**unsigned - 1
        return lambda x: alpha * step * tf.clip_by_value(tf.round(x / step), low, high)
    if isinstance(quantizer, quantized_relu):
        slope = quantizer.negative_slope
        if not slope:
            high = 2.0**quantizer.bits - 1
            return lambda x: step * tf.clip_by_value(tf.round(x / step), 0.0, high)
        step *= 2
        high = 2.0 ** (quantizer.bits - 1)

        def leaky(x: Any) -> Any:
            below = tf.clip_by_value(tf.round(x / step * slope), -slope * high, 0.0)
            return step * (tf.clip_by_value(tf.round(x / step), 0.0, high - 1) + below)

        return leaky
    raise TypeError(f"no float64 form of {quantizer}")


def exact_weights(quantizer: Any, weights: Array) -> Array:
    """Quantized weights in float64: code * step, where QKeras rounds that product to float32."""
    result = np.asarray(quantizer(tf.constant(weights)), dtype=np.float64)
    if not isinstance(getattr(quantizer, "alpha", None), str):
        return result
    step = step_of(quantizer)
    codes = np.rint(np.divide(result, step, out=np.zeros_like(result), where=step != 0))
    exact = codes * step
    assert np.allclose(exact, result, rtol=1e-6, atol=0), "not a multiple of the step"
    return exact


def float64_twin(model: Any) -> Any:
    """The model as a float64 Keras model whose weights are already quantized."""

    def twin(layer: Any) -> Any:
        config = layer.get_config()
        common = {"name": layer.name, "dtype": "float64"}
        if isinstance(layer, QActivation):
            return layers.Lambda(exact_quantizer(layer.quantizer), **common)
        if isinstance(layer, QConv2D | QDepthwiseConv2D | QDense):
            keys = ("filters", "units", "kernel_size", "strides", "padding", "use_bias")
            common |= {key: config[key] for key in keys if key in config}
            activation = layer.activation
            if isinstance(activation, quantized_bits | quantized_relu):
                activation = exact_quantizer(activation)
            common["activation"] = activation
            if isinstance(layer, QDepthwiseConv2D):
                return layers.DepthwiseConv2D(depth_multiplier=layer.depth_multiplier, **common)
            return (layers.Dense if isinstance(layer, QDense) else layers.Conv2D)(**common)
        if isinstance(layer, QBatchNormalization):
            keys = ("axis", "epsilon", "center", "scale")
            return layers.BatchNormalization(**common, **{key: config[key] for key in keys})
        return type(layer).from_config(config | {"dtype": "float64"})

    entry = tf.keras.Input(model.input_shape[1:], dtype="float64")
    copy = tf.keras.models.clone_model(model, input_tensors=entry, clone_function=twin)
    for layer in model.layers:
        weights = layer.get_weights()
        if hasattr(layer, "get_quantizers") and weights:
            pairs = zip(layer.get_quantizers(), weights, strict=False)
            weights = [exact_weights(quantizer, values) for quantizer, values in pairs]
        if weights:
            copy.get_layer(layer.name).set_weights(weights)
    return copy


# --- freezing -----------------------------------------------------------------------------------


def fill(model: Any, rng: np.random.Generator) -> None:
    """Seeded random weights, scaled so that signals neither vanish nor all saturate."""
    for layer in model.layers:
        names = [weight.name.rsplit("/", 1)[-1].split(":")[0] for weight in layer.weights]
        values = []
        for name, weight in zip(names, layer.weights, strict=True):
            shape = tuple(weight.shape)
            if name == "gamma":
                # One channel in three turns the step function of its quantizer around.
                drawn = rng.uniform(0.5, 1.5, shape) * np.where(np.arange(shape[0]) % 3, 1, -1)
            elif name == "moving_variance":
                drawn = rng.uniform(0.3, 1.0, shape)
            elif len(shape) == 1:
                drawn = rng.normal(0, 0.3, shape)
            else:
                fan_in = int(np.prod(shape[:-1]))
                if name == "depthwise_kernel":
                    fan_in = int(np.prod(shape[:2]))
                drawn = rng.normal(0, 1.6 / np.sqrt(fan_in), shape)
            values.append(drawn.astype(np.float32))
        layer.set_weights(values)


def draw_inputs(model: Any, count: int, rng: np.random.Generator) -> Array:
    """Inputs of the type that the model expects: u8.8, or reals for its input quantizer."""
    shape = (count, *model.input_shape[1:])
    if isinstance(model.layers[0], QActivation):
        # Multiples of a quarter step of its 6-bit quantizer: one in four is an exact tie.
        return (rng.integers(-160, 160, shape) / 64).astype(np.float32)
    return (rng.integers(0, 256, shape) / 256).astype(np.float32)


def before_softmax(model: Any) -> Any:
    """The model up to its logits: a softmax is a float function, and no oracle for integers."""
    if model.layers[-1].name != "softmax":
        return model
    return tf.keras.Model(model.input, model.get_layer(index=-2).output)


def all_outputs(model: Any, inputs: Array) -> dict[str, Array]:
    """Every layer's output by name, in order; the last one is the model's."""
    inner = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    probe_model = tf.keras.Model(model.input, [layer.output for layer in inner])
    arrays = probe_model.predict(inputs, verbose=0)
    return {layer.name: array for layer, array in zip(inner, arrays, strict=True)}


def freeze_model(model: Any, path: Path, rng: np.random.Generator, exact: bool) -> None:
    """Writes inputs and outputs of a model with ``fill``ed weights.

    ``exact`` : float32 holds every sum, so that there is nothing to evaluate in float64.
    """
    model = before_softmax(model)
    inputs = draw_inputs(model, CHECKED, rng)
    trace32 = all_outputs(model, inputs)
    twin = model if exact else float64_twin(model)
    trace64 = all_outputs(twin, inputs.astype(np.float32 if exact else np.float64))
    quantized = [layer.name for layer in model.layers if isinstance(layer, QActivation)]
    differing = {}
    for name in [*quantized, list(trace32)[-1]]:
        count = int(np.sum(trace32[name] != trace64[name]))
        differing[name] = [count, trace32[name].size]
        values, counts = np.unique(trace32[name], return_counts=True)
        share = counts.max() / counts.sum()
        print(f"    {name}: {len(values)} values, the commonest {share:.2f}, {count} differ")
        assert share < 0.9, f"{path.stem}: {name} hardly varies"

    single, double = list(trace32.values())[-1], list(trace64.values())[-1]
    # Inputs for which the two evaluations disagree come first: they are the hard ones.
    unequal = np.any((single != double).reshape(CHECKED, -1), axis=1)
    rows = np.argsort(~unequal, kind="stable")[:FROZEN]
    info = {
        "oracle": "y64" if unequal.any() else "y",
        "checked_inputs": CHECKED,
        "differing_float32_float64": differing,
    }
    arrays = {"x": inputs[rows], "y": single[rows], "info": np.array(json.dumps(info))}
    if unequal.any():
        arrays["y64"] = double[rows]
    for name, values in trace32.items():
        arrays[f"trace.{name}"] = values[rows[:TRACED]]
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: oracle {info['oracle']}")


def save(model: Any, path: Path) -> None:
    """Writes a model without optimizer, in the newer HDF5 layout, which is a third smaller."""
    with h5py.File(path, "w", libver="latest") as file:
        model.save(file, include_optimizer=False)


def main() -> int:
    """Makes all fixtures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "tests" / "importers" / "fixtures",
        help="default: %(default)s",
    )
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()
    # Keras warns of QKeras' use of its serialization and of .h5; QKeras cannot read back .keras.
    warnings.simplefilter("ignore", UserWarning)
    tf.get_logger().setLevel("ERROR")

    freeze_quantizers(out / "quantizers.npz", np.random.default_rng(arguments.seed))
    for number, builder in enumerate(qkeras_models.MODELS):
        # A generator of its own for each model: a new one at the end leaves the others alone.
        name = builder.__name__
        rng = np.random.default_rng([arguments.seed, number, SALTS.get(name, 0)])
        tf.keras.backend.clear_session()
        tf.keras.utils.set_random_seed(arguments.seed)
        model = builder()
        fill(model, rng)
        if builder is qkeras_models.pair:
            (out / "pair.json").write_text(model.to_json(indent=1) + "\n")
            model.save_weights(out / "pair_weights.h5")
        else:
            save(model, out / f"{name}.h5")
        if builder is not qkeras_models.float_model:
            exact = builder in qkeras_models.EXACT
            freeze_model(model, out / f"{name}.npz", rng, exact)
    total = sum(path.stat().st_size for path in out.iterdir())
    print(f"{total / 1000:.0f} kB in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
