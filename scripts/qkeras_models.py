"""Tiny QKeras models for the fixtures of tests/importers; see make_qkeras_fixtures.py."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from qkeras import (
    QActivation,
    QBatchNormalization,
    QConv1D,
    QConv2D,
    QConv2DBatchnorm,
    QDense,
    QDepthwiseConv2D,
    QDepthwiseConv2DBatchnorm,
    QSeparableConv1D,
    QSeparableConv2D,
    binary,
    quantized_bits,
    quantized_po2,
    quantized_relu,
    ternary,
)

layers = tf.keras.layers


def bits(width: int, integer: int = 0, **options: Any) -> quantized_bits:
    """``quantized_bits`` with a number as alpha: a kernel with None silently gets auto_po2."""
    return quantized_bits(width, integer, **({"alpha": 1} | options))


def weighted(kernel: Any = None, bias: Any = None) -> dict[str, Any]:
    """The quantizers of a layer with weights: 6-bit kernel and 8-bit bias if not given."""
    return {"kernel_quantizer": kernel or bits(6), "bias_quantizer": bias or bits(8, 1)}


def sequential(*stack: Any) -> Any:
    """A Sequential model on images of 8x8x2."""
    return tf.keras.Sequential([layers.Input((8, 8, 2)), *stack])


def valid_stride() -> Any:
    """Valid padding, strides, kernels that are not square, SAME with a stride (pads unevenly)."""
    return sequential(
        QConv2D(4, (3, 2), strides=2, padding="valid", **weighted()),
        QActivation("quantized_relu(5,1)"),
        QConv2D(5, (2, 3), strides=2, padding="same", **weighted()),
        QActivation("quantized_bits(6,2,alpha=1)"),
        layers.Flatten(),
        QDense(5, **weighted()),
    )


def bn_conv() -> Any:
    """Float batch normalization after a convolution, some gammas negative; and after a dense."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted()),
        layers.BatchNormalization(),
        QActivation(quantized_relu(6, 2)),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        QDense(6, **weighted()),
        layers.BatchNormalization(epsilon=1e-5),
        QActivation(bits(5, 2)),
        QDense(4, **weighted()),
    )


def bn_dense() -> Any:
    """A multilayer perceptron: dense without bias, batch normalization without scale or center."""
    return sequential(
        layers.Flatten(),
        QDense(12, use_bias=False, kernel_quantizer=bits(4)),
        layers.BatchNormalization(),
        QActivation("quantized_relu(4,2)"),
        QDense(8, **weighted()),
        layers.BatchNormalization(scale=False, center=False),
        QActivation("quantized_relu(4,2)"),
        QDense(4, **weighted()),
    )


def avgpool() -> Any:
    """Average pooling: of 4 values (exact), and of 9 values with a quantizer behind it."""
    return sequential(
        QConv2D(4, 3, padding="same", activation="quantized_relu(6,1)", **weighted()),
        layers.AveragePooling2D(2),
        QConv2D(3, 2, padding="same", **weighted()),
        QActivation("quantized_relu(6,1)"),
        layers.AveragePooling2D(3, strides=1),
        QActivation("quantized_relu(5,1)"),
        layers.Flatten(),
        QDense(4, **weighted()),
    )


def clipped() -> Any:
    """Clipping: ReLU with a maximum, relu inside a layer, very few bits, a leaky quantizer."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted()),
        layers.ReLU(max_value=1.5),
        QActivation(bits(7, 1)),
        QConv2D(4, 3, strides=2, padding="same", activation="relu", **weighted()),
        QActivation("quantized_relu(2,1)"),
        QConv2D(4, 2, padding="valid", **weighted()),
        QActivation(quantized_relu(6, 2, negative_slope=0.25)),
        layers.Flatten(),
        QDense(4, **weighted()),
    )


def signed_input() -> Any:
    """A QActivation first: the input quantizer. Signed activations, layers without bias."""
    return sequential(
        QActivation("quantized_bits(6,1,alpha=1)"),
        QConv2D(4, 3, use_bias=False, kernel_quantizer=bits(5, symmetric=1)),
        QActivation("quantized_bits(4,2,1,alpha=1)"),
        layers.Flatten(),
        QDense(5, use_bias=False, kernel_quantizer=bits(4, 1, symmetric=1)),
    )


def auto_scale() -> Any:
    """Kernels with a real scale for each output channel (alpha "auto"), quantizers behind them."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted(bits(4, alpha="auto"))),
        QActivation("quantized_relu(6,2)"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        QDense(6, **weighted(bits(3, alpha="auto"))),
        QActivation(bits(8, 3)),
    )


