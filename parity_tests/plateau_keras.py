"""Traces through Keras' own ``ReduceLROnPlateau``: a live one, or the source of an old one.

As a script it is the recorder's child process: one Keras version next to the NumPy it finds there.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from plateau_traces import Outcome, Trace, bits

MESSAGE = re.compile(r"reducing (?:(\S+) )?learning rate to (\S+)\.$", re.MULTILINE)
REFUSAL = "automatically determine"
RUNS_ON = ("numpy", "tensorflow")


def drive(
    trace: Trace,
    callback_class: Callable[..., Any],
    optimizer: Any,
    rate: property,
    delta_name: str = "min_delta",
) -> tuple[Outcome, list[str]]:
    """What the callback does to the optimizer's rate, and the numbers in its messages.

    Args:
        trace: the experiment.
        callback_class: the callback.
        optimizer: what its model has.
        rate: gets and sets the optimizer's rate.
        delta_name: what the version calls ``min_delta``.
    """
    rate.fset(optimizer, trace.learning_rate)
    reductions, printed = [], []
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()) as output:
        warnings.simplefilter("ignore")
        callback = callback_class(
            monitor=trace.monitor,
            factor=np.float64(trace.factor) if trace.float64_factor else trace.factor,
            patience=trace.patience,
            mode=trace.mode,
            cooldown=trace.cooldown,
            min_lr=trace.min_lr,
            verbose=1,
            **{delta_name: trace.min_delta},
        )
        callback.set_model(types.SimpleNamespace(optimizer=optimizer, metrics=[]))
        held = bits(rate.fget(optimizer))
        for epoch, begins, metric in trace.epochs:
            if begins:
                callback.on_train_begin({})
            try:
                callback.on_epoch_end(epoch, {} if metric is None else {trace.monitor: metric})
            except ValueError as error:
                if REFUSAL not in str(error):
                    raise
                return Outcome(refused=True), []
            now = bits(rate.fget(optimizer))
            messages = MESSAGE.findall(output.getvalue())
            assert len(messages) <= 1
            if messages:
                reductions.append((epoch, now))
                printed.append(messages[0][1])
                output.seek(0)
                output.truncate()
            assert messages or now == held, "the rate changed without a message"
            held = now
    best = None if callback.best is None else float(callback.best)
    return Outcome(tuple(reductions), callback.wait, callback.cooldown_counter, best), printed


def live_rate() -> property:
    """The rate of an optimizer of Keras 3 or tf_keras."""

    def get(optimizer: Any) -> float:
        return float(optimizer.learning_rate.numpy())

    def set_(optimizer: Any, value: float) -> None:
        optimizer.learning_rate = value

    return property(get, set_)


class OldOptimizer:
    """The rate as the old backend holds it: a float32 variable."""

    lr = np.float32(0)


def set_value(_: Any, value: Any) -> None:
    """The old backend's ``set_value``: it rounds to the variable's dtype."""
    with np.errstate(over="ignore"):
        OldOptimizer.lr = np.asarray(value, dtype="float32")[()]


OLD_RATE = property(lambda _: float(OldOptimizer.lr), set_value)


class OldCallback:
    """What the callback needs of its base class."""

    def set_model(self, model: Any) -> None:
        self.model = model


class OldNumPy(types.ModuleType):
    """NumPy with the name of infinity that NumPy 2 took away."""

    Inf = np.inf

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def old_callback(source: str, version: str) -> tuple[type, str]:
    """The class out of an old ``callbacks.py``, and what it calls ``min_delta``.

    Nothing else of the file runs: the class is taken out and meets stand-ins for what it uses.
    """
    tree = ast.parse(source)
    (node,) = (
        n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "ReduceLROnPlateau"
    )
    node.decorator_list = []
    backend = types.SimpleNamespace(get_value=lambda x: x, set_value=set_value)
    names: dict[str, Any] = {
        "Callback": OldCallback,
        "K": backend,
        "backend": backend,
        "np": OldNumPy("numpy"),
        "warnings": warnings,
        "logging": types.SimpleNamespace(warning=lambda *arguments: None),
        "io_utils": types.SimpleNamespace(print_msg=print),
    }
    where = f"keras {version} callbacks.py"
    exec(compile(ast.Module([node], []), where, "exec"), names)
    cls = names["ReduceLROnPlateau"]
    arguments = cls.__init__.__code__.co_varnames
    return cls, "min_delta" if "min_delta" in arguments else "epsilon"


def outcomes_of_source(source: str, version: str, traces: list[Trace]) -> list[Outcome]:
    """The traces through an old version's source."""
    cls, delta_name = old_callback(source, version)
    optimizer = OldOptimizer()
    return [drive(trace, cls, optimizer, OLD_RATE, delta_name)[0] for trace in traces]


def outcomes_of_installed(traces: list[Trace]) -> list[Outcome]:
    """The traces through the Keras 3 that Python finds, on a real optimizer."""
    import keras

    optimizer = keras.optimizers.SGD()
    cls = keras.callbacks.ReduceLROnPlateau
    return [drive(trace, cls, optimizer, live_rate())[0] for trace in traces]


def main(version: str, traces_file: str, source_file: str | None = None) -> None:
    """Print what the process runs on, then one outcome to a line."""
    traces = [Trace.from_line(line) for line in Path(traces_file).read_text().splitlines()]
    if source_file:
        outcomes = outcomes_of_source(Path(source_file).read_text("utf-8"), version, traces)
    else:
        import keras

        assert keras.__version__ == version, keras.__version__
        assert keras.backend.backend() == "tensorflow"
        outcomes = outcomes_of_installed(traces)
    print(
        " ".join(
            f"{name}={sys.modules[name].__version__}" for name in RUNS_ON if name in sys.modules
        )
    )
    for outcome in outcomes:
        print(outcome.to_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
