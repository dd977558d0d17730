"""The classic tutorial's time-based decay, in Keras and in Lightning, side by side.

Keras' old ``SGD(decay=...)`` (Keras 3 ignores it) divides the rate by ``1 + decay * iterations``.
The tutorials explain it in epochs; the optimizer counts batches, so the rate falls that much faster.

Usage: python examples/time_based_decay.py [--data ionosphere.csv] [--epochs 50]
"""

import sys

import lightning.pytorch as lightning
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.network import make_network, weights_of
from lrparity import optim
from lrparity.callbacks import LearningRateRecorder, ScheduleLR
from lrparity.schedules import TimeBasedDecay
from lrparity.trajectory import Trajectory

RATE, MOMENTUM, BATCH_SIZE, VALIDATION_SPLIT = 0.1, 0.8, 28, 0.33


def train_in_keras(inputs, labels, epochs):
    """The tutorial's script, without shuffling; also returns the weights, before and after."""
    import tensorflow as tf
    from tf_keras import Input, Sequential, callbacks, layers, optimizers, utils

    utils.set_random_seed(7)
    columns = inputs.shape[1]
    model = Sequential([Input([columns])])
    model.add(layers.Dense(columns, kernel_initializer="normal", activation="relu"))
    model.add(layers.Dense(1, kernel_initializer="normal", activation="sigmoid"))
    before = model.get_weights()

    sgd = optimizers.legacy.SGD(learning_rate=RATE, momentum=MOMENTUM, decay=RATE / epochs)
    model.compile(sgd, loss="binary_crossentropy", metrics=["accuracy"])
    rates = []  # `sgd.learning_rate` stays 0.1; this is what the update will multiply by
    note = callbacks.LambdaCallback(
        on_batch_begin=lambda batch, logs: rates.append(float(sgd._decayed_lr(tf.float32)))
    )
    history = model.fit(
        inputs,
        labels,
        validation_split=VALIDATION_SPLIT,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        shuffle=False,
        callbacks=[note],
        verbose=0,
    )
    return Trajectory(rates, metrics=history.history), before, model.get_weights()


class Classifier(lightning.LightningModule):
    """The same network, but for the sigmoid: it is part of the loss."""

    def __init__(self, weights):
        super().__init__()
        self.network = make_network(weights)

    def configure_optimizers(self):
        """Keras' SGD, and no scheduler: the schedule is a callback of the Trainer."""
        return optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)

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


def train_in_lightning(inputs, labels, epochs, weights):
    """The same training under the same rates, from the weights that Keras began with."""
    training, validation = tutorial.loaders(inputs, labels, BATCH_SIZE, VALIDATION_SPLIT)
    recorder = LearningRateRecorder()
    module = Classifier(weights)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[ScheduleLR(TimeBasedDecay(RATE, decay=RATE / epochs)), recorder],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, training, validation)
    return recorder.trajectory, weights_of(module.network)


def main():
    inputs, labels, epochs = tutorial.begin(__doc__.partition("\n")[0])
    keras, before, keras_weights = train_in_keras(inputs, labels, epochs)
    ours, weights = train_in_lightning(inputs, labels, epochs, before)
    return tutorial.report(keras, ours, keras_weights, weights)


if __name__ == "__main__":
    sys.exit(main())
