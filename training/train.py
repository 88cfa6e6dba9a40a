"""Train one model: `python -m training.train configs/emotion-efficientnet --data DIR`.

One loop for every model and every Keras backend. It writes a run folder with the config, the log, the best weights
(moving average) and a backup to resume from; `release/` exports and measures it.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from facemodels.crops import cut_all, whole_window
from facemodels.errors import FaceModelsError
from training import imagenet, networks
from training.config import Config, load_config, stages
from training.data import load
from training.data.face_data import HEADS, FaceData, smooth_bins, target_for
from training.drawing import adjusted, balanced, class_weights, log_priors
from training.losses import adjusted_crossentropy, partial_label_crossentropy
from training.metrics import head_metrics
from training.teachers import answering, distilled, prior_strength, taught, teachers_leave_prior_out, with_prior

log = logging.getLogger("training")

BEST, BACKUP, MODEL = "best.weights.h5", "backup", "model.keras"  # in a run folder


class Batches(keras.utils.PyDataset):
    """Batches of augmented crops and their targets, reshuffled every epoch, reproducible by seed.

    Args:
        parts: Faces and their labels.
        config: Of the run.
        unlabelled: Faces whose only targets are the predictions of the config's teachers.
        answers_folder: Where the teachers' predictions are cached, for resumed runs.
        **kwargs: Of `keras.utils.PyDataset`.
    """

    def __init__(
        self,
        parts: list[FaceData],
        config: Config,
        unlabelled: Sequence[FaceData] = (),
        answers_folder: Path | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        labelled = sum(map(len, parts))
        parts = [*parts, *unlabelled]
        self.images = [image for part in parts for image in part.images]
        self.targets = {head: np.concatenate([target_for(head, part) for part in parts]) for head in config.learned}
        if config.smooth_bins and "age" in self.targets:
            self.targets["age"] = smooth_bins(self.targets["age"])
        self.labelled = labelled
        self.answers = answering(config) if config.consistent and config.teachers else None
        answers: dict[str, np.ndarray] = {}
        if self.answers is not None:
            if config.logit_adjustment:
                raise ValueError(f"{config.model}: consistent teachers and logit_adjustment do not go together")
        elif config.teachers:
            answers = taught(config, self.images, answers_folder)
        for head, rows in answers.items():
            self.targets[head][labelled:] = rows[labelled:]
        sizes = [len(part) for part in parts]
        self.weights = balanced(parts, config.balance, config.emphasis)
        if config.class_balance:
            rarity = class_weights(self.targets[config.heads[0]], sizes, config.class_balance)
            self.weights = rarity if self.weights is None else self.weights * rarity
            self.weights = self.weights / self.weights.sum()
        self.priors: dict[str, np.ndarray] = {}
        for head in filter(adjusted, config.learned if config.logit_adjustment else ()):
            priors = log_priors(self.targets[head], sizes, self.weights, config.logit_adjustment)
            if head in answers and teachers_leave_prior_out(config, head):
                priors[labelled:] = 0  # nothing but their answers counts there, which have none
                answers[head] = with_prior(answers[head], priors)
            self.priors[head] = priors
        self.targets = distilled(self.targets, answers, config.distil)
        for head, priors in self.priors.items():
            self.targets[head] = np.concatenate([self.targets[head], priors], axis=1)
        self.epoch = 0
        self.order = self._shuffled()

    def __len__(self) -> int:
        faces = min(self.config.epoch_size or len(self.images), len(self.images))
        return max(1, faces // self.config.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rows = self.order[step * self.config.batch_size : (step + 1) * self.config.batch_size]
        rng = np.random.default_rng((self.config.seed, self.epoch, step))
        size = self.config.input_size
        crops = np.stack([self.config.augment(self.images[row], size, rng) for row in rows])
        images = crops.astype(np.float32)
        targets = {head: target[rows] for head, target in self.targets.items()}
        if self.answers is not None:
            answers = self.answers(images)
            targets = distilled(targets, answers, self.config.distil)
            for head, said in answers.items():
                targets[head][rows >= self.labelled] = said[rows >= self.labelled]
        return images, targets

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.order = self._shuffled()

    def _shuffled(self) -> np.ndarray:
        rng = np.random.default_rng((self.config.seed, self.epoch))
        if self.weights is None:
            return rng.permutation(len(self.images))
        return rng.choice(len(self.images), len(self.images), p=self.weights)


class Validate(keras.callbacks.Callback):
    """Measures every head on the validation split at the end of each epoch, and logs the figures."""

    def __init__(self, parts: list[FaceData], config: Config):
        super().__init__()
        self.parts, self.config = parts, config

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        losses, measured = [], {}
        # Auxiliary heads are measured, but choose nothing.
        scored = [f"{head}_accuracy" for head in self.config.heads]
        scored += ["ethnicity_five_accuracy"] * ("ethnicity" in self.config.heads)
        recalls = [f"{head}_macro_recall" for head in self.config.heads]
        for part in self.parts:
            predictions = predict(self.model, part, self.config)
            for head, probabilities in predictions.items():
                weight = self.config.loss_weights.get(head, 1.0) * (head in self.config.heads)
                loss = partial_label_crossentropy(target_for(head, part), probabilities)
                losses.append(weight * float(keras.ops.mean(loss)))
            for name, value in head_metrics(part, predictions).items():
                # Two data sets may measure the same thing: then both stand in the log, each under its own name too.
                measured[f"val_{part.name.split()[0]}_{name}"] = value
                measured.setdefault(f"val_{name}", value)
        assert logs is not None
        # Every data set counts, under its own name; the even classes as much as the faces as they come.
        names = [f"val_{part.name.split()[0]}_{name}" for part in self.parts for name in (*scored, *recalls)]
        accuracies = [value for name, value in measured.items() if name.removeprefix("val_") in scored]
        logs.update(measured, val_loss=float(np.sum(losses)), val_accuracy=float(np.mean(accuracies)))
        # Of a few faces no class has enough for a macro recall.
        logs["val_balanced"] = float(np.nanmean([measured[name] for name in names if name in measured]))
        log.info("epoch %d: %s", epoch + 1, "  ".join(f"{k} {v:.4f}" for k, v in logs.items()))


class TimeLeft(keras.callbacks.Callback):
    """Logs the minutes of each epoch, and an estimate of the time left."""

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs
        self.minutes: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.minutes.append((time.monotonic() - self.began) / 60)
        assert logs is not None
        logs["minutes"] = self.minutes[-1]
        left = float(np.mean(self.minutes)) * (self.epochs - epoch - 1)
        log.info("epoch %d took %.1f minutes, at most %.0f minutes left", epoch + 1, self.minutes[-1], left)


def distribute() -> int:
    """Distribute the batches of this process over all its devices of one kind, if the backend supports it (JAX).

    Returns:
        The number of devices that share each batch.
    """
    if keras.backend.backend() != "jax":
        return 1
    devices = keras.distribution.list_devices()
    if len(devices) > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
        log.info("each batch is shared by %s", ", ".join(devices))
    return len(devices)


def best_so_far(log_file: Path, monitor: str, mode: str) -> float | None:
    """The best value of the monitored metric in a run's log; None if there is none yet."""
    if not log_file.is_file():
        return None
    with log_file.open(newline="") as file:
        values = [float(row[monitor]) for row in csv.DictReader(file)]
    return (max if mode == "max" else min)(values, default=None)


