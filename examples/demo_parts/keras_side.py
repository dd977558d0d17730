"""The Keras side: ``model.fit``, and how the learning rates are read out of it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from demo_parts.data import BATCH_SIZE, Split
from demo_parts.progress import Progress
from demo_parts.recipes import Recipe
from demo_parts.run import Run, Weights
from lrparity.trajectory import Trajectory, provenance


def prepare() -> None:
    """Load Keras 3 on TensorFlow and tf_keras, on one CPU thread, and without their log lines.

    Raises:
        ImportError: one of them cannot be loaded, or ``keras`` is older than Keras 3.
    """
    verbose = "TF_CPP_MIN_LOG_LEVEL" in os.environ and os.environ["TF_CPP_MIN_LOG_LEVEL"] != "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # on a GPU the rates and the sums have other bits
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with contextlib.nullcontext() if verbose else _silent_stderr():
        import keras
        import tensorflow as tf
        import tf_keras

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.list_physical_devices()
    if keras.__version__.startswith("2."):
        raise ImportError(f"keras {keras.__version__} is installed; the demo needs Keras 3")
    tf.get_logger().setLevel("ERROR")  # tf_keras would remark that our callback takes its time
    for house in (keras, tf_keras):  # a user's keras.json may say otherwise
        house.backend.set_floatx("float32")
        house.mixed_precision.set_global_policy("float32")


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keep from the terminal what TensorFlow's C++ writes while it loads; show it on an error."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def train(
    recipe: Recipe,
    data: Split,
    weights: Weights,
    about: dict[str, str | int],
    progress: Progress,
    *,
    probed: bool = True,
) -> Run:
    """Train the network by ``model.fit``; without the probe there are no applied rates."""
    keras, optimizer, callbacks = recipe.in_keras()
    inputs = keras.Input((data.columns,))
    probe = make_probe(keras) if probed else None
    hidden = keras.layers.Dense(data.columns, activation="relu")
    output = keras.layers.Dense(1, activation="sigmoid")
    seen = inputs if probe is None else probe(inputs)
    model = keras.Model(inputs, output(hidden(seen)))
    hidden.set_weights(weights[:2])
    output.set_weights(weights[2:])
    model.compile(
        optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    recorder = make_recorder(keras, optimizer, probe, (hidden, output), progress)
    history = model.fit(
        rows(data.inputs, data.labels, BATCH_SIZE),
        epochs=recipe.epochs,
        shuffle=False,
        validation_data=rows(
            data.validation_inputs, data.validation_labels, len(data.validation_labels)
        ),
        callbacks=[*callbacks, recorder],
        verbose=0,
    )
    metrics = {name: history.history[name] for name in ("loss", "val_loss", "val_accuracy")}
    origin = provenance(keras.__name__, backend="tensorflow", **about)
    reported = Trajectory(recorder.reported, metrics=metrics, provenance=origin)
    applied = Trajectory(recorder.applied, reading="applied", metrics=metrics, provenance=origin)
    keras.backend.clear_session()
    return Run(applied, recorder.weights, reported, recorder.losses, recorder.losses)


def rows(inputs: Any, labels: Any, batch_size: int) -> Any:
    """Batches of rows in their order: those that ``model.fit`` makes of arrays, in a fifth of the time."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(batch_size)


def make_probe(keras: Any) -> Any:
    """A layer that hands its input on, with one more weight whose gradient is exactly 1.

    The loss gets ``w - stop_gradient(w)``, which is 0 and grows with w at the rate 1.  If the
    momentum of w is set to 0 before an update, ``v = momentum * v - rate * gradient`` leaves
    ``-rate`` in it: the learning rate that the compiled update multiplied by, to the bit.  The
    gradients of the other weights do not notice.
    """
    import tensorflow as tf

    class Probe(keras.layers.Layer):  # type: ignore[misc]
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(name="probe", shape=(), initializer="zeros")

        def call(self, inputs: Any) -> Any:
            self.add_loss(self.w - tf.stop_gradient(self.w))
            return inputs

    return Probe()


def make_recorder(
    keras: Any, optimizer: Any, probe: Any, layers: tuple[Any, ...], progress: Progress
) -> Any:
    """A callback that writes down each update's rates and losses, and the weights after each epoch."""
    import tensorflow as tf

    legacy = keras.__name__ == "tf_keras"

    class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.reported: list[float] = []
            self.applied: list[float] = []
            self.losses: list[float] = []
            self.weights: list[Weights] = []

        def on_train_begin(self, logs: Any = None) -> None:
            if probe is None:
                return
            if legacy:
                self.momentum = optimizer.add_slot(probe.w, "momentum")
            else:
                optimizer.build(self.model.trainable_variables)
                (self.momentum,) = [v for v in optimizer.momentums if v.shape == ()]

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            # With decay=, the old optimizers show the base rate; what they derive from it counts.
            rate = optimizer._decayed_lr(tf.float32) if legacy else optimizer.learning_rate
            self.reported.append(float(rate))
            if probe is not None:
                self.momentum.assign(0.0)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.losses.append(logs["loss"])  # the mean of the epoch so far
            if probe is not None:
                self.applied.append(0.0 - float(self.momentum.numpy()))  # and not -v: no -0.0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.weights.append([array for layer in layers for array in layer.get_weights()])
            progress.epoch(epoch, logs["loss"])

    return Recorder()
