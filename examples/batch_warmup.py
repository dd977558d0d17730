"""A warm-up and a decay batch by batch, in Keras and in Lightning, side by side.

The rate climbs over the batches of the first epochs and falls exponentially from then on, again per
batch.  Keras has no callback for it: people count batches in one of their own.
`BatchLearningRateScheduler` counts updates, over epochs and resumes, and asks the same function.

Usage: python examples/batch_warmup.py [--data ionosphere.csv] [--epochs 50] [--warmup-epochs 5]
"""

import math
import sys

import lightning.pytorch as lightning
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.network import make_network, weights_of
from lrparity import optim
from lrparity.callbacks import BatchLearningRateScheduler, LearningRateRecorder
from lrparity.trajectory import Trajectory

MOMENTUM, BATCH_SIZE, VALIDATION_SPLIT = 0.8, 28, 0.33
PEAK, DECAY_PER_BATCH = 0.1, 0.995
OPTIONS = {"--warmup-epochs": {"type": int, "default": 5, "help": "how many (%(default)s)"}}


def warmup_then_decay(warmup_batches):
    """The rate as a function of the batch, counted from 0 over the whole training."""

    def rate(k):
        if k < warmup_batches:
            return PEAK * (k + 1) / warmup_batches
        return PEAK * DECAY_PER_BATCH ** (k - warmup_batches)

    return rate


def train_in_keras(inputs, labels, epochs, rate):
    """The rates and metrics, and the weights, before and after."""
    from keras import Input, Sequential, callbacks, layers, optimizers, utils

    utils.set_random_seed(7)
    columns = inputs.shape[1]
    model = Sequential([Input([columns])])
    model.add(layers.Dense(columns, kernel_initializer="normal", activation="relu"))
    model.add(layers.Dense(1, kernel_initializer="normal", activation="sigmoid"))
    before = model.get_weights()

    sgd = optimizers.SGD(learning_rate=0.0, momentum=MOMENTUM)
    model.compile(sgd, loss="binary_crossentropy", metrics=["accuracy"])
    rates = []  # one for each batch so far

    class BatchRate(callbacks.Callback):
        """Keras' `batch` begins at 0 in each epoch; this counts on."""

        def on_train_batch_begin(self, batch, logs=None):
            sgd.learning_rate = rate(len(rates))
            rates.append(float(sgd.learning_rate))

    history = model.fit(
        inputs,
        labels,
        validation_split=VALIDATION_SPLIT,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        shuffle=False,
        callbacks=[BatchRate()],
        verbose=0,
    )
    return Trajectory(rates, metrics=history.history), before, model.get_weights()


class Classifier(lightning.LightningModule):
    """The same network, but for the sigmoid: it is part of the loss."""

    def __init__(self, weights):
        super().__init__()
        self.network = make_network(weights)

    def configure_optimizers(self):
        """Keras' SGD, and no scheduler: the function is a callback of the Trainer."""
        return optim.SGD(self.parameters(), lr=0.0, momentum=MOMENTUM)

    def training_step(self, batch, batch_idx):
        """The loss of a batch; Lightning averages it over the epoch."""
        inputs, labels = batch
        loss = binary_cross_entropy_with_logits(self.network(inputs), labels)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        """The accuracy after an epoch."""
        inputs, labels = batch
        right = (self.network(inputs) > 0) == (labels > 0.5)
        self.log("val_accuracy", right.float().mean())


def train_in_lightning(inputs, labels, epochs, rate, weights):
    """The same training under the same function, from the weights that Keras began with."""
    training, validation = tutorial.loaders(inputs, labels, BATCH_SIZE, VALIDATION_SPLIT)
    recorder = LearningRateRecorder()
    module = Classifier(weights)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[BatchLearningRateScheduler(rate), recorder],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, training, validation)
    return recorder.trajectory, weights_of(module.network)


def main():
    inputs, labels, epochs, warmup_epochs = tutorial.begin(__doc__.partition("\n")[0], OPTIONS)
    steps_per_epoch = math.ceil(int(len(inputs) * (1 - VALIDATION_SPLIT)) / BATCH_SIZE)
    rate = warmup_then_decay(warmup_epochs * steps_per_epoch)
    keras, before, keras_weights = train_in_keras(inputs, labels, epochs, rate)
    ours, weights = train_in_lightning(inputs, labels, epochs, rate, before)
    return tutorial.report(keras, ours, keras_weights, weights)


if __name__ == "__main__":
    sys.exit(main())
