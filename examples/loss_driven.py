"""A learning rate that follows the loss, ``eta = eta0 * exp(loss)``, in Keras and in Lightning.

Which loss?  That of the batch just seen; the mean of the epoch so far, which is what Keras hands a
callback as ``logs["loss"]`` after a batch; that mean at the epoch's end; or the loss over a data set that
the callback is given.  Keras has no callback for any of them, so that one is written here.

The losses of two frameworks differ in their last bits, and so do rates that follow them: each has to
lie within what its loss explains (`demo_parts.comparison.share_of_bound`).

Usage: python examples/loss_driven.py [--data ionosphere.csv] [--epochs 20] [--sources running]
       [--scale -1]
"""

import math
import sys

import lightning.pytorch as lightning
import numpy as np
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.comparison import compare_rates, share_of_bound
from demo_parts.keras_side import rows
from demo_parts.network import make_network, weights_of
from demo_parts.run import distance, running_means
from lrparity import optim
from lrparity.callbacks import LearningRateRecorder, LossDrivenLR
from lrparity.trajectory import Trajectory

RATE, MOMENTUM, BATCH_SIZE = 0.05, 0.8, 28
SOURCES = {
    "batch": "the batch's own loss",
    "running": "the mean of the epoch so far",
    "epoch": "the epoch's loss",
    "dataset": "the loss over the training set, after each epoch",
}
OPTIONS = {
    "--sources": {
        "nargs": "+",
        "choices": list(SOURCES),
        "default": list(SOURCES),
        "help": "which loss to follow, one training for each (all of them)",
    },
    "--scale": {
        "type": float,
        "default": 1.0,
        "help": "multiplies the loss; -1 makes exp(-loss) (%(default)s)",
    },
}


def train_in_keras(inputs, labels, epochs, source, scale):
    """The rates and metrics, the losses they followed, and the weights, before and after."""
    import tensorflow as tf
    from keras import Input, Sequential, callbacks, layers, optimizers, utils

    class Classifier(Sequential):
        """Keras tells a callback the mean of the epoch so far; this keeps the batch's own loss."""

        def compute_loss(self, *args, **kwargs):
            """As inherited."""
            loss = super().compute_loss(*args, **kwargs)
            batch_loss.assign(loss)
            return loss

    class FollowLoss(callbacks.Callback):
        """Sets the rate of what comes next."""

        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(sgd.learning_rate))

        def on_train_batch_end(self, batch, logs=None):
            if source == "batch":
                self.follow(float(batch_loss))
            elif source == "running":
                self.follow(logs["loss"])

        def on_epoch_end(self, epoch, logs=None):
            if source == "epoch":
                self.follow(logs["loss"])
            elif source == "dataset":
                found = model.evaluate(rows(inputs, labels, 256), verbose=0, return_dict=True)
                self.follow(found["loss"])

        def follow(self, loss):
            followed.append(loss)
            sgd.learning_rate = RATE * math.exp(scale * loss)

    rates, followed, batch_loss = [], [], tf.Variable(0.0)
    utils.set_random_seed(7)
    columns = inputs.shape[1]
    model = Classifier([Input([columns])])
    model.add(layers.Dense(columns, kernel_initializer="normal", activation="relu"))
    model.add(layers.Dense(1, kernel_initializer="normal", activation="sigmoid"))
    before = model.get_weights()

    sgd = optimizers.SGD(learning_rate=RATE, momentum=MOMENTUM)
    model.compile(sgd, loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(
        rows(inputs, labels, BATCH_SIZE),
        epochs=epochs,
        shuffle=False,
        callbacks=[FollowLoss()],
        verbose=0,
    )
    run = Trajectory(rates, metrics=history.history)
    return run, followed, before, model.get_weights()


class Classifier(lightning.LightningModule):
    """The same network, but for the sigmoid: it is part of the loss."""

    def __init__(self, weights):
        super().__init__()
        self.network = make_network(weights)
        self.seen = {"training": [], "evaluating": []}  # losses, and of how many rows

    def configure_optimizers(self):
        """Keras' SGD, and no scheduler: what follows the loss is a callback of the Trainer."""
        return optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)

    def loss_of(self, batch):
        """The mean loss of a batch."""
        inputs, labels = batch
        loss = binary_cross_entropy_with_logits(self.network(inputs), labels)
        self.seen["training" if self.training else "evaluating"].append((loss.item(), len(labels)))
        return loss

    def training_step(self, batch, batch_idx):
        """The loss of a batch; nothing has to be logged."""
        return self.loss_of(batch)

    def losses_of(self, source, epochs):
        """What the rate should have followed, by this account."""
        seen = self.seen["evaluating" if source == "dataset" else "training"]
        if source == "batch":
            return [loss for loss, _ in seen]
        per_epoch = len(seen) // epochs
        means = running_means(seen, per_epoch)
        return means if source == "running" else means[per_epoch - 1 :: per_epoch]


def train_in_lightning(inputs, labels, epochs, source, scale, weights):
    """The same training by the same rule, from the weights that Keras began with."""
    training, _ = tutorial.loaders(inputs, labels, BATCH_SIZE, validation_split=0.0)
    recorder, module = LearningRateRecorder(), Classifier(weights)
    follow_loss = LossDrivenLR(
        RATE,
        source=source,
        dataset=training.dataset if source == "dataset" else None,
        loss_fn=Classifier.loss_of if source == "dataset" else None,
        scale=scale,
    )
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[follow_loss, recorder],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, training)
    return recorder.trajectory, module.losses_of(source, epochs), weights_of(module.network)


def main():
    inputs, labels, epochs, sources, scale = tutorial.begin(
        __doc__.partition("\n")[0], OPTIONS, epochs=20
    )
    print("          rates that differ  largest               losses   share of    final weights")
    print("source           of updates      ULP  relative   up to apart  the bound  max|dw|/max|w|")
    agree = True
    for source in sources:
        keras, theirs, before, keras_weights = train_in_keras(inputs, labels, epochs, source, scale)
        ours, mine, weights = train_in_lightning(inputs, labels, epochs, source, scale, before)
        every = 1 if source in ("batch", "running") else len(keras) // epochs
        share = share_of_bound(keras.learning_rate, ours.learning_rate, theirs, mine, scale, every)
        found = compare_rates(keras, ours, share)
        apart = np.abs(np.subtract(theirs, mine)).max() if len(theirs) == len(mine) else math.nan
        counted = f"{found.comparison.differing} of {found.updates}"
        print(
            f"{source:<10}{counted:>17}{found.comparison.max_ulp:>9}"
            f"{found.comparison.max_relative:10.1e}{apart:14.1e}{share:11.2f}"
            f"{distance(keras_weights, weights):16.1e}"
        )
        agree = agree and found.sound
    print()
    for source in sources:
        print(f"{source:<10}{SOURCES[source]}")
    verdict = "lies" if agree else "DOES NOT lie"
    print(f"\nEach rate {verdict} within what its loss explains.")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
