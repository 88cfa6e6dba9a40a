"""One loss for every head: full, soft and partial labels alike, with the prior of the labels or without."""

from __future__ import annotations

from keras import KerasTensor, ops


def adjusted_crossentropy(target: KerasTensor, probabilities: KerasTensor) -> KerasTensor:
    """`partial_label_crossentropy` for targets with a prior: logit adjustment in the loss (Menon et al. 2021).

    The prediction is multiplied by the label prior of the row's data set before it is compared with the target. So the
    network learns what the image shows, without the prior.

    Args:
        target: ``(N, 2 * outputs)``: weights as there, then the row's log prior.
        probabilities: ``(N, outputs)``, each row summing to one.

    Returns:
        ``(N,)`` losses.
    """
    weights, prior = ops.split(ops.cast(target, probabilities.dtype), 2, axis=-1)
    return partial_label_crossentropy(weights, ops.softmax(ops.log(ops.clip(probabilities, 1e-7, 1.0)) + prior))


def partial_label_crossentropy(target: KerasTensor, probabilities: KerasTensor) -> KerasTensor:
    """Cross-entropy for full, soft and partial labels, see `training.data.face_data`.

    A row that sums to one is a distribution to match: ``-sum(t * log p)``. A row of several ones is a set that holds
    the truth: ``-log sum(t * p)``, the marginal likelihood. All ones ("not known") therefore costs nothing.

    Args:
        target: ``(N, outputs)`` weights.
        probabilities: ``(N, outputs)``, each row summing to one.

    Returns:
        ``(N,)`` losses.
    """
    target = ops.cast(target, probabilities.dtype)
    probabilities = ops.clip(probabilities, 1e-7, 1.0)
    matched = -ops.sum(target * ops.log(probabilities), axis=-1)
    marginal = -ops.log(ops.clip(ops.sum(target * probabilities, axis=-1), 1e-7, 1.0))
    return ops.where(ops.sum(target, axis=-1) > 1.5, marginal, matched)
