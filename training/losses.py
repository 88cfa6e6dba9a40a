"""One loss for every head: full, soft and partial labels alike."""

from __future__ import annotations

from keras import KerasTensor, ops


def partial_label_crossentropy(target: KerasTensor, probabilities: KerasTensor) -> KerasTensor:
    """Cross-entropy for targets as `datasets` makes them.

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
