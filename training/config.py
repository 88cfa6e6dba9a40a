"""Settings of a training run. A file in `configs/` lists only what differs from these defaults."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.augment import Augment


@dataclass(frozen=True)
class Config:
    """One training run.

    Attributes:
        model: Name of the published model, for example ``emotion-efficientnet``.
        version: Version that an export of this run gets.
        heads: Heads to train and publish; each is a key of `training.data.face_data.HEADS`.
        auxiliary: Heads that are trained beside them because they help the others, and dropped at export.
        datasets: Data sets to train on, keys of `training.data.DATASETS`.
        network: Key of `networks.NETWORKS`.
        network_options: Passed to the network's function.
        input_size: Side of the network's input in pixels.
        grey: Whether the network turns its input to grey.
        margin: Room around a detected box that brings it to the framing of the training crops; see
            `measure_framing.py`.
        offset: Downward move of the crop's centre, as a fraction of the box's longer side; measured with the margin.
        imagenet: Whether to start from the ImageNet weights of the registry package (EfficientNet-Lite0 only).
        start: Run folder or release whose weights to start from instead, layer by layer where name and shape fit.
        probe: Whether the heads are first fitted to the features of the starting trunk, so that random heads do not
            distort it (linear probing, then fine-tuning; Kumar et al. 2022).
        average: Run folders or releases of the same network, each mapped to its fraction of the weight average taken at
            the end (a model soup, Wortsman et al. 2022); this run's best weights have the rest.
        mirrored: Whether the published network averages its predictions for every crop and its mirror image: more
            accurate, at twice the time. Training is not affected.
        freeze_blocks: The stem and this many blocks keep their starting weights; -1 trains everything.
        balance: How far faces of small groups (a gender of an ethnicity in a data set) are oversampled: 0 not at all, 1
            until all groups are drawn equally often.
        emphasis: Group, such as ``fairface female black`` or ``utkface 70-79``, mapped to the factor by which
            its faces are drawn more often on top of that.
        class_balance: How far faces with rare labels of the first head are oversampled within their data set: 0 not at
            all, 1 until all labels are drawn equally often.
        validation: Data sets, besides those trained on, whose validation part is used for measuring, calibration
            and the prior correction.
        prior_correction: Whether the published emotion heads are corrected for the label frequencies in training, as
            far as that pays on validation.
        logit_adjustment: How far the label prior of each data set, as sampled, is removed from what the network learns
            (Menon et al. 2021): 0 not at all, 1 entirely. Emotion heads only.
        smooth_bins: Whether an age bin is learned as a distribution over its years instead of as a set; see
            `training.data.face_data.smooth_bins`.
        loss_weights: Head to weight of its loss; 1 where not named.
        teachers: Run folders or releases whose mean prediction for every training crop and its mirror image is mixed
            into the targets (distillation).
        distil: Weight of the teachers' predictions in the targets, 0..1.
        consistent: Whether the teachers see every augmented crop as the network does (function matching, Beyer et al.
            2022), instead of each whole crop and its mirror image once: slower, and the predictions are no longer of
            faces that a teacher may remember.
        unlabelled: Data set mapped to the number of its training faces that are added with the teachers' predictions
            as their only targets (a noisy student, Xie et al. 2020).
        epochs: Passes over the training split.
        epoch_size: Faces per pass, drawn anew for each; 0 for all.
        batch_size: Images per step.
        learning_rate: Peak of the schedule.
        schedule: ``cosine`` (to near zero at the last epoch), or ``plateau``: halved whenever `monitor` has not
            improved for `plateau` epochs (ReduceLROnPlateau).
        plateau: See `schedule`.
        warmup: Fraction of all steps in which the rate of a cosine rises to its peak.
        weight_decay: Of AdamW.
        dropout: Before the heads.
        ema: Momentum of the moving average of the weights that is evaluated and exported.
        clip_norm: Maximum norm of the gradient.
        augment: Augmentation of the training crops.
        monitor: Validation metric that selects the checkpoint, and ``min`` or ``max``.
        patience: Epochs without improvement of `monitor` before the run stops.
        dtype: Keras dtype policy, for example ``mixed_bfloat16``.
        seed: Of everything random.
    """

    model: str
    version: str
    heads: tuple[str, ...]
    datasets: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    network: str = "efficientnet_lite0"
    network_options: Mapping[str, Any] = field(default_factory=dict)
    input_size: int = 96
    grey: bool = False
    margin: float = 0.0
    offset: float = 0.0
    imagenet: bool = True
    start: str = ""
    probe: bool = False
    average: Mapping[str, float] = field(default_factory=dict)
    mirrored: bool = False
    freeze_blocks: int = -1
    balance: float = 0.0
    emphasis: Mapping[str, float] = field(default_factory=dict)
    class_balance: float = 0.0
    logit_adjustment: float = 0.0
    validation: tuple[str, ...] = ()
    prior_correction: bool = False
    smooth_bins: bool = False
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    teachers: tuple[str, ...] = ()
    distil: float = 0.5
    consistent: bool = False
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    epochs: int = 10
    epoch_size: int = 0
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    plateau: int = 3
    warmup: float = 0.05
    weight_decay: float = 0.02
    dropout: float = 0.2
    ema: float = 0.998
    clip_norm: float = 5.0
    augment: Augment = field(default_factory=Augment)
    monitor: tuple[str, str] = ("val_loss", "min")
    patience: int = 1000
    dtype: str = "float32"
    seed: int = 1

    @property
    def learned(self) -> tuple[str, ...]:
        """All heads of the network in training."""
        return (*self.heads, *self.auxiliary)

    @property
    def validated(self) -> tuple[str, ...]:
        """All data sets whose validation part is measured."""
        return (*self.datasets, *(name for name in self.validation if name not in self.datasets))

    @property
    def seen(self) -> tuple[str, ...]:
        """All data sets whose images are used in training, with labels or without."""
        return (*self.datasets, *self.unlabelled)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as kept in the run folder."""
        return asdict(self)


