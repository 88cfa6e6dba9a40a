"""The networks: EfficientNet-Lite0 (the default trunk), MobileNet, and the VGG16 of the project's ancestor.

Every network takes RGB 0..255 and carries its own preprocessing, so that a saved file needs nothing but a crop.
Built-in Keras 3 layers only: a file loads with ``safe_mode`` on, on every backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import keras
import numpy as np
from keras import layers, regularizers

from facemodels.errors import WeightsError
from facemodels.hub import store
from training.face_weights import FACERES, load_faceres

# (expansion, channels, repeats, stride, kernel) of the seven stages of EfficientNet-Lite0.
LITE0_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# (channels, stride) of the thirteen blocks of MobileNet.
MOBILENET_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
FINE_BLOCK = 4  # the last block of EfficientNet-Lite0 whose map has an eighth of the image's side
VGG_MEAN = (123.68, 116.779, 103.939)  # of ImageNet's pictures, RGB; what HSE-FaceRes was trained with
BOTH = "both"  # the layer of a mirrored network in which both views meet
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as every JPEG and OpenCV's grey conversion use


def build(
    network: str,
    heads: Mapping[str, int],
    *,
    input_size: int,
    grey: bool = False,
    dropout: float = 0.2,
    mirrored: bool = False,
    linear: Mapping[str, Sequence[float]] = MappingProxyType({}),
    **options: object,
) -> keras.Model:
    """Build a network with one softmax head per attribute.

    Args:
        network: A key of `NETWORKS`.
        heads: Attribute name to number of outputs; each head is a softmax over them.
        input_size: Side of the square RGB input, in pixels, values 0..255.
        grey: Turn the input to grey inside the network (for models trained on grey pictures).
        dropout: Rate before the heads.
        mirrored: Look at every crop and at its mirror image: the heads get the mean of both features. The weights are
            the same either way, the time is twice that.
        linear: Heads that answer with plain numbers instead of a softmax, each to the scales of its outputs, in which
            they are learned.
        **options: Passed on to the network's function.

    Returns:
        A functional model from ``(N, input_size, input_size, 3)`` to a dict of ``(N, outputs)`` probabilities.

    Raises:
        ValueError: If `network` is unknown.

    Example:
        >>> build("efficientnet_lite0", {"gender": 2}, input_size=96).output_shape
        {'gender': (None, 2)}
    """
    if network not in NETWORKS:
        raise ValueError(f"unknown network {network!r}; known: {', '.join(sorted(NETWORKS))}")
    image = keras.Input((input_size, input_size, 3), name="image")
    x = image
    if grey:
        luma = layers.Conv2D(3, 1, use_bias=False, trainable=False, name="grey")
        x = luma(x)
        luma.set_weights([np.repeat(np.array(LUMA, "float32").reshape(1, 1, 3, 1), 3, axis=3)])
    features = NETWORKS[network](x, **options)
    if mirrored:
        features = layers.Average(name=BOTH)([features, _once_more(keras.Model(image, features), _mirror_image(image))])
    features = layers.Dropout(dropout, name="dropout")(features)
    outputs = {}
    for name, count in heads.items():
        logits = layers.Dense(
            count,
            dtype="float32",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            name=f"{name}_logits",
        )(features)
        # The answers stay float32 under mixed precision, or small probabilities vanish.
        if name in linear:
            outputs[name] = layers.Rescaling(list(linear[name]), dtype="float32", name=name)(logits)
        else:
            outputs[name] = layers.Activation("softmax", dtype="float32", name=name)(logits)
    return keras.Model(image, outputs, name=network)


def _mirror_image(x: keras.KerasTensor) -> keras.KerasTensor:
    """Left and right swapped. No built-in layer does that: a fixed product with the reversed identity matrix does."""
    side = x.shape[2]
    swap = layers.Conv2D(side, 1, use_bias=False, trainable=False, name="mirror")
    turned = layers.Permute((1, 3, 2), name="mirror_back")(swap(layers.Permute((1, 3, 2), name="mirror_columns")(x)))
    swap.set_weights([np.eye(side, dtype="float32")[::-1].reshape(1, 1, side, side)])
    return turned


def _once_more(model: keras.Model, x: keras.KerasTensor) -> keras.KerasTensor:
    """What a model's layers make of another input; calling the model itself would nest it, names and all."""
    made = {id(model.input): x}
    for layer in model.layers[1:]:  # each after those it depends on
        into, out = layer.input, layer.output
        made[id(out)] = layer([made[id(one)] for one in into] if isinstance(into, list) else made[id(into)])
    return made[id(model.output)]


