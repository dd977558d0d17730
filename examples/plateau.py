"""``ReduceLROnPlateau``, in Keras and in Lightning, side by side.

The rate is halved whenever the validation loss has not improved for three epochs.  It depends on the
training, and so the training has to be the same: `lrparity.optim.SGD` is Keras' update rule.

Usage: python examples/plateau.py [--data ionosphere.csv] [--epochs 50]
"""

import sys

import lightning.pytorch as lightning
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.comparison import closest_call
from demo_parts.network import make_network, weights_of
from lrparity import optim
from lrparity.callbacks import LearningRateRecorder, ReduceLROnPlateau
from lrparity.trajectory import Trajectory

RATE, MOMENTUM, BATCH_SIZE, VALIDATION_SPLIT = 0.1, 0.9, 28, 0.33
MIN_DELTA = 0.005
PLATEAU = {
    "monitor": "val_loss",
    "factor": 0.5,
    "patience": 3,
    "min_delta": MIN_DELTA,
    "cooldown": 1,
    "min_lr": 0.001,
}


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
        callbacks=[callbacks.ReduceLROnPlateau(**PLATEAU), note],
        verbose=0,
    )
    return Trajectory(rates, metrics=history.history), before, model.get_weights()


class Classifier(lightning.LightningModule):
    """The same network, but for the sigmoid: it is part of the loss."""

    def __init__(self, weights):
        super().__init__()
        self.network = make_network(weights)

    def configure_optimizers(self):
        """Keras' SGD, and no scheduler: the plateau is a callback of the Trainer."""
        return optim.SGD(self.parameters(), lr=RATE, momentum=MOMENTUM)

    def training_step(self, batch, batch_idx):
        """The loss of a batch; Lightning averages it over the epoch."""
        inputs, labels = batch
        loss = binary_cross_entropy_with_logits(self.network(inputs), labels)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        """What the plateau monitors, averaged over the rows as in Keras, and the accuracy."""
        inputs, labels = batch
        logits = self.network(inputs)
        right = (logits > 0) == (labels > 0.5)
        self.log("val_loss", binary_cross_entropy_with_logits(logits, labels))
        self.log("val_accuracy", right.float().mean())


def train_in_lightning(inputs, labels, epochs, weights):
    """The same training by the same rule, from the weights that Keras began with."""
    training, validation = tutorial.loaders(inputs, labels, BATCH_SIZE, VALIDATION_SPLIT)
    recorder = LearningRateRecorder()
    module = Classifier(weights)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[ReduceLROnPlateau(**PLATEAU), recorder],
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
    status = tutorial.report(keras, ours, keras_weights, weights)
    for name, run in (("Keras", keras), ("Lightning", ours)):
        print(f"{name} reduces after epoch", *tutorial.changes(run))
    theirs, mine = (run.metrics["val_loss"] for run in (keras, ours))
    print(
        f"val_loss comes within {closest_call(theirs, MIN_DELTA):.1e} of the threshold; Keras' and "
        f"Lightning's are {abs(theirs - mine).max():.1e} apart"
    )
    return status


if __name__ == "__main__":
    sys.exit(main())