def config_from(data: Mapping[str, Any]) -> Config:
    """A config from plain data, as from `Config.to_dict` (JSON turns tuples into lists, this turns them back)."""

    def tuples(values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}

    return Config(**{**tuples(data), "augment": Augment(**tuples(data["augment"]))})


def load_config(path: str | Path) -> Config:
    """Read a config file.

    Args:
        path: A Python file that sets `config`; the ``.py`` may be left out, and so may its folder.

    Returns:
        The config it sets.

    Raises:
        FileNotFoundError: If there is no such file; the message lists the known ones.
        TypeError: If the file does not set a `Config`.
    """
    folder = Path(__file__).parent / "configs"
    name = f"{Path(path).name}.py"
    for candidate in (Path(path), Path(f"{path}.py"), folder / name, folder / "stages" / name):
        if candidate.is_file():
            config = runpy.run_path(str(candidate)).get("config")
            if not isinstance(config, Config):
                raise TypeError(f"{candidate} does not set `config` to a training.config.Config")
            return config
    known = ", ".join(sorted(file.stem for file in folder.glob("*.py")))
    raise FileNotFoundError(f"no config {path}; known: {known}")


def ancestors(config: Config) -> dict[str, Config | None]:
    """The runs that a run descends from: those it started from, was averaged with, or was taught by.

    Returns:
        Reference to its config, transitively; None where `configs/` has no file for it.
    """
    found: dict[str, Config | None] = {}
    waiting = [config]
    while waiting:
        one = waiting.pop()
        for reference in filter(None, (one.start, *one.average, *one.teachers)):
            if reference in found:
                continue
            try:
                behind = load_config(Path(reference).name.partition("@")[0])
            except FileNotFoundError:
                found[reference] = None
            else:
                found[reference] = behind
                waiting.append(behind)
    return found


def stages(config: Config) -> list[Config]:
    """Every run that a config depends on, in topological order; the config's own run comes last.

    A config depends on a run if `Config.start`, `Config.average` or `Config.teachers` names its folder, ``runs/NAME``.

    Raises:
        FileNotFoundError: If a run has no config.
        ValueError: If the dependencies are circular.
    """
    ordered: dict[str, Config] = {}

    def visit(one: Config, behind: tuple[str, ...]) -> None:
        for reference in (one.start, *one.average, *one.teachers):
            folder = Path(reference)
            if folder.parts[:1] != ("runs",) or folder.name in ordered:
                continue
            if folder.name in behind:
                raise ValueError(f"{' needs '.join((*behind, folder.name))}: a circular dependency")
            stage = load_config(folder.name)
            visit(stage, (*behind, folder.name))
            ordered[folder.name] = stage

    visit(config, (config.model,))
    return [*ordered.values(), config]