def learning_rate(config: Config, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The rate of a run: a cosine over all its steps, or the constant that ReduceLROnPlateau halves."""
    if config.schedule == "plateau":
        return config.learning_rate
    if config.schedule != "cosine":
        raise ValueError(f"unknown schedule {config.schedule!r}; known: cosine, plateau")
    warmup = int(steps * config.epochs * config.warmup)
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        steps * config.epochs - warmup,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
        alpha=0.01,
    )


def optimizer_of(config: Config, steps: int) -> keras.optimizers.Optimizer:
    """AdamW for a config, with epochs of so many steps."""
    optimizer = keras.optimizers.AdamW(
        learning_rate(config, steps),
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm,
        use_ema=True,
        ema_momentum=config.ema,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def callbacks(config: Config, run: Path, validate: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """The callbacks of a run, in an order that matters: best weights, a backup and the log go into its folder.

    Args:
        config: Of the run.
        run: Its folder.
        validate: Logs the metric that `Config.monitor` names.
    """
    monitor, mode = config.monitor
    found = [
        # The backup comes first: it must hold the raw weights, not the average that the next callback swaps in.
        keras.callbacks.BackupAndRestore(str(run / BACKUP)),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        validate,
        keras.callbacks.ModelCheckpoint(
            str(run / BEST),
            monitor=monitor,
            mode=mode,
            save_best_only=True,
            save_weights_only=True,
            # Otherwise a resumed run would take its first epoch for the best.
            initial_value_threshold=best_so_far(run / "log.csv", monitor, mode),
        ),
        keras.callbacks.EarlyStopping(monitor=monitor, mode=mode, patience=config.patience),
        TimeLeft(config.epochs),
    ]
    if config.schedule == "plateau":
        found.append(keras.callbacks.ReduceLROnPlateau(monitor, factor=0.5, patience=config.plateau, mode=mode))
    # The log comes last, to include what the others measure.
    return [*found, keras.callbacks.CSVLogger(str(run / "log.csv"), append=True)]


def predict(model: keras.Model, data: FaceData, config: Config, batch_size: int = 128) -> dict[str, np.ndarray]:
    """Every head's probabilities for whole crops, as serving computes them: ``(N, outputs)`` each."""
    crops = cut_all(data.images, [whole_window(image) for image in data.images], config.input_size)
    return model.predict(crops, batch_size=batch_size, verbose=0)


def build_network(config: Config, heads: tuple[str, ...], *, mirrored: bool = False) -> keras.Model:
    """The network of a config with these heads and random weights; `mirrored` as in `networks.build`."""
    return networks.build(
        config.network,
        {head: len(HEADS[head]) for head in heads},
        input_size=config.input_size,
        grey=config.grey,
        dropout=config.dropout,
        mirrored=mirrored,
        **config.network_options,
    )


def build_model(config: Config) -> keras.Model:
    """The network of a training run, with its initial weights and frozen layers."""
    model = build_network(config, config.learned)
    if config.start:
        log.info("%d layers from %s", networks.load_trained(model, config.start), config.start)
    elif config.imagenet:
        log.info("%d arrays from ImageNet", imagenet.load_imagenet_lite0(model))
    networks.freeze(model, config.freeze_blocks)
    return model


def losses(config: Config) -> dict[str, Callable[..., Any]]:
    """The loss of every head."""
    return {
        head: adjusted_crossentropy if config.logit_adjustment and adjusted(head) else partial_label_crossentropy
        for head in config.learned
    }


def fit_heads(model: keras.Model, batches: Batches, config: Config, epochs: int = 12) -> None:
    """Fit the heads alone to the trunk's features of the whole crops (`Config.probe`).

    Args:
        model: With the weights of a trained trunk; only its heads change.
        batches: Of the run.
        config: Of the run.
        epochs: Passes over the features, which are computed once.
    """
    features = model.get_layer("dropout").input
    trunk = keras.Model(model.input, features)
    rows = []
    for start in range(0, len(batches.images), 1024):
        images = batches.images[start : start + 1024]
        crops = cut_all(images, [whole_window(image) for image in images], config.input_size)
        rows.append(trunk.predict(crops, batch_size=64, verbose=0))
    made = np.concatenate(rows)
    mean, deviation = made.mean(0), made.std(0) + 1e-3
    inputs = keras.Input(made.shape[1:])
    outputs = {
        head: keras.layers.Dense(len(HEADS[head]), "softmax", dtype="float32", name=head)(inputs)
        for head in config.learned
    }
    heads = keras.Model(inputs, outputs)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * (len(made) // 256 + 1), alpha=0.01)
    heads.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), losses(config), jit_compile=False)
    heads.fit((made - mean) / deviation, batches.targets, batch_size=256, epochs=epochs, verbose=0)
    for head in config.learned:
        kernel, bias = heads.get_layer(head).get_weights()
        kernel /= deviation[:, None]
        model.get_layer(f"{head}_logits").set_weights([kernel, bias - mean @ kernel])


