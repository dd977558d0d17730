"""A snapshot ensemble, in Keras and in Lightning, side by side.

Three half cosines of twenty epochs each, every one from 0.1; the weights at the end of each are a member,
and the members' probabilities are averaged.  Keras has no callback for it: the classic form is a
`LearningRateScheduler` and one that saves the weights.  (What is shown is that both frameworks take the
same snapshots.  On so small a task the last member alone is as good as the average, or better.)

Usage: python examples/snapshot_ensemble.py [--data ionosphere.csv] [--epochs 60] [--cycles 3] [--out PATH]
"""

import logging
import math
import sys
import tempfile
from pathlib import Path

import lightning.pytorch as lightning
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.network import make_network, weights_of
from demo_parts.run import distance
from lrparity import optim
from lrparity.callbacks import LearningRateRecorder, SnapshotEnsemble
from lrparity.ensemble import SnapshotAverage
from lrparity.trajectory import Trajectory, compare

RATE, MOMENTUM, BATCH_SIZE, VALIDATION_SPLIT = 0.1, 0.9, 28, 0.33


def train_in_keras(inputs, labels, epochs, cycles):
    """The rates and metrics; the weights before; and those of each snapshot, by its epoch."""
    from keras import Input, Sequential, callbacks, layers, losses, metrics, optimizers, utils

    utils.set_random_seed(7)
    columns = inputs.shape[1]
    model = Sequential([Input([columns])])
    model.add(layers.Dense(columns, kernel_initializer="he_normal", activation="relu"))
    model.add(layers.Dense(1, kernel_initializer="glorot_uniform"))  # the logit
    before = model.get_weights()

    sgd = optimizers.SGD(learning_rate=RATE, momentum=MOMENTUM)
    model.compile(
        sgd,
        loss=losses.BinaryCrossentropy(from_logits=True),
        metrics=[metrics.BinaryAccuracy("accuracy", threshold=0.0)],
    )
    length = epochs // cycles

    def cosine(epoch, _):
        return RATE / 2 * (math.cos(math.pi * (epoch % length) / length) + 1)

    snapshots = {}

    def snap(epoch, logs):
        if (epoch + 1) % length == 0 and len(snapshots) < cycles:
            snapshots[epoch] = model.get_weights()

    rates = []
    history = model.fit(
        inputs,
        labels,
        validation_split=VALIDATION_SPLIT,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        shuffle=False,
        callbacks=[
            callbacks.LearningRateScheduler(cosine),
            callbacks.LambdaCallback(
                on_train_batch_begin=lambda batch, logs: rates.append(float(sgd.learning_rate)),
                on_epoch_end=snap,
            ),
        ],
        verbose=0,
    )
    held_out = inputs[int(len(inputs) * (1 - VALIDATION_SPLIT)) :]
    probabilities = []
    for weights in snapshots.values():
        model.set_weights(weights)
        logits = model.predict(held_out, batch_size=len(held_out), verbose=0)
        probabilities.append(1 / (1 + np.exp(-logits.astype(np.float64))))
    return Trajectory(rates, metrics=history.history), before, snapshots, probabilities


class Classifier(lightning.LightningModule):
    """The same network; with Keras' SGD."""

    def __init__(self, weights):
        super().__init__()
        self.network = make_network(weights)

    def forward(self, inputs):
        """The logit."""
        return self.network(inputs)

    def configure_optimizers(self):
        """Keras' SGD, and no scheduler: the cosine is the callback's."""
        return optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)

    def training_step(self, batch, batch_idx):
        """The loss of a batch; Lightning averages it over the epoch."""
        inputs, labels = batch
        loss = binary_cross_entropy_with_logits(self(inputs), labels)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        """The accuracy on the rows held out."""
        inputs, labels = batch
        logits = self(inputs)
        self.log("val_loss", binary_cross_entropy_with_logits(logits, labels))
        self.log("val_accuracy", accuracy(logits.sigmoid(), labels))


def accuracy(probabilities, labels):
    """The share of the rows that are on the right side."""
    return ((probabilities > 0.5) == (labels > 0.5)).float().mean()


def log_loss(probabilities, labels):
    """The mean of -log of the probability of what is true."""
    return torch.nn.functional.binary_cross_entropy(probabilities, labels)


def train_in_lightning(inputs, labels, epochs, cycles, weights, folder):
    """The same training, from the weights that Keras began with; the ensemble, and its metrics."""
    training, validation = tutorial.loaders(inputs, labels, BATCH_SIZE, VALIDATION_SPLIT)
    snapshots = SnapshotEnsemble(epochs, cycles, lr_max=RATE, dirpath=folder)
    recorder = LearningRateRecorder()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[snapshots, recorder],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(weights), training, validation)
    ensemble = SnapshotAverage.from_snapshots(
        snapshots.paths, lambda: Classifier(weights), activation="sigmoid"
    )
    found = ensemble.evaluate(validation, {"accuracy": accuracy, "loss": log_loss})
    return recorder.trajectory, snapshots.snapshots, ensemble, found


def keras_metrics(probabilities, labels):
    """Those of each member, and last of the mean of their probabilities."""
    labels = torch.from_numpy(labels[int(len(labels) * (1 - VALIDATION_SPLIT)) :])
    every = [*probabilities, np.mean(probabilities, axis=0)]
    every = [torch.from_numpy(one.astype(np.float32)) for one in every]
    return [
        {"accuracy": float(accuracy(one, labels)), "loss": float(log_loss(one, labels))}
        for one in every
    ]


