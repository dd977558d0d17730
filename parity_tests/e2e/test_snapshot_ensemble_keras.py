"""The example, which trains a snapshot ensemble in Keras and in Lightning: they agree, and it can fail."""

import re

import numpy as np
import pytest

from examples_side import EXAMPLES, run_python
from lrparity.schedules import SnapshotCosine
from lrparity.trajectory import Trajectory, compare

SCRIPT = str(EXAMPLES / "snapshot_ensemble.py")

pytestmark = pytest.mark.keras


def test_the_example(tmp_path):
    out = tmp_path / "ensemble.png"
    finished = run_python(SCRIPT, "--epochs", "12", "--cycles", "3", "--out", str(out))
    assert finished.stderr == ""
    assert finished.returncode == 0, finished.stdout
    rows = [
        line.split() for line in finished.stdout.splitlines() if re.match("snapshot_|ens", line)
    ]
    assert [row[0] for row in rows] == ["snapshot_1", "snapshot_2", "snapshot_3", "ensemble"]
    assert [row[1] for row in rows[:-1]] == ["4", "8", "12"]
    for name, *numbers in rows:
        values = [float(one) for one in (numbers if name == "ensemble" else numbers[1:])]
        keras_accuracy, accuracy, keras_loss, loss, *apart = values
        assert keras_accuracy == accuracy
        assert abs(keras_loss - loss) < 2e-4
        assert all(0 < one < 1e-5 for one in apart)
    assert "snapshots after the same epochs" in finished.stdout
    assert "identical: 0 of 168 rates differ" in finished.stdout
    assert out.read_bytes().startswith(b"\x89PNG")
    assert (EXAMPLES / "snapshot_ensemble.png").stat().st_size > 30_000


PLANTED = """
import runpy
import sys

from lrparity import callbacks
from lrparity.schedules import SnapshotCosine

script, SnapshotEnsemble = sys.argv[-1], callbacks.SnapshotEnsemble
plants = (
    lambda epochs, cycles, lr_max, **more: SnapshotEnsemble(epochs, cycles, 1.00001 * lr_max, **more),
    lambda epochs, cycles, lr_max, **more: SnapshotEnsemble(
        schedule=SnapshotCosine(4, 2, 0.1), cycle_ends=[1, 4], **more
    ),
)
for plant in plants:
    callbacks.SnapshotEnsemble = plant
    sys.argv = [script, "--epochs", "4", "--cycles", "2"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        print("STATUS", end.code)
"""


def test_another_rate_and_another_epoch_are_found():
    finished = run_python("-W", "ignore", "-c", PLANTED, SCRIPT)
    assert finished.returncode == 0, finished.stderr
    rate, epoch, rest = finished.stdout.split("STATUS 1")
    assert rest.strip() == ""
    assert "different: " in rate
    assert "snapshots after the same epochs" in rate
    assert "identical" in epoch
    assert "snapshots after OTHER epochs" in epoch


@pytest.mark.parametrize(("epochs", "cycles"), [(12, 3), (10, 4), (7, 7), (5, 1)])
def test_rates_and_epochs_of_the_classic_callbacks(epochs, cycles, seed, tmp_path):
    """As people write it: the rate by a LearningRateScheduler, weights every so many epochs."""
    import math

    import keras
    import torch

    from lightning_side import Tiny, make_trainer
    from lrparity.callbacks import LearningRateRecorder, SnapshotEnsemble

    rate = float(np.random.default_rng(seed).uniform(0.01, 1.0))
    length = epochs // cycles

    def cosine(epoch):
        inner = np.pi * (epoch % length)
        inner /= length
        return float(rate / 2 * (np.cos(inner) + 1))

    class Snapshots(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if (epoch + 1) % length == 0 and (epoch + 1) // length <= cycles:
                self.model.save_weights(tmp_path / f"keras-{(epoch + 1) // length}.weights.h5")
                taken.append(epoch)

    taken, rates = [], []
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    note = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    model.fit(
        np.zeros((5, 1)),
        np.zeros((5, 1)),
        batch_size=1,
        epochs=epochs,
        callbacks=[keras.callbacks.LearningRateScheduler(cosine), Snapshots(), note],
        verbose=0,
    )
    if epochs % cycles:
        with pytest.warns(UserWarning, match="no multiple"):
            ensemble = SnapshotEnsemble(epochs, cycles, rate, dirpath=tmp_path / "ours")
    else:
        ensemble = SnapshotEnsemble(epochs, cycles, rate, dirpath=tmp_path / "ours")
    recorder = LearningRateRecorder()
    trainer = make_trainer([ensemble, recorder], max_epochs=epochs)
    if epochs % cycles:
        with pytest.warns(UserWarning, match="after it have no snapshot"):
            trainer.fit(Tiny())
    else:
        trainer.fit(Tiny())
    found = compare(Trajectory(rates), recorder.trajectory)
    assert found.differing == 0, f"seed {seed}: {found}"
    assert taken == [one.epoch for one in ensemble.snapshots]
    assert math.isclose(
        recorder.trajectory.learning_rate[0], SnapshotCosine(epochs, cycles, rate)(0)
    )
    assert torch.load(ensemble.paths[-1], weights_only=True)["account"] == [5 * (taken[-1] + 1)]