def take_priors_out(model: keras.Model, config: Config, priors: Mapping[str, np.ndarray]) -> None:
    """Start with heads without the label prior, as far as the loss removes it (`Config.logit_adjustment`).

    Otherwise the first epochs would be spent on that, as a bias changes slowly.

    Args:
        model: With its initial weights.
        config: Of the run.
        priors: Head to the logarithm of the prior of each row, as `log_priors` makes them.
    """
    if not config.start:
        return
    for head, rows in priors.items():
        layer = model.get_layer(f"{head}_logits")
        kernel, bias = layer.get_weights()
        left = 1 - prior_strength(config.start, head) / config.logit_adjustment
        layer.set_weights([kernel, bias - left * rows[0]])


def train(
    config: Config,
    data_folder: str | Path,
    run: Path,
    limit: int | None = None,
    workers: int = 2,
    tensorboard: bool = False,
) -> keras.Model:
    """Train a model and write it to a run folder.

    Args:
        config: What to train.
        data_folder: Where the data sets are.
        run: Run folder; an interrupted run in it is resumed after its last complete epoch.
        limit: Use only this many images of each data set.
        workers: Threads that make batches.
        tensorboard: Also log for TensorBoard (which needs TensorFlow), into ``RUN/tensorboard``.

    Returns:
        The model with its best weights by `config.monitor`, averaged with those of `config.average`.
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    if config.batch_size % (devices := distribute()):
        raise ValueError(f"a batch of {config.batch_size} cannot be shared evenly by {devices} devices")
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.dtype)

    parts = [load(name, "train", data_folder, limit) for name in config.datasets]
    extra = [load(name, "train", data_folder, min(count, limit or count)) for name, count in config.unlabelled.items()]
    batches = Batches(parts, config, extra, run.parent / "answers", workers=workers, max_queue_size=8 * workers)
    held_out = [load(name, "validation", data_folder, limit) for name in config.validated]
    log.info("%s", ", ".join(f"{part.name}: {len(part)}" for part in (*parts, *extra, *held_out)))

    model = build_model(config)
    if config.probe and not (run / BACKUP).is_dir():  # a resumed run has its heads in there
        fit_heads(model, batches, config)
    elif not config.probe:
        take_priors_out(model, config, batches.priors)
    # XLA makes small convolution networks several times slower on a CPU.
    model.compile(
        optimizer_of(config, len(batches)),
        loss=losses(config),
        loss_weights={head: config.loss_weights.get(head, 1.0) for head in config.learned},
        jit_compile=False,
    )
    watching = callbacks(config, run, Validate(held_out, config))
    if tensorboard:
        watching.append(keras.callbacks.TensorBoard(str(run / "tensorboard")))
    model.fit(batches, epochs=config.epochs, callbacks=watching, verbose="auto" if sys.stdout.isatty() else 2)
    (stopping,) = (one for one in watching if isinstance(one, keras.callbacks.EarlyStopping))
    if stopping.stopped_epoch:
        early = "ended after epoch %d of %d: for %d epochs %s was no better"
        log.info(early, stopping.stopped_epoch + 1, config.epochs, config.patience, config.monitor[0])
    model.load_weights(run / BEST)
    networks.average(model, config.average)
    model.save(run / MODEL)
    return model


def train_stages(
    needed: Sequence[Config],
    data_folder: str | Path,
    run: Path,
    limit: int | None = None,
    workers: int = 2,
    tensorboard: bool = False,
) -> None:
    """Train several runs in order; finished ones are kept, an interrupted one is resumed.

    Args:
        needed: Their configs, each after those it depends on, as from `config.stages`.
        data_folder: As of `train`.
        run: Run folder of the last one; that of every other is ``runs/NAME``.
        limit: As of `train`.
        workers: As of `train`.
        tensorboard: As of `train`.
    """
    for number, config in enumerate(needed, start=1):
        stage = f"stage {number} of {len(needed)}, {config.model}"
        folder = run if number == len(needed) else Path("runs") / config.model
        if (folder / MODEL).is_file():
            log.info("%s: already trained", stage)
            continue
        log.info("%s: started", stage)
        start = time.monotonic()
        train(config, data_folder, folder, limit, workers, tensorboard)
        keras.backend.clear_session()
        log.info("%s: took %.0f minutes", stage, (time.monotonic() - start) / 60)


def smoke(config: Config) -> Config:
    """A config of the same form that trains on synthetic faces in well under a minute."""
    options = dict(config.network_options)
    # A MobileNet has no normalization, and would not train from random weights.
    network = "vgg16" if config.network == "vgg16" else "efficientnet_lite0"
    if network == "vgg16":
        options.update(width=0.125)
    else:
        # Tracing the depth would take most of the time, and the moving averages have few steps to find their values.
        options.update(width=0.25, head_width=64, blocks=4, momentum=0.8)
    return replace(
        config,
        datasets=("synthetic",),
        network=network,
        validation=(),
        epoch_size=0,
        network_options=options,
        imagenet=False,
        start="",
        probe=False,
        average={},
        teachers=(),
        unlabelled={},
        emphasis={},
        freeze_blocks=-1,
        input_size=48,
        epochs=2,
        batch_size=16,
        ema=0.9,  # a slower average would still contain the random start
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a file in training/configs, for example configs/emotion-efficientnet")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--run", type=Path, help="run folder (default: runs/<model>)")
    parser.add_argument("--epochs", type=int, help="instead of those of the config (and of its stages)")
    parser.add_argument("--limit", type=int, help="use only this many images of each data set")
    parser.add_argument("--workers", type=int, default=2, help="threads that make batches")
    parser.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard")
    parser.add_argument(
        "--with-stages", action="store_true", help="first train the runs it depends on; finished ones are kept"
    )
    parser.add_argument("--smoke", action="store_true", help="train a tiny network on synthetic faces, within a minute")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    try:
        config = load_config(options.config)
    except (FileNotFoundError, TypeError) as error:
        parser.error(str(error))
    if options.smoke:
        config = smoke(config)
    elif not options.data:
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA (or --smoke)")
    with_stages = options.with_stages and not options.smoke
    needed = stages(config) if with_stages else [config]
    if options.epochs:
        needed = [replace(stage, epochs=options.epochs) for stage in needed]
    run = options.run or Path("runs") / (config.model + ("-smoke" if options.smoke else ""))
    try:
        if with_stages:
            train_stages(needed, options.data, run, options.limit, options.workers, options.tensorboard)
        else:
            train(needed[-1], options.data or ".", run, options.limit, options.workers, options.tensorboard)
    except FaceModelsError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