def report(theirs, ours, keras_snapshots, taken, ensemble, found):
    """Print both side by side; the exit status: 0 if rates and epochs are the same."""
    print("                          accuracy                  loss           max|dw| /")
    print("member        epoch    Keras  Lightning     Keras  Lightning     max|w|")
    apart = [
        f"{distance(weights, weights_of(member.network)):.1e}"
        for weights, member in zip(keras_snapshots.values(), ensemble.members, strict=True)
    ]
    epochs = [str(one.epoch + 1) for one in taken]
    for (name, mine), keras, epoch, far in zip(
        found.items(), theirs, [*epochs, ""], [*apart, ""], strict=True
    ):
        print(
            f"{name:12} {epoch:>6} {keras['accuracy']:8.4f} {mine['accuracy']:10.4f} "
            f"{keras['loss']:9.4f} {mine['loss']:10.4f} {far:>10}".rstrip()
        )
    same = list(keras_snapshots) == [one.epoch for one in taken]
    print(f"\nsnapshots after {'the same' if same else 'OTHER'} epochs")
    return same


def picture(path, keras, ours, theirs, found, taken):
    """The rates, and the validation accuracy of the single network and of the snapshots."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its font cache
    from matplotlib.figure import Figure

    epochs = len(keras.metrics["loss"])
    figure = Figure(figsize=(10, 6.4), dpi=110, layout="constrained")
    upper, lower, bars = (
        figure.add_subplot(spec)
        for grid in [figure.add_gridspec(2, 2, width_ratios=[1.6, 1])]
        for spec in (grid[0, 0], grid[1, 0], grid[:, 1])
    )
    wide = {"color": "#f2a65a", "linewidth": 6, "alpha": 0.75}
    thin = {"color": "#12355b", "linewidth": 1.6, "linestyle": (0, (4, 2))}
    for run, name, style in ((keras, "Keras", wide), (ours, "Lightning, lrparity", thin)):
        firsts = run.learning_rate[:: len(run) // epochs]
        upper.plot(range(1, epochs + 1), firsts, drawstyle="steps-mid", label=name, **style)
        lower.plot(range(1, epochs + 1), run.metrics["val_loss"], label=name, **style)
    for ax in (upper, lower):
        for i, one in enumerate(taken):
            ax.axvline(one.epoch + 1, color="#888888", linewidth=1, linestyle=":")
            if ax is upper:
                ax.annotate(
                    f"snapshot {i + 1}",
                    (one.epoch + 1, RATE),
                    (-4, 2),
                    ha="right",
                    textcoords="offset points",
                    fontsize=9,
                    color="#444444",
                )
        ax.set_xlabel("epoch")
    upper.set_ylabel("learning rate")
    lower.set_ylabel("validation loss")
    lower.set_yscale("log")
    upper.legend(frameon=False, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.2))
    places = np.arange(len(found))
    losses = [one["loss"] for one in theirs], [one["loss"] for one in found.values()]
    for shift, values, label, colour in (
        (-0.2, losses[0], "Keras", "#f2a65a"),
        (0.2, losses[1], "Lightning, lrparity", "#12355b"),
    ):
        bars.bar(places + shift, values, 0.4, label=label, color=colour)
    for place, both, keras_one, mine in zip(
        places, zip(*losses, strict=True), theirs, found.values(), strict=True
    ):
        told = list(dict.fromkeys(f"{one['accuracy']:.1%}" for one in (keras_one, mine)))
        bars.annotate(
            " / ".join(told),
            (place, max(both)),
            (0, 3),
            ha="center",
            textcoords="offset points",
            fontsize=9,
        )
    bars.set_xticks(places, [name.replace("_", "\n") for name in found])
    bars.set_ylabel("validation loss; above it the accuracy")
    for ax in (upper, lower, bars):
        ax.grid(color="#e4e4e4", linewidth=0.7, axis="y")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def main():
    inputs, labels, epochs, cycles, out = tutorial.begin(
        __doc__.partition("\n")[0],
        {
            "--cycles": {"type": int, "default": 3, "help": "how many (%(default)s)"},
            "--out": {"type": Path, "metavar": "PATH", "help": "draw a picture, a PNG"},
        },
        epochs=60,
    )
    if not 1 <= cycles <= epochs:
        print(f"--cycles must be from 1 to --epochs={epochs}; found {cycles}", file=sys.stderr)
        return 2
    keras, before, keras_snapshots, probabilities = train_in_keras(inputs, labels, epochs, cycles)
    with tempfile.TemporaryDirectory() as folder:
        ours, taken, ensemble, found = train_in_lightning(
            inputs, labels, epochs, cycles, before, folder
        )
    theirs = keras_metrics(probabilities, labels)
    same = report(theirs, ours, keras_snapshots, taken, ensemble, found)
    rates = compare(keras, ours)
    print(rates)
    if out is not None:
        picture(out, keras, ours, theirs, found, taken)
        print(f"the picture is in {out}")
    return 0 if same and rates.identical else 1


if __name__ == "__main__":
    sys.exit(main())
