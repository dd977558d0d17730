"""A learning rate for each layer, in Keras and in Lightning: the lower a layer lies, the smaller.

Keras: a ``MultiOptimizer`` with an optimizer for each layer, under the schedule times ``decay ** depth``.
Here: one optimizer, with param groups by the names of the layers, and one schedule for all of them.  The
lowest layer is frozen at first, and thawed after a third of the epochs, which in Keras takes a second
``compile``.

Usage: python examples/discriminative_rates.py [--data ionosphere.csv] [--epochs 30] [--decay 0.3]
"""

import sys

import lightning.pytorch as lightning
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.network import weights_of
from demo_parts.run import distance
from lrparity import optim
from lrparity.callbacks import LearningRateRecorder, ScheduleLR
from lrparity.schedules import CosineDecay
from lrparity.trajectory import Trajectory, compare

RATE, MOMENTUM, BATCH_SIZE, VALIDATION_SPLIT = 0.1, 0.8, 28, 0.33
LAYERS = ("first", "second", "head")
SECOND_UNITS = 10


def train_in_keras(inputs, labels, epochs, steps, decay):
    """The rates of each layer, the accuracy, and the weights, before and after."""
    from keras import Input, Sequential, callbacks, layers, optimizers, utils

    class Scaled(optimizers.schedules.LearningRateSchedule):
        """What people write for want of a multiplier: the schedule, times a number."""

        def __init__(self, schedule, factor):
            self.schedule, self.factor = schedule, factor

        def __call__(self, step):
            return self.schedule(step) * self.factor

        def get_config(self):
            return {"schedule": self.schedule, "factor": self.factor}

    utils.set_random_seed(7)
    columns = inputs.shape[1]
    model = Sequential([Input([columns])])
    model.add(layers.Dense(columns, activation="relu", name="first"))
    model.add(layers.Dense(SECOND_UNITS, activation="relu", name="second"))
    model.add(layers.Dense(1, activation="sigmoid", name="head"))
    before = model.get_weights()

    cosine = optimizers.schedules.CosineDecay(RATE, decay_steps=steps)
    each = {
        name: optimizers.SGD(Scaled(cosine, decay ** (2 - i)), momentum=MOMENTUM)
        for i, name in enumerate(LAYERS)
    }
    rates = {name: [] for name in LAYERS}

    def note(batch, logs):
        for name, optimizer in each.items():
            rates[name].append(float(optimizer.learning_rate))

    accuracies = []
    frozen = epochs // 3
    for trainable, begin, end in ((False, 0, frozen), (True, frozen, epochs)):
        model.get_layer("first").trainable = trainable
        chosen = optimizers.OptimizerMap(each["head"])
        for name in LAYERS[:2]:
            chosen[f".*/{name}/.*"] = each[name]  # of the whole path: "sequential/first/kernel"
        model.compile(
            optimizers.MultiOptimizer(chosen), loss="binary_crossentropy", metrics=["accuracy"]
        )
        if begin == end:
            continue
        if trainable:  # it has made no update yet, and counts from where the others are
            each["first"].iterations.assign(each["head"].iterations)
        history = model.fit(
            inputs,
            labels,
            validation_split=VALIDATION_SPLIT,
            initial_epoch=begin,
            epochs=end,
            batch_size=BATCH_SIZE,
            shuffle=False,
            callbacks=[callbacks.LambdaCallback(on_train_batch_begin=note)],
            verbose=0,
        )
        accuracies += history.history["val_accuracy"]
    return rates, accuracies, before, model.get_weights()


