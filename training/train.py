"""Train one model: `python -m training.train configs/emotion-efficientnet --data DIR`.

One loop for every model and every Keras backend. It leaves a run folder with the config, the log, the best weights
(moving average) and a backup to resume from; `evaluate.py` and `export.py` take it from there.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from facemodels.crops import cut_all, whole_window
from training import networks
from training.config import Config, load_config
from training.datasets import HEADS, FaceData, load, target_for
from training.losses import partial_label_crossentropy
from training.metrics import head_metrics

log = logging.getLogger("training")


class Batches(keras.utils.PyDataset):
    """Batches of augmented crops and their targets, shuffled anew each epoch, the same again for the same seed."""

    def __init__(self, parts: list[FaceData], config: Config, **kwargs: object):
        super().__init__(**kwargs)
        self.config = config
        self.images = [image for part in parts for image in part.images]
        self.targets = {head: np.concatenate([target_for(head, part) for part in parts]) for head in config.heads}
        self.epoch = 0
        self.order = np.random.default_rng(config.seed).permutation(len(self.images))

    def __len__(self) -> int:
        return max(1, len(self.images) // self.config.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rows = self.order[step * self.config.batch_size : (step + 1) * self.config.batch_size]
        rng = np.random.default_rng((self.config.seed, self.epoch, step))
        size = self.config.input_size
        crops = np.stack([self.config.augment(self.images[row], size, rng) for row in rows])
        return crops.astype(np.float32), {head: target[rows] for head, target in self.targets.items()}

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.order = np.random.default_rng((self.config.seed, self.epoch)).permutation(len(self.images))


class Validate(keras.callbacks.Callback):
    """At each epoch's end, measure every head on the validation split, into the epoch's log."""

    def __init__(self, parts: list[FaceData], config: Config):
        super().__init__()
        self.parts, self.config = parts, config

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        losses, measured = [], {}
        for part in self.parts:
            predictions = predict(self.model, part, self.config)
            for head, probabilities in predictions.items():
                weight = self.config.loss_weights.get(head, 1.0)
                loss = partial_label_crossentropy(target_for(head, part), probabilities)
                losses.append(weight * float(keras.ops.mean(loss)))
            for name, value in head_metrics(part, predictions).items():
                # Two data sets may measure the same thing: then both stand in the log, each under its own name too.
                measured[f"val_{part.name.split()[0]}_{name}"] = value
                measured.setdefault(f"val_{name}", value)
        assert logs is not None
        logs.update(measured, val_loss=float(np.sum(losses)))
        log.info("epoch %d: %s", epoch + 1, "  ".join(f"{k} {v:.4f}" for k, v in logs.items()))


def predict(model: keras.Model, data: FaceData, config: Config, batch_size: int = 128) -> dict[str, np.ndarray]:
    """Every head's probabilities for whole crops, as serving computes them: ``(N, outputs)`` each."""
    crops = cut_all(data.images, [whole_window(image) for image in data.images], config.input_size)
    return model.predict(crops, batch_size=batch_size, verbose=0)


def build_model(config: Config) -> keras.Model:
    """The network of a config, with its starting weights and its frozen part."""
    model = networks.build(
        config.network,
        {head: len(HEADS[head]) for head in config.heads},
        input_size=config.input_size,
        grey=config.grey,
        dropout=config.dropout,
        **config.network_options,
    )
    if config.imagenet:
        log.info("%d arrays from ImageNet", networks.load_imagenet_lite0(model))
    if config.freeze_blocks >= 0:
        frozen = ("stem", *(f"block{i}" for i in range(config.freeze_blocks)))
        for layer in model.layers:
            if layer.name.split("_")[0] in frozen:
                layer.trainable = False
    return model


def train(
    config: Config, data_folder: str | Path, run: Path, limit: int | None = None, workers: int = 2
) -> keras.Model:
    """Train a model and leave it in a run folder.

    Args:
        config: What to train.
        data_folder: Where the data sets are.
        run: Run folder; an unfinished run in it is resumed at its last whole epoch.
        limit: Use only this many images of each data set.
        workers: Threads that make batches.

    Returns:
        The model with its best weights by `config.monitor`.
    """
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.dtype)

    parts = [load(name, "train", data_folder, limit) for name in config.datasets]
    batches = Batches(parts, config, workers=workers, max_queue_size=8 * workers)
    held_out = [load(name, "validation", data_folder, limit) for name in config.datasets]
    log.info("%s", ", ".join(f"{part.name}: {len(part)}" for part in (*parts, *held_out)))

    model = build_model(config)
    steps = len(batches) * config.epochs
    warmup = int(steps * config.warmup)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, warmup_target=config.learning_rate, warmup_steps=warmup, alpha=0.01
    )
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=config.weight_decay, global_clipnorm=config.clip_norm, use_ema=True, ema_momentum=config.ema
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # XLA makes small convolution networks several times slower on a CPU.
    model.compile(
        optimizer,
        loss=dict.fromkeys(config.heads, partial_label_crossentropy),
        loss_weights={head: config.loss_weights.get(head, 1.0) for head in config.heads},
        jit_compile=False,
    )
    monitor, mode = config.monitor
    best = run / "best.weights.h5"
    callbacks = [
        # The backup comes first: it must hold the raw weights, not the average that the next callback swaps in.
        keras.callbacks.BackupAndRestore(str(run / "backup")),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        Validate(held_out, config),
        keras.callbacks.ModelCheckpoint(
            str(best), monitor=monitor, mode=mode, save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.EarlyStopping(monitor=monitor, mode=mode, patience=config.patience),
        keras.callbacks.CSVLogger(str(run / "log.csv"), append=True),
    ]
    model.fit(batches, epochs=config.epochs, callbacks=callbacks, verbose=2)
    model.load_weights(best)
    model.save(run / "model.keras")
    return model


def smoke(config: Config) -> Config:
    """A config of the same shape that trains on synthetic faces in well under a minute."""
    options = dict(config.network_options)
    options.update({"width": 0.25, "head_width": 64} if config.network == "efficientnet_lite0" else {"width": 0.125})
    return replace(
        config,
        datasets=("synthetic",),
        network_options=options,
        imagenet=False,
        freeze_blocks=-1,
        input_size=48,
        epochs=2,
        batch_size=16,
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a file of training/configs, for example configs/emotion-efficientnet")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--run", type=Path, help="run folder (default: runs/<model>)")
    parser.add_argument("--epochs", type=int, help="instead of the config's")
    parser.add_argument("--limit", type=int, help="use only this many images of each data set")
    parser.add_argument("--workers", type=int, default=2, help="threads that make batches")
    parser.add_argument("--smoke", action="store_true", help="a tiny network on synthetic faces, in under a minute")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    config = load_config(options.config)
    if options.smoke:
        config = smoke(config)
    elif not options.data:
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA (or --smoke)")
    if options.epochs:
        config = replace(config, epochs=options.epochs)
    run = options.run or Path("runs") / (config.model + ("-smoke" if options.smoke else ""))
    train(config, options.data or ".", run, options.limit, options.workers)


if __name__ == "__main__":
    main()
