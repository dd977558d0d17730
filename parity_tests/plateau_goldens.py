"""Which plateau goldens there are, their files, and what lrparity says about each trace.

``golden/plateau/traces.jsonl`` holds the traces, one JSON object to a line.  Each version's file tells
where its outcomes come from and holds one text for each trace::

    "wait cooldown best epoch:rate epoch:rate ..."

the state after the last epoch, and each epoch that reduced with the bits of the float32 rate since.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrparity.controllers import Controller, ReduceLROnPlateau, resolve_mode
from plateau_traces import Outcome, Trace, bits, float32

FOLDER = Path(__file__).parent / "golden" / "plateau"
TRACES_FILE = FOLDER / "traces.jsonl"
SEED, COUNT = 20240229, 500
FORMAT = "lrparity plateau golden 1"


@dataclass(frozen=True)
class Version:
    """A Keras whose outcomes are kept.

    Attributes:
        keras: its version.
        numpy: the release that it runs next to; None: the installed one.
        source: whether its source is run on stand-ins, as it cannot be imported any more.
    """

    keras: str
    numpy: str | None = None
    source: bool = False

    @property
    def numpy_major(self) -> int:
        return 1 if self.numpy else 2

    @property
    def name(self) -> str:
        return f"keras-{self.keras}-numpy-{self.numpy_major}"

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.json"


NUMPY_1 = "1.26.4"
VERSIONS = (
    *(
        Version(keras, NUMPY_1, source=True)
        for keras in ("1.2.2", "2.0.9", "2.1.5", "2.1.6", "2.3.1", "2.15.0")
    ),
    # tf_keras, which has this source, is the one that meets NumPy 2.
    Version("2.15.0", source=True),
    Version("3.10.0"),
    Version("3.11.3"),
    Version("3.14.0"),
    Version("3.15.1"),
)


def load_traces() -> list[Trace]:
    return [Trace.from_line(line) for line in TRACES_FILE.read_text("utf-8").splitlines()]


def traces_digest() -> str:
    return hashlib.sha256(TRACES_FILE.read_bytes()).hexdigest()


def load(version: Version) -> tuple[dict[str, Any], list[Outcome]]:
    """A version's provenance and outcomes."""
    content = json.loads(version.path.read_text("utf-8"))
    return content["provenance"], [Outcome.from_text(text) for text in content["outcomes"]]


def save(version: Version, provenance: dict[str, Any], outcomes: list[Outcome]) -> bool:
    """Write a version's file, unless it says the same of the same traces."""
    if version.path.exists():
        old, kept = load(version)
        digests = (about["traces_sha256"] for about in (old, provenance))
        if len(set(digests)) == 1 and len(kept) == len(outcomes) and all(map(same, kept, outcomes)):
            return False
    head = json.dumps({"format": FORMAT, "provenance": provenance}, indent=1)
    lines = ",\n".join(json.dumps(outcome.to_text()) for outcome in outcomes)
    version.path.write_text(f'{head[:-2]},\n "outcomes": [\n{lines}\n]}}\n', "utf-8")
    return True


def simulate(
    trace: Trace,
    keras_version: str,
    numpy_major: int = 2,
    make: Callable[..., Controller] = ReduceLROnPlateau,
) -> tuple[Outcome, list[float]]:
    """What a controller does on a trace, and the rates that it assigned, before rounding."""
    try:
        mode = resolve_mode(trace.mode, trace.monitor, keras_version)
    except ValueError:
        return Outcome(refused=True), []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`factor`.* is not positive")
        controller = make(
            factor=np.float64(trace.factor) if trace.float64_factor else trace.factor,
            patience=trace.patience,
            mode=mode,
            min_delta=trace.min_delta,
            cooldown=trace.cooldown,
            min_lr=trace.min_lr,
            keras_version=keras_version,
            numpy_major=numpy_major,
        )
    lr = float32(trace.learning_rate)
    reductions, assigned = [], []
    for epoch, begins, metric in trace.epochs:
        if begins:
            controller.reset()
        if metric is None:
            continue
        decision = controller.update(metric, [lr])
        if decision.changed:
            (lr,) = decision.lrs
            reductions.append((epoch, bits(lr)))
            assigned += decision.assigned
        else:
            assert decision.lrs == decision.assigned == (lr,)
    state = controller.wait, controller.cooldown_counter, controller.best
    return Outcome(tuple(reductions), *state), assigned


def same(a: Outcome, b: Outcome) -> bool:
    """Whether two outcomes agree in every epoch and every bit."""
    return a.to_text() == b.to_text()  # the texts: NaN is no equal of itself