def auto_po2_scale() -> Any:
    """Kernels scaled by powers of two; the second says alpha None, which becomes auto_po2."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted(bits(4, alpha="auto_po2"))),
        QActivation("quantized_relu(6,2)"),
        layers.MaxPooling2D(2),
        QConv2D(3, 2, **weighted(bits(5, 1, alpha=None), bits(8, 1, alpha=None))),
        QActivation("quantized_relu(4,2)"),
        layers.Flatten(),
        QDense(6, **weighted(bits(2, alpha="auto_po2"))),
    )


def residual() -> Any:
    """Functional, with a branch, an addition of different types, Reshape and Dropout."""
    entry = layers.Input((48,), name="samples")
    image = layers.Reshape((4, 4, 3), name="image")(entry)
    stem = QConv2D(4, 3, padding="same", name="stem", **weighted())(image)
    stem = QActivation("quantized_relu(6,1)", name="stem_relu")(stem)
    branch = QConv2D(4, 3, padding="same", name="branch", **weighted())(stem)
    branch = QActivation(bits(8, 1), name="branch_bits")(branch)
    total = layers.Add(name="total")([branch, stem])
    total = QActivation("quantized_relu(5,2)", name="total_relu")(total)
    total = layers.Dropout(0.25, name="dropout")(total)
    flat = layers.Reshape((64,), name="flat")(total)
    logits = QDense(4, name="logits", **weighted())(flat)
    return tf.keras.Model(entry, layers.Activation("softmax", name="softmax")(logits))


def depthwise() -> Any:
    """A depthwise convolution and a pointwise one."""
    return sequential(
        QDepthwiseConv2D(3, padding="same", depthwise_quantizer=bits(5), bias_quantizer=bits(8, 1)),
        QActivation("quantized_relu(6,1)"),
        QConv2D(5, 1, **weighted()),
        QActivation("quantized_relu(6,1)"),
        layers.Flatten(),
        QDense(4, **weighted()),
    )


def few_bits() -> Any:
    """One-bit and ternary weights, one of them under zero padding; one-bit activations."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted(bits(1))),
        QActivation(bits(3, 2)),
        QConv2D(4, 3, **weighted(ternary(alpha=1))),
        QActivation(bits(1)),
        layers.Flatten(),
        QDense(4, **weighted(binary(alpha=1))),
    )


def pair() -> Any:
    """A small model that is saved as architecture and weights apart."""
    return sequential(
        QConv2D(3, 3, **weighted()),
        QActivation("quantized_relu(4,1)"),
        layers.Flatten(),
        QDense(4, **weighted()),
    )


def float_model() -> Any:
    """Plain Keras layers: nothing says how to quantize them."""
    return sequential(
        layers.Conv2D(3, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(4),
    )


def folded() -> Any:
    """Batch norms inside convolutions, in both folding modes, one without a bias."""
    return sequential(
        QConv2DBatchnorm(
            4, 3, padding="same", folding_mode="ema_stats_folding", **weighted(bits(6, 1))
        ),
        QActivation("quantized_relu(5,2)"),
        QDepthwiseConv2DBatchnorm(
            3,
            depth_multiplier=2,
            folding_mode="batch_stats_folding",
            depthwise_quantizer=bits(5, 1),
            bias_quantizer=bits(8, 2),
        ),
        QActivation("quantized_relu(5,2)"),
        QConv2DBatchnorm(3, 2, strides=2, use_bias=False, **weighted(bits(4, 1))),
        QActivation(bits(6, 2)),
        layers.GlobalAveragePooling2D(),
        QActivation(bits(6, 2)),
        QDense(4, **weighted()),
    )


def apart() -> Any:
    """Channels and taps that lie apart: separable, grouped, dilated, depthwise with "auto"."""
    return sequential(
        QSeparableConv2D(
            4,
            3,
            padding="same",
            depth_multiplier=2,
            depthwise_quantizer=bits(4),
            pointwise_quantizer=bits(4),
            bias_quantizer=bits(8, 1),
        ),
        QActivation("quantized_relu(5,1)"),
        QConv2D(6, (2, 3), dilation_rate=(2, 1), groups=2, **weighted(bits(4))),
        QActivation(bits(5, 1)),
        QDepthwiseConv2D(
            2,
            depth_multiplier=2,
            strides=2,
            depthwise_quantizer=bits(4, alpha="auto_po2"),
            bias_quantizer=bits(8, 1),
        ),
        QActivation(bits(5, 2)),
        layers.GlobalMaxPooling2D(keepdims=True),
        QConv2D(4, 1, **weighted()),
    )


def sequence() -> Any:
    """One dimension: causal, dilated and separable convolutions, pooling of all kinds."""
    return tf.keras.Sequential(
        [
            layers.Input((16, 3)),
            QConv1D(4, 3, padding="causal", dilation_rate=2, **weighted(bits(5))),
            QActivation("quantized_relu(5,1)"),
            layers.MaxPooling1D(2),
            QSeparableConv1D(
                5,
                3,
                padding="same",
                depthwise_quantizer=bits(4),
                pointwise_quantizer=bits(4),
                bias_quantizer=bits(8, 1),
            ),
            QActivation("quantized_relu(5,1)"),
            layers.AveragePooling1D(2),
            QConv1D(4, 2, strides=2, **weighted(bits(5))),
            QActivation(bits(6, 1)),
            layers.GlobalAveragePooling1D(),
            QActivation(bits(6, 1)),
            QDense(3, **weighted()),
        ]
    )


def joined() -> Any:
    """Forks within forks, sums of three, channels of different types side by side."""
    entry = layers.Input((6, 6, 2), name="image")
    stem = QConv2D(4, 3, padding="same", name="stem", **weighted(bits(5)))(entry)
    low = QActivation("quantized_relu(4,1)", name="low")(stem)
    high = QActivation(bits(6, 2), name="high")(stem)
    left = QConv2D(4, 1, name="left", **weighted(bits(4)))(low)
    left_bits = QActivation(bits(5, 2), name="left_bits")(left)
    total = layers.Add(name="total")([left_bits, low, high])
    both = layers.Concatenate(name="both")([total, low, left_bits])
    pooled = layers.MaxPooling2D(2, name="pooled")(both)
    flat = layers.Flatten(name="flat")(pooled)
    return tf.keras.Model(entry, QDense(4, name="logits", **weighted(bits(4)))(flat))


def curves() -> Any:
    """Activations that are no clipped rounding."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted(bits(4))),
        layers.LeakyReLU(0.3),
        QActivation(bits(6, 1)),
        QConv2D(4, 3, **weighted(bits(4))),
        layers.Activation("hard_sigmoid"),
        QActivation("quantized_relu(5,0)"),
        QConv2D(4, 2, **weighted(bits(4))),
        QActivation("quantized_tanh(5)"),
        QConv2D(4, 2, **weighted(bits(4))),
        layers.Activation("tanh"),
        QActivation(bits(5)),
        QConv2D(5, 2, **weighted(bits(4))),
        QActivation("quantized_sigmoid(4)"),
        QConv2D(4, 1, **weighted(bits(4, 1))),
        QActivation("quantized_po2(4,2)"),
        QConv2D(4, 2, activation="quantized_relu_po2(3,4)", **weighted(bits(4, 1))),
        layers.Flatten(),
        QDense(4, **weighted(bits(4))),
    )


def few_auto() -> Any:
    """Binary, ternary and power-of-two kernels as most people write them, and such activations."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted(binary())),
        QActivation("quantized_relu(4,2)"),
        QConv2D(4, 3, **weighted(ternary())),
        QActivation("binary(alpha=1)"),
        QConv2D(4, 3, **weighted(quantized_po2(4, 1))),
        QActivation("ternary(alpha=1)"),
        QConv2D(3, 2, **weighted(binary(use_01=True, alpha=1))),
        QActivation("quantized_relu(4,2)"),
        layers.Flatten(),
        QDense(4, **weighted(binary(alpha=1))),
    )


