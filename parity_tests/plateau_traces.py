"""Plateau traces: arguments of the callback, the optimizer's rate, and what one metric does.

Only the standard library: the recorder of old Keras versions imports this next to another NumPy.
"""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

Fit = tuple[float | None, ...]
SKIPPED, NEXT_FIT = "-", "|"


@dataclass(frozen=True)
class Trace:
    """One experiment; with ``float64_factor`` Keras gets the factor as a ``np.float64``.

    ``fits`` holds the metric of each epoch of each ``fit``; None where the epoch has none.
    """

    mode: str
    monitor: str
    factor: float
    float64_factor: bool
    patience: int
    min_delta: float
    cooldown: int
    min_lr: float
    learning_rate: float
    fits: tuple[Fit, ...]

    @property
    def epochs(self) -> Iterator[tuple[int, bool, float | None]]:
        """Each epoch's number over all fits, whether it begins a fit, and its metric."""
        number = 0
        for fit in self.fits:
            for i, metric in enumerate(fit):
                yield number, i == 0, metric
                number += 1

    def to_line(self) -> str:
        """One line of JSON; the metrics are one text: they are most of it."""
        fits = (" ".join(SKIPPED if m is None else repr(m) for m in fit) for fit in self.fits)
        return json.dumps(asdict(self) | {"fits": f" {NEXT_FIT} ".join(fits)})

    @classmethod
    def from_line(cls, line: str) -> Trace:
        fields: dict[str, Any] = json.loads(line)
        fits = fields.pop("fits").split(NEXT_FIT)
        metrics = (tuple(None if m == SKIPPED else float(m) for m in f.split()) for f in fits)
        return cls(**fields, fits=tuple(metrics))


@dataclass(frozen=True)
class Outcome:
    """What a callback did on a trace.

    Attributes:
        reductions: the epochs in which it set the rate, and the bits of the float32 that it then had.
            They may be the bits of before.  No other epoch changes the rate.
        wait, cooldown, best: its state after the last epoch.
        refused: it cannot tell the mode of this metric; nothing else is known then.
    """

    reductions: tuple[tuple[int, str], ...] = ()
    wait: int = 0
    cooldown: int = 0
    best: float | None = None
    refused: bool = False

    def to_text(self) -> str:
        if self.refused:
            return "refused"
        best = SKIPPED if self.best is None else repr(self.best)
        changes = (f"{epoch}:{bits}" for epoch, bits in self.reductions)
        return " ".join([f"{self.wait} {self.cooldown} {best}", *changes])

    @classmethod
    def from_text(cls, text: str) -> Outcome:
        if text == "refused":
            return cls(refused=True)
        wait, cooldown, best, *changes = text.split()
        pairs = (change.split(":") for change in changes)
        return cls(
            tuple((int(epoch), bits) for epoch, bits in pairs),
            int(wait),
            int(cooldown),
            None if best == SKIPPED else float(best),
        )


def float32(value: float) -> float:
    """The nearest float32."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def bits(value: float) -> str:
    """A float32 value's bits, as eight hexadecimal digits; any NaN is one."""
    return "nan" if math.isnan(value) else struct.pack(">f", value).hex()


def next_float32(value: float, up: bool) -> float:
    """The float32 next to the nearest one."""
    single = float32(value)
    if single == 0.0 or not math.isfinite(single):
        return single
    (number,) = struct.unpack("<i", struct.pack("<f", single))
    away = up == (single > 0)
    return struct.unpack("<f", struct.pack("<i", number + (1 if away else -1)))[0]


def generate(seed: int, count: int) -> list[Trace]:
    """``count`` random traces, the same for the same seed on every machine."""
    rng = random.Random(seed)
    return [_trace(rng) for _ in range(count)]


FACTORS = (0.1, math.sqrt(0.1), 0.5, 0.99, 0.2, 0.9, 1 / 3, 0.75, 1e-3, 1e-8)
MONITORS = ("val_loss", "loss", "val_loss", "val_loss", "val_acc", "val_auc", "accuracy")