def efficientnet_lite0(
    x: keras.KerasTensor,
    *,
    upsample: int = 1,
    width: float = 1.0,
    head_width: int = 1280,
    blocks: int = 16,
    momentum: float = 0.99,
    grid: int = 0,
) -> keras.KerasTensor:
    """EfficientNet-Lite0: no squeeze-excite, ReLU6, so that it stays exact and fast in LiteRT and int8.

    Args:
        x: Input tensor, RGB 0..255.
        upsample: Whole factor by which the picture is enlarged first (2 lets a 48 px picture use filters made for 96
            px).
        width: Factor on every stage's channels. ImageNet weights fit 1.0 only.
        head_width: Channels of the last 1x1 convolution; with `grid`, units of a fully connected layer.
        blocks: Only this many of the sixteen; the last ones hold most of the parameters.
        momentum: Of batch normalization's moving averages; runs of few steps need a lower one.
        grid: For answers that say where something is: the map after block `FINE_BLOCK` and the last one meet in a map
            of this many channels, which is flattened instead of averaged. Needs the first 8 or 11 blocks alone, whose
            last map has half the side of that one. 0 averages.
    """

    def channels(count: int) -> int:
        return count if width == 1.0 else max(8, int(count * width + 4) // 8 * 8)

    def conv_bn(
        x: keras.KerasTensor,
        filters: int,
        kernel: int,
        stride: int,
        name: str,
        *,
        act: bool = True,
        depthwise: bool = False,
    ) -> keras.KerasTensor:
        if depthwise:
            x = layers.DepthwiseConv2D(kernel, stride, "same", use_bias=False, name=f"{name}_conv")(x)
        else:
            x = layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(epsilon=1e-3, momentum=momentum, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if act else x

    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(x)
    if upsample > 1:
        x = layers.UpSampling2D(upsample, interpolation="bilinear", name="upsample")(x)
    x = conv_bn(x, channels(32), 3, 2, "stem")
    index = 0
    for expansion, count, repeats, stride, kernel in LITE0_STAGES:
        for repeat in range(repeats):
            name, shortcut, inputs = f"block{index}", x, x.shape[-1]
            if expansion > 1:
                x = conv_bn(x, inputs * expansion, 1, 1, f"{name}_expand")
            x = conv_bn(x, 0, kernel, stride if repeat == 0 else 1, f"{name}_depthwise", depthwise=True)
            x = conv_bn(x, channels(count), 1, 1, f"{name}_project", act=False)
            if repeat > 0:
                x = layers.Add(name=f"{name}_add")([x, shortcut])
            if index == FINE_BLOCK:
                fine = x
            index += 1
            if index == blocks:
                break
        if index == blocks:
            break
    if grid:
        maps = [conv_bn(fine, 32, 3, 2, "head_fine"), conv_bn(x, 32, 1, 1, "head_coarse")]
        x = conv_bn(layers.Concatenate(name="head_maps")(maps), grid, 1, 1, "head_grid")
        return layers.Dense(head_width, "relu", name="head_dense")(layers.Flatten(name="flatten")(x))
    x = conv_bn(x, head_width, 1, 1, "head")
    return layers.GlobalAveragePooling2D(name="pool")(x)


def mobilenet(x: keras.KerasTensor, *, upsample: int = 1, width: float = 1.0, blocks: int = 13) -> keras.KerasTensor:
    """MobileNet (Howard et al. 2017), its batch normalization folded into the convolutions.

    Meant to be started from `training.face_weights`: from random weights it would need the normalization.

    Args:
        x: Input tensor, RGB 0..255.
        upsample: Whole factor by which the picture is enlarged first.
        width: Factor on every block's channels. The weights to start from fit 1.0 only.
        blocks: Only this many of the thirteen; the last two hold half of the parameters.
    """
    x = layers.Rescaling(1.0, offset=[-value for value in VGG_MEAN], name="rescale")(x)
    if upsample > 1:
        x = layers.UpSampling2D(upsample, interpolation="bilinear", name="upsample")(x)
    x = layers.Conv2D(int(32 * width), 3, 2, "same", name="stem_conv")(x)
    x = layers.ReLU(6.0, name="stem_relu")(x)
    for index, (count, stride) in enumerate(MOBILENET_BLOCKS[:blocks]):
        x = layers.DepthwiseConv2D(3, stride, "same", name=f"block{index}_depthwise_conv")(x)
        x = layers.ReLU(6.0, name=f"block{index}_depthwise_relu")(x)
        x = layers.Conv2D(int(count * width), 1, name=f"block{index}_pointwise_conv")(x)
        x = layers.ReLU(6.0, name=f"block{index}_pointwise_relu")(x)
    return layers.GlobalAveragePooling2D(name="pool")(x)


def vgg16(
    x: keras.KerasTensor, *, width: float = 1.0, dense: int = 256, l2: float = 1e-4, dropout: float = 0.3
) -> keras.KerasTensor:
    """VGG16: thirteen 3x3 convolutions in five blocks, here with batch normalization, as the ancestor fine-tuned it.

    Args:
        x: Input tensor, RGB 0..255, at least 32 px a side.
        width: Factor on the channels of every block (64, 128, 256, 512, 512).
        dense: Units of the hidden fully connected layer.
        l2: Weight penalty of that layer.
        dropout: Rate before that layer.
    """
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(x)
    for block, (count, repeats) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for conv in range(1, repeats + 1):
            name = f"block{block}_conv{conv}"
            x = layers.Conv2D(int(count * width), 3, padding="same", use_bias=False, name=name)(x)
            x = layers.BatchNormalization(name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    return layers.Dense(dense, "relu", kernel_regularizer=regularizers.L2(l2), name="head_dense")(x)


NETWORKS: dict[str, Callable[..., keras.KerasTensor]] = {
    "efficientnet_lite0": efficientnet_lite0,
    "mobilenet": mobilenet,
    "vgg16": vgg16,
}


def freeze(model: keras.Model, blocks: int) -> None:
    """Let the stem and the first blocks of a network keep their weights; -1 lets all of it learn."""
    frozen = ("stem", *(f"block{index}" for index in range(blocks))) if blocks >= 0 else ()
    for layer in model.layers:
        if layer.name.split("_")[0] in frozen:
            layer.trainable = False


def open_trained(reference: str) -> keras.Model:
    """The network of a finished run (its folder) or of a release (its name, ``name@version`` or folder).

    Raises:
        FaceModelsError: If it is neither.
    """
    run = Path(reference) / "model.keras"
    path = run if run.is_file() else store.fetch(store.resolve(reference), "model.keras")
    return keras.saving.load_model(path, compile=False)


def load_trained(model: keras.Model, reference: str) -> int:
    """Copy a trained network's weights into a model, layer by layer where name and shapes are the same.

    Args:
        model: A model from `build`; other layers keep their values.
        reference: As of `open_trained`; or ``faceres`` for the weights of `training.face_weights`.

    Returns:
        The number of layers copied.

    Raises:
        WeightsError: If not one layer fits.
    """
    if reference == FACERES:
        source = load_faceres()
    else:
        source = {layer.name: layer.get_weights() for layer in open_trained(reference).layers if layer.weights}
    copied = 0
    for layer in model.layers:
        arrays = source.get(layer.name, [])
        if arrays and [w.shape for w in layer.weights] == [a.shape for a in arrays]:
            layer.set_weights(arrays)
            copied += 1
    if not copied:
        raise WeightsError(f"{reference}: not one of its layers fits the network {model.name!r}")
    return copied


def average(model: keras.Model, shares: Mapping[str, float]) -> None:
    """Replace a model's weights by an average of its own and those of others of its kind that learned alike.

    Args:
        model: A trained model from `build`; its weights get the share that the others leave.
        shares: Reference, as of `open_trained`, to share.

    Raises:
        WeightsError: If a network differs in shape.
    """
    mixed = {layer.name: [(1 - sum(shares.values())) * w for w in layer.get_weights()] for layer in model.layers}
    for reference, share in shares.items():
        others = {layer.name: layer.get_weights() for layer in open_trained(reference).layers}
        for name, ours in mixed.items():
            theirs = others.get(name, [])
            if [w.shape for w in theirs] != [w.shape for w in ours]:
                raise WeightsError(
                    f"{reference}: its weights have other shapes than those of the network {model.name!r}"
                )
            mixed[name] = [our + share * their for our, their in zip(ours, theirs, strict=True)]
    for layer in model.layers:
        layer.set_weights(mixed[layer.name])