def borders() -> Any:
    """Borders of zeros before a convolution and before a pool, pixels several times."""
    return sequential(
        QConv2D(3, 3, **weighted(bits(4))),
        QActivation(bits(5, 1)),
        layers.ZeroPadding2D(((1, 0), (2, 1))),
        QConv2D(4, 3, strides=2, **weighted(bits(4))),
        QActivation(bits(5, 1)),
        layers.ZeroPadding2D(1),
        layers.MaxPooling2D(2),
        layers.UpSampling2D((2, 3)),
        QDepthwiseConv2D(2, depthwise_quantizer=bits(4), bias_quantizer=bits(8, 1)),
        QActivation(bits(5, 1)),
        layers.Flatten(),
        QDense(4, **weighted(bits(4))),
    )


def stored_alphas() -> Any:
    """Kernels with a scale for each output channel that was given, not computed."""
    return sequential(
        QConv2D(4, 3, padding="same", **weighted(bits(4, alpha=[0.5, 2.0, 1.0, 0.25]))),
        QActivation("quantized_relu(5,2)"),
        QConv2D(3, 2, **weighted(bits(3, alpha=[0.7, 1.3, 0.11]))),
        QActivation("quantized_bits(6,3,alpha=1)"),
        layers.Flatten(),
        QDense(4, **weighted(ternary(alpha=1.5))),
    )


def bn_quantized() -> Any:
    """QBatchNormalization with its usual quantizers of powers of two, and with others."""
    return sequential(
        QConv2D(4, 3, **weighted(bits(4))),
        QBatchNormalization(),
        QActivation(bits(6, 4)),
        QConv2D(4, 3, use_bias=False, kernel_quantizer=bits(4)),
        QBatchNormalization(
            gamma_quantizer=bits(6, 2), beta_quantizer=bits(6, 1), mean_quantizer=bits(6, 1)
        ),
        QActivation(bits(5, 2)),
        layers.Flatten(),
        QDense(4, **weighted(bits(4))),
    )


MODELS = (
    valid_stride,
    bn_conv,
    bn_dense,
    avgpool,
    clipped,
    signed_input,
    auto_scale,
    auto_po2_scale,
    residual,
    depthwise,
    few_bits,
    pair,
    float_model,
    folded,
    apart,
    sequence,
    joined,
    curves,
    few_auto,
    borders,
    bn_quantized,
    stored_alphas,
)
"""A new one at the end leaves the random numbers of the others alone."""

EXACT = (folded, apart, sequence, joined, curves, few_auto, borders)
"""Models whose float32 sums hold every integer, so that float64 would give the same."""
