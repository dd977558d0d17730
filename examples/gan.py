"""Two optimizers, each under its own schedule: a GAN, in Keras and in Lightning, side by side.

The discriminator is updated with every batch, the generator with every second one, so that the two
count differently.  One callback drives both, each by its own updates.

Usage: python examples/gan.py [--data ionosphere.csv] [--epochs 30]
"""

import sys

import lightning.pytorch as lightning
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from demo_parts import tutorial
from demo_parts.network import make_network, weights_of
from demo_parts.run import distance
from lrparity import optim, schedules
from lrparity.callbacks import ScheduleLR
from lrparity.trajectory import Trajectory, compare

BATCH_SIZE, NOISE, UNITS = 28, 8, 24
DISCRIMINATOR = {"boundaries": [100, 250], "values": [0.05, 0.02, 0.01]}
GENERATOR = {
    "initial_learning_rate": 0.0,
    "decay_steps": 200,
    "alpha": 0.1,
    "warmup_target": 0.1,
    "warmup_steps": 40,
}
ROLES = ("discriminator", "generator")


def batches_of(inputs, epochs):
    """The real rows and the noise of every batch: both sides train on the same."""
    rng = np.random.default_rng(7)
    count = len(inputs) // BATCH_SIZE
    real = inputs[: count * BATCH_SIZE].reshape(count, BATCH_SIZE, -1)
    noise = rng.standard_normal((epochs, count, BATCH_SIZE, NOISE)).astype(np.float32)
    return real, noise


def train_in_keras(real, noise):
    """The rates of each optimizer's updates, and the weights, before and after."""
    import tensorflow as tf
    from keras import Sequential, layers, losses, optimizers, utils

    utils.set_random_seed(7)
    columns = real.shape[-1]
    sizes = {"discriminator": (columns, 1), "generator": (NOISE, columns)}
    models = {}
    for role, (width, out) in sizes.items():
        models[role] = Sequential([layers.Dense(UNITS, activation="relu"), layers.Dense(out)])
        models[role].build((None, width))
    before = {role: model.get_weights() for role, model in models.items()}
    made = {
        "discriminator": optimizers.SGD(
            optimizers.schedules.PiecewiseConstantDecay(**DISCRIMINATOR), momentum=0.5
        ),
        "generator": optimizers.SGD(optimizers.schedules.CosineDecay(**GENERATOR), momentum=0.5),
    }
    for role, optimizer in made.items():
        optimizer.build(models[role].trainable_variables)
    loss = losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def update(role, rows, seed):
        with tf.GradientTape() as tape:
            faked = models["discriminator"](models["generator"](seed))
            if role == "generator":
                value = loss(tf.ones_like(faked), faked)
            else:
                truth = models["discriminator"](rows)
                value = loss(tf.ones_like(truth), truth) + loss(tf.zeros_like(faked), faked)
        variables = models[role].trainable_variables
        made[role].apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))

    rates = {role: [] for role in ROLES}
    for epoch in noise:
        for number, (rows, seed) in enumerate(zip(real, epoch, strict=True)):
            for role in ROLES[: 1 + number % 2]:
                rates[role].append(float(made[role].learning_rate))
                update(role, rows, seed)
    return rates, before, {role: model.get_weights() for role, model in models.items()}


class Gan(lightning.LightningModule):
    """Manual optimisation, as Lightning asks for where there are two optimizers."""

    def __init__(self, weights):
        super().__init__()
        self.automatic_optimization = False
        self.discriminator = make_network(weights["discriminator"])
        self.generator = make_network(weights["generator"])
        self.rates = {role: [] for role in ROLES}

    def configure_optimizers(self):
        """No schedulers: the callback drives both."""
        return [optim.SGD(getattr(self, role).parameters(), 0.1, momentum=0.5) for role in ROLES]

    def loss_of(self, role, rows, seed):
        """The discriminator tells real from fake; the generator wants its fakes taken for real."""
        faked = self.discriminator(self.generator(seed))
        ones = torch.ones_like(faked)
        if role == "generator":
            return binary_cross_entropy_with_logits(faked, ones)
        return binary_cross_entropy_with_logits(
            self.discriminator(rows), ones
        ) + binary_cross_entropy_with_logits(faked, torch.zeros_like(faked))

    def training_step(self, batch, batch_idx):
        """One update of the discriminator, and with every second batch one of the generator."""
        for role, optimizer in zip(ROLES[: 1 + batch_idx % 2], self.optimizers(), strict=False):
            self.rates[role].append(optimizer.param_groups[0]["lr"])
            loss = self.loss_of(role, *batch)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()


def train_in_lightning(real, noise, weights):
    """The same training, from the weights that Keras began with."""
    module = Gan(weights)
    rows = torch.from_numpy(real)

    class Batches(torch.utils.data.IterableDataset):
        def __iter__(self):
            return zip(rows, torch.from_numpy(noise[module.current_epoch]), strict=True)

    driver = ScheduleLR(
        {
            0: schedules.PiecewiseConstantDecay(**DISCRIMINATOR),
            1: schedules.CosineDecay(**GENERATOR),
        }
    )
    trainer = lightning.Trainer(
        max_epochs=len(noise),
        callbacks=[driver],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(Batches(), batch_size=None))
    return module.rates, {role: weights_of(getattr(module, role)) for role in ROLES}


def main():
    inputs, _, epochs = tutorial.begin(__doc__.partition("\n")[0], epochs=30)
    real, noise = batches_of(inputs, epochs)
    theirs, before, keras_weights = train_in_keras(real, noise)
    ours, weights = train_in_lightning(real, noise, before)
    status = 0
    print("optimizer       updates   first rate    last rate   bits that differ   max|dw| / max|w|")
    for role in ROLES:
        found = compare(Trajectory(theirs[role]), Trajectory(ours[role]))
        status |= not found.identical
        differ = int((np.float32(theirs[role]) != np.float32(ours[role])).sum())
        apart = distance(keras_weights[role], weights[role])
        print(
            f"{role:14}{len(ours[role]):9}{ours[role][0]:13.9f}{ours[role][-1]:13.9f}"
            f"{differ:19}{apart:19.1e}"
        )
        if not found.identical:
            print(found)
    return status


if __name__ == "__main__":
    sys.exit(main())