class Classifier(lightning.LightningModule):
    """The same network, but for the sigmoid: it is part of the loss."""

    def __init__(self, weights, decay, frozen):
        super().__init__()
        columns = len(weights[0])
        self.network = torch.nn.Sequential()
        self.network.first = torch.nn.Linear(columns, columns)
        self.network.append(torch.nn.ReLU())
        self.network.second = torch.nn.Linear(columns, SECOND_UNITS)
        self.network.append(torch.nn.ReLU())
        self.network.head = torch.nn.Linear(SECOND_UNITS, 1)
        with torch.no_grad():
            for parameter, value in zip(self.network.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(value.T))
        self.decay, self.frozen = decay, frozen
        self.accuracies = []

    def configure_optimizers(self):
        """One group for each layer; the frozen one is among them."""
        scales = optim.layer_decay(self.network, self.decay, ["first", "second"])
        return optim.SGD(optim.param_groups(self.network, scales), lr=RATE, momentum=MOMENTUM)

    def on_train_epoch_start(self):
        """Thaw: the param group is there, and so is its rate."""
        self.network.first.requires_grad_(self.current_epoch >= self.frozen)

    def training_step(self, batch, batch_idx):
        """The loss of a batch."""
        inputs, labels = batch
        return binary_cross_entropy_with_logits(self.network(inputs), labels)

    def validation_step(self, batch, batch_idx):
        """The accuracy after an epoch."""
        inputs, labels = batch
        right = (self.network(inputs) > 0) == (labels > 0.5)
        self.log("val_accuracy", right.float().mean())

    def on_validation_epoch_end(self):
        """Keep it."""
        if not self.trainer.sanity_checking:
            self.accuracies.append(float(self.trainer.callback_metrics["val_accuracy"]))


def train_in_lightning(inputs, labels, epochs, steps, decay, weights):
    """The same training, from the weights that Keras began with."""
    training, validation = tutorial.loaders(inputs, labels, BATCH_SIZE, VALIDATION_SPLIT)
    recorder = LearningRateRecorder()
    module = Classifier(weights, decay, epochs // 3)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[ScheduleLR(CosineDecay(RATE, decay_steps=steps)), recorder],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, training, validation)
    series = ("learning_rate/first", "learning_rate/second", "learning_rate/default")
    rates = {name: recorder.trajectory.rates[one] for name, one in zip(LAYERS, series, strict=True)}
    return rates, module.accuracies, weights_of(module.network)


def main():
    about = {"type": float, "default": 0.3, "help": "of one layer to the one below (%(default)s)"}
    inputs, labels, epochs, decay = tutorial.begin(
        __doc__.partition("\n")[0], {"--decay": about}, epochs=30
    )
    per_epoch = -(-int(len(inputs) * (1 - VALIDATION_SPLIT)) // BATCH_SIZE)
    training = inputs, labels, epochs, epochs * per_epoch, decay
    keras, keras_accuracies, before, keras_weights = train_in_keras(*training)
    ours, accuracies, weights = train_in_lightning(*training, before)

    print("              first layer             second layer                head")
    print("epoch        Keras    Lightning        Keras    Lightning        Keras    Lightning")
    for epoch in sorted({0, *range(4, epochs, 5), epochs - 1}):
        k = epoch * per_epoch
        shown = [f"{run[name][k]:12.5g}" for name in LAYERS for run in (keras, ours)]
        if epoch < epochs // 3:
            shown[:2] = [f"{'frozen':>12}"] * 2
        print(f"{epoch + 1:5}", *shown)
    # While it is frozen, Keras' optimizer of the first layer makes no update, and does not count.
    begin = epochs // 3 * per_epoch
    for run in (keras, ours):
        run["first"] = run["first"][begin:]
    found = compare(Trajectory(keras), Trajectory(ours))
    print(f"\n{found}")
    same = sum(a == b for a, b in zip(keras_accuracies, accuracies, strict=True))
    print(f"validation accuracy: {accuracies[-1]:.4f}, the same after {same} of {epochs} epochs")
    print(f"final weights: max|dw| / max|w| = {distance(keras_weights, weights):.1e}")
    return 0 if found.identical else 1


if __name__ == "__main__":
    sys.exit(main())
