"""``LearningRateScheduler`` with the function of Keras' documentation, in Keras and in Lightning.

``scheduler(epoch, lr)`` is handed the rate that the optimizer holds, in float32, so that its rounding
compounds from epoch to epoch: a float64 recurrence, as in torch's ``MultiplicativeLR``, has other bits.

Usage: python examples/epoch_function.py [--data ionosphere.csv] [--epochs 50]
"""

import math
import sys

import lightning.pytorch as lightning
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.network import make_network, weights_of
from lrparity import optim
from lrparity.callbacks import LearningRateRecorder, LearningRateScheduler
from lrparity.trajectory import Trajectory

RATE, MOMENTUM, BATCH_SIZE, VALIDATION_SPLIT = 0.1, 0.8, 28, 0.33


def scheduler(epoch, lr):
    """Keras' own example."""
    return lr if epoch < 10 else lr * math.exp(-0.1)


def train_in_keras(inputs, labels, epochs):
    """The rates and metrics, and the weights, before and after."""
    from keras import Input, Sequential, callbacks, layers, optimizers, utils

    utils.set_random_seed(7)
    columns = inputs.shape[1]
    model = Sequential([Input([columns])])
    model.add(layers.Dense(columns, kernel_initializer="normal", activation="relu"))
    model.add(layers.Dense(1, kernel_initializer="normal", activation="sigmoid"))
    before = model.get_weights()

    sgd = optimizers.SGD(learning_rate=RATE, momentum=MOMENTUM)
    model.compile(sgd, loss="binary_crossentropy", metrics=["accuracy"])
    rates = []
    note = callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(float(sgd.learning_rate))
    )
    history = model.fit(
        inputs,
        labels,
        validation_split=VALIDATION_SPLIT,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        shuffle=False,
        callbacks=[callbacks.LearningRateScheduler(scheduler), note],
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
    """The same training under the same function, from the weights that Keras began with."""
    training, validation = tutorial.loaders(inputs, labels, BATCH_SIZE, VALIDATION_SPLIT)
    recorder = LearningRateRecorder()
    module = Classifier(weights)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[LearningRateScheduler(scheduler), recorder],
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