def _trace(rng: random.Random) -> Trace:
    mode = rng.choice(("min", "min", "max", "max", "auto"))
    monitor = rng.choice(MONITORS)
    up = mode == "max" or (mode == "auto" and "acc" in monitor)
    factor = rng.choice(FACTORS) if rng.random() < 0.8 else rng.uniform(0.01, 0.999)
    if rng.random() < 0.01:
        factor = rng.choice((0.0, -0.5))
    rate = _rate(rng)
    # Small sizes are where float32 subnormals are compared.
    scale = 10 ** rng.uniform(-6, 5) if rng.random() < 0.97 else 10 ** rng.uniform(-45, -36)
    min_delta = rng.choice((1e-4, 1e-4, 0.0, 0.0, 1e-3, 1e-6, scale * 1e-2, scale * 1e-4))
    if rng.random() < 0.12:
        min_delta = -rng.choice((1e-3, 1e-5, scale * 1e-3))
    return Trace(
        mode=mode,
        monitor=monitor,
        factor=factor,
        float64_factor=rng.random() < 0.15,
        patience=rng.choice((0, 1, 1, 2, 2, 3, 4, 5)),
        min_delta=min_delta,
        cooldown=rng.choice((0, 0, 0, 1, 2, 3, 4)),
        min_lr=_min_lr(rng, rate, factor),
        learning_rate=rate,
        fits=_fits(rng, scale, min_delta, up),
    )


def _rate(rng: random.Random) -> float:
    chance = rng.random()
    if chance < 0.5:
        return 10 ** rng.uniform(-5, 0.5)
    if chance < 0.9:
        return rng.choice((0.1, 0.01, 1e-3, 3e-4, 1.0, 0.05, 5.0))
    return rng.choice((1e-8, 1e-30, 1e-37, 3e-39, 1e-44, 0.0, 3e38, 10 ** rng.uniform(-44, -7)))


def _min_lr(rng: random.Random, rate: float, factor: float) -> float:
    """0, what the rate comes to after a few reductions or close to it, or above the rate."""
    chance = rng.random()
    if chance < 0.35:
        return 0.0
    if chance < 0.4:
        return min(rate * rng.choice((1.0, 2.0, 1.5)), 3.4e38)
    if chance < 0.42:
        return rng.choice((1e-40, 1e-44, -1e-3))
    power = rng.choice((0, 1, 1, 2, 3))
    near = rate * abs(factor) ** power
    if chance < 0.6:  # the slack of the oldest rule is 1e-4 of it
        near *= 1 + rng.uniform(-2e-4, 2e-4)
    elif chance < 0.8:
        near = 10 ** rng.uniform(-7, -1)
    # Where float32(min_lr) > min_lr, a rate that has come to it is above min_lr in float64.
    exact = float32(near)
    return rng.choice((near, exact, math.nextafter(exact, 0.0), math.nextafter(exact, math.inf)))


def _fits(rng: random.Random, scale: float, min_delta: float, up: bool) -> tuple[Fit, ...]:
    """A metric that improves, ties and worsens around its best value so far."""
    epochs = rng.randint(20, 60)
    single = rng.random() < 0.6  # Keras' own metrics are float32 values
    noisy = rng.random() < 0.4
    negative = rng.random() < 0.15
    spikes = rng.choice((0.0, 0.0, 0.03, 0.15))
    skips = rng.choice((0.0, 0.0, 0.0, 0.1))
    better = 1.0 if up else -1.0
    best = scale * rng.uniform(0.5, 2.0) * (-1.0 if negative else 1.0)
    values: list[float | None] = []
    for epoch in range(epochs):
        if rng.random() < skips:
            values.append(None)
            continue
        if rng.random() < (max(spikes, 0.06) if epoch == 0 else spikes):
            values.append(rng.choice((math.nan, math.nan, math.inf, -math.inf)))
            continue
        value = _next(rng, best, min_delta, better, scale, noisy)
        if single:
            value = float32(value)
        values.append(value)
        if (value - best) * better > 0:
            best = value
    if rng.random() < 0.75:
        return (tuple(values),)
    cut = rng.randint(1, epochs - 1)
    return tuple(values[:cut]), tuple(values[cut:])


def _next(
    rng: random.Random, best: float, min_delta: float, better: float, scale: float, noisy: bool
) -> float:
    kind = rng.random()
    if noisy and kind < 0.6:
        return best - better * scale * rng.gauss(0.01, 0.05)
    if kind < 0.15:
        return best + better * scale * rng.uniform(0.0, 0.2)
    if kind < 0.25:
        return best + better * (abs(min_delta) * rng.uniform(0.5, 1.5))
    if kind < 0.6:  # around the threshold, to the last bit of either precision
        value = best + better * rng.choice((0.0, min_delta, abs(min_delta), abs(min_delta)))
        choice = rng.random()
        if choice < 0.4:
            return next_float32(value, up=rng.random() < 0.5)
        if choice < 0.8:
            return math.nextafter(value, math.inf if rng.random() < 0.5 else -math.inf)
        return value
    if kind < 0.7:
        return best
    if kind < 0.75:
        return -best
    return best - better * scale * rng.uniform(0.0, 0.3)
