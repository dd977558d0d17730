"""The kinds of statements, and how each is compared with what an expression builds: to the bit."""

from __future__ import annotations

import itertools
import math
import random
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import torch

import plateau_goldens
from bits import assert_same_bits
from lrparity import controllers, lr_scheduler, optim
from lrparity.schedules import LearningRateSchedule
from plateau_keras import drive, live_rate
from plateau_traces import Trace
from recipes import parts
from recipes.expression import Expression

KERAS_VERSION = "3.15"
FURTHEST = 10**7
MANY = 40


# --- rates as a function of the step --------------------------------------------------------------


@dataclass(frozen=True)
class _Rates:
    """What the two below share.

    Attributes:
        rate: the rate of a step.
        unit: what the step counts.
        last: the last step that the recipe is defined at; None: it has no end.
    """

    rate: Callable[[Any], Any]
    unit: str = "update"
    last: int | None = None

    arithmetic = ""

    def at(self, steps: np.ndarray) -> list[float]:
        raise NotImplementedError

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        self.compare(expression.built, self.steps(expression, rng), expression.text, rng)

    def compare(
        self, schedule: Any, steps: np.ndarray, text: str, rng: np.random.Generator
    ) -> None:
        """All steps at once, and some of them one by one."""
        __tracebackhide__ = True
        assert isinstance(schedule, LearningRateSchedule), f"{schedule!r} is no schedule"
        assert schedule.unit == self.unit, f"{schedule!r} counts in {schedule.unit}s"
        assert getattr(schedule, "arithmetic", None) == self.arithmetic, f"{schedule!r}"
        assert_same_bits(schedule(steps), self.at(steps), steps, text)
        some = rng.choice(steps, 5)
        assert_same_bits([schedule(int(k)) for k in some], schedule(some), some, text)

    def steps(self, expression: Expression, rng: np.random.Generator) -> np.ndarray:
        """Each number of the expression with its neighbours, sums and differences; and random ones."""
        counts = {n for n in expression.numbers if 1 <= n <= FURTHEST}
        if "PerUpdate(" in expression.text:
            counts |= {n * expression.names["spe"] for n in counts}
        pairs = itertools.combinations_with_replacement(sorted(counts), 2)
        both = [n for a, b in pairs for n in (a + b, b - a) if n <= FURTHEST]
        edges = {int(n) for n in [*counts, *rng.permutation(both)[:MANY]]}
        end = max([*edges, 100])
        near = [edge + d for edge in edges for d in (-1, 0, 1, 2)]
        within = np.arange(end) if self.unit == "epoch" else rng.integers(0, end, MANY)
        steps = np.unique([*near, *within, *rng.integers(0, 4 * end, MANY), 0, 1, 2, 3])
        return steps[(steps >= 0) & (steps <= (FURTHEST if self.last is None else self.last))]


@dataclass(frozen=True)
class Tensor(_Rates):
    """A schedule as TensorFlow computes it: eagerly, for the optimizer's int64 counter."""

    arithmetic = "float32"

    def at(self, steps: np.ndarray) -> list[float]:
        return [float(self.rate(tf.constant(k, tf.int64))) for k in steps]


@dataclass(frozen=True)
class Python(_Rates):
    """A function or callback of Python's: float64, rounded when Keras assigns it."""

    arithmetic = "float64"

    def at(self, steps: np.ndarray) -> list[float]:
        return [float(np.float32(self.rate(k))) for k in steps.tolist()]


def of_epoch(rate: Callable[[int], float], last: int | None = None) -> Python:
    """A function for ``LearningRateScheduler``."""
    return Python(rate, "epoch", last)


# --- param groups and optimizers ------------------------------------------------------------------


def parameter() -> torch.nn.Parameter:
    weight = torch.nn.Parameter(torch.zeros(()))
    weight.grad = torch.ones(())
    return weight


@dataclass(frozen=True)
class Groups:
    """The rates of several param groups or optimizers, each by a statement and a multiplier."""

    rates: Sequence[_Rates]
    scales: Sequence[float] = ()

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        part = expression.built
        assert isinstance(part, parts.ScheduleLR), f"{part!r}"
        scales = list(part.lr_scales) or [1.0] * len(part.schedules)
        steps = self.rates[0].steps(expression, rng)
        own = list(self.scales) or [1.0] * len(self.rates)
        expected = [
            np.array(rate.at(steps), np.float32) * np.float32(scale)
            for rate, scale in zip(self.rates, own, strict=True)
        ]
        for _ in range(part.optimizers):
            found = [self._held(part, scales, int(k)) for k in steps]
            assert_same_bits(np.array(found).T.ravel(), np.concatenate(expected))

    def _held(self, part: parts.ScheduleLR, scales: list[float], k: int) -> list[float]:
        # A far step takes no longer than a near one if the scheduler begins shortly before it.
        groups = [{"params": [parameter()], "lr_scale": one, "initial_lr": 0.1} for one in scales]
        optimizer = torch.optim.SGD(groups, lr=0.1)
        begin = max(k - 2, 0)
        scheduler = lr_scheduler.ScheduleLR(optimizer, part.schedule, last_epoch=begin - 1)
        for _ in range(k - begin):
            optimizer.step()
            scheduler.step()
        return [float(group["lr"]) for group in optimizer.param_groups]


@dataclass(frozen=True)
class Decayed:
    """The rates that Keras' old ``decay=`` makes of those that a callback sets.

    Attributes:
        rate: what the callback sets.
        decay: the argument.
        per_epoch: updates in an epoch, if the callback acts once per epoch.
        momentum: what it sets the momentum to, if it does.
    """

    rate: Callable[[int], float]
    decay: float
    per_epoch: int = 1
    momentum: Callable[[int], float] | None = None

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        sgd, part, *beside = expression.built
        optimizer = optim.SGD(
            [parameter()], sgd.lr, decay=sgd.decay, keras_version=sgd.keras_version
        )
        scheduler = lr_scheduler.ScheduleLR(optimizer, getattr(part, "fn", None) or part.schedule)
        others = [hyperparameter(optimizer, one) for one in beside]
        assert [one.entry.key for one in others] == (["momentum"] if self.momentum else [])
        used, expected, momenta = [], [], []
        for update in range(400):
            momenta.append(optimizer.param_groups[0]["momentum"])
            optimizer.step()
            used += optimizer.learning_rates_used
            base = tf.constant(self.rate(update // self.per_epoch), tf.float32)
            iterations = tf.cast(tf.constant(update, tf.int64), tf.float32)
            expected.append(float(base * (1.0 / (1.0 + self.decay * iterations))))
            if (update + 1) % self.per_epoch == 0:
                for one in [scheduler, *others]:
                    one.step()
        assert_same_bits(used, expected, context=expression.text)
        if self.momentum:
            expected = [float(np.float32(self.momentum(k))) for k in range(400)]
            assert_same_bits(momenta, expected, context=expression.text)


def hyperparameter(
    optimizer: torch.optim.Optimizer, part: parts.ScheduleHyperparameter, last_epoch: int = -1
) -> lr_scheduler.ScheduleHyperparameter:
    """The real one."""
    return lr_scheduler.ScheduleHyperparameter(
        optimizer, part.name, part.schedule, index=part.index, last_epoch=last_epoch
    )


@dataclass(frozen=True)
class WithHyperparameter:
    """A rate, and beside it another number of the optimizer's, each by a statement.

    Attributes:
        rate: of the learning rate.
        key: where torch's param groups hold the other one.
        value: of the other one.
        index: which, where the entry holds several.
    """

    rate: _Rates
    key: str
    value: _Rates
    index: int | None = None

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        first, second = expression.built
        steps = self.rate.steps(expression, rng)
        self.rate.compare(first.schedule, steps, expression.text, rng)
        self.value.compare(second.schedule, steps, expression.text, rng)
        some = rng.choice(steps, MANY)
        held = np.array([self._held(first, second, int(k)) for k in some])
        assert_same_bits(held[:, 0], self.rate.at(some), some, expression.text)
        assert_same_bits(held[:, 1], self.value.at(some), some, expression.text)

    def _held(
        self, first: parts.ScheduleLR, second: parts.ScheduleHyperparameter, k: int
    ) -> list[float]:
        group = {"params": [parameter()], "initial_lr": 0.1}
        optimizer_class = optim.SGD if self.key == "momentum" else torch.optim.AdamW
        optimizer, begin = optimizer_class([group], lr=0.1), max(k - 2, 0)
        both = [
            lr_scheduler.ScheduleLR(optimizer, first.schedule, last_epoch=begin - 1),
            hyperparameter(optimizer, second, last_epoch=begin - 1),
        ]
        for _ in range(k - begin):
            optimizer.step()
            for one in both:
                one.step()
        (group,) = optimizer.param_groups
        value = group[self.key] if self.index is None else group[self.key][self.index]
        return [group["lr"], value]


@dataclass(frozen=True)
class MomentumCorrected(Python):
    """A callback that corrects Keras' momentum where it changes the rate; on ``torch.optim.SGD``.

    Keras' velocity holds the old rate, so for one update the momentum is multiplied by new / old.
    What this trains is what ``torch.optim.SGD`` does by itself, but for the rounding.

    Attributes:
        momentum: the uncorrected one.
        first_rate: the optimizer's own.
        updates: how many to train.
    """

    momentum: float = 0.9
    first_rate: float = 0.05
    updates: int = 8500

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        super().check(expression, rng)
        gradients = rng.normal(size=self.updates)
        weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=self.momentum)
        scheduler = lr_scheduler.ScheduleLR(optimizer, expression.built)
        weights = []
        for gradient in gradients:
            weight.grad = torch.tensor(gradient)
            optimizer.step()
            scheduler.step()
            weights.append(weight.item())
        theirs = self._theirs(gradients.tolist())
        np.testing.assert_allclose(weights, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())

    def corrected(self, new: float, old: float) -> float:
        return float(np.float32(float(np.float32(self.momentum)) * new / old))

    def _theirs(self, gradients: Sequence[float]) -> np.ndarray:
        old = float(np.float32(self.first_rate))
        weight = velocity = 0.0
        weights = []
        for update, gradient in enumerate(gradients):
            new = self.rate(update)
            momentum, old = self.corrected(new, old), float(np.float32(new))
            velocity = velocity * momentum - gradient * old
            weight += velocity
            weights.append(weight)
        return np.array(weights)


# --- functions of the rate ------------------------------------------------------------------------


@dataclass(frozen=True)
class Recursive:
    """A function of an index and the current rate, through Keras' own ``LearningRateScheduler``.

    ``at="end"`` is a callback that multiplies after each batch: the first one has the first rate.
    """

    fn: Callable[[int, float], float]
    lr: float = 0.01
    at: str = "begin"

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        part = expression.built
        assert getattr(part, "at", "begin") == self.at
        rule = controllers.EpochFunction(part.fn)
        lrs, held = [float(np.float32(self.lr))], []
        for index in range(250):
            before, lrs = lrs, list(rule.update(index, lrs).lrs)
            held += lrs if self.at == "begin" else before
        assert_same_bits(held, list(self._theirs()), context=expression.text)

    def _theirs(self) -> Iterator[float]:
        optimizer = keras.optimizers.SGD(self.lr)
        callback = keras.callbacks.LearningRateScheduler(self.fn)
        callback.set_model(types.SimpleNamespace(optimizer=optimizer))
        for index in range(250):
            before = live_rate().fget(optimizer)
            callback.on_epoch_begin(index)
            yield live_rate().fget(optimizer) if self.at == "begin" else before


# --- metrics --------------------------------------------------------------------------------------


def metrics(rng: random.Random, plateau: parts.ReduceLROnPlateau) -> tuple[float, ...]:
    """A metric that improves now and then, and else stays around what would be an improvement."""
    delta, better = plateau.min_delta, 1.0 if plateau.mode == "max" else -1.0
    best = size = min(1.0, 1000 * delta) or 1.0  # where float32 can tell thresholds apart
    values = []
    for _ in range(40 + 6 * plateau.patience):
        chance = rng.random()
        if chance < 0.2 / (1 + plateau.patience):
            best += better * (delta * rng.uniform(1, 3) + 1e-5 * size)
            values.append(best)
        elif chance < 0.4 / (1 + plateau.patience) and delta:
            best += better * delta * 1.005
            values.append(best)
        elif chance < 0.5:
            edge = best + better * delta * rng.choice((0.5, 0.995, 1))
            values.append(math.nextafter(edge, -better * math.inf))
        else:
            values.append(best - better * size * rng.uniform(0, 0.2))
    return tuple(values)


@dataclass(frozen=True)
class Plateau:
    """Keras' own ``ReduceLROnPlateau`` on an optimizer's rate."""

    plateau: parts.ReduceLROnPlateau
    learning_rates: Sequence[float] = (0.001, 0.1)

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        dice = random.Random(int(rng.integers(2**31)))
        optimizer, reduced = keras.optimizers.SGD(), 0
        near_floor = self.plateau.min_lr * self.plateau.factor**-1.5 or 10 ** dice.uniform(-5, 0)
        for lr in [*self.learning_rates, near_floor]:
            values = metrics(dice, self.plateau)
            theirs, _ = drive(
                _trace(self.plateau, lr, values),
                keras.callbacks.ReduceLROnPlateau,
                optimizer,
                live_rate(),
            )
            ours, _ = plateau_goldens.simulate(_trace(expression.built, lr, values), KERAS_VERSION)
            assert plateau_goldens.same(theirs, ours), (
                f"{expression.text}\nKeras: {theirs.to_text()}\nlrparity: {ours.to_text()}"
            )
            reduced += len(theirs.reductions)
        assert reduced, "no trace had a reduction"


def _trace(plateau: parts.ReduceLROnPlateau, lr: float, values: tuple[float, ...]) -> Trace:
    arguments = vars(plateau)
    return Trace(**arguments, float64_factor=False, learning_rate=lr, fits=(values,))


def _controller(plateau: parts.ReduceLROnPlateau) -> controllers.ReduceLROnPlateau:
    arguments = {**vars(plateau)}
    mode = controllers.resolve_mode(arguments.pop("mode"), arguments.pop("monitor"), KERAS_VERSION)
    return controllers.ReduceLROnPlateau(**arguments, mode=mode, keras_version=KERAS_VERSION)


@dataclass(frozen=True)
class SchedulerAndPlateau:
    """Keras' two callbacks in one run, in this order: the first undoes what the second did."""

    rate: Callable[..., float]
    plateau: parts.ReduceLROnPlateau
    lr: float = 0.001

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        first, second = expression.built
        scheduler, plateau = controllers.EpochFunction(first.fn), _controller(second)
        dice = random.Random(int(rng.integers(2**31)))
        values = (metrics(dice, self.plateau) * 3)[:250]
        lrs, held = [self.lr], []
        for epoch, value in enumerate(values):
            lrs = list(scheduler.update(epoch, lrs).lrs)
            held += lrs
            lrs = list(plateau.update(value, lrs).lrs)
            held += lrs
        assert_same_bits(held, self._theirs(values), context=expression.text)

    def _theirs(self, values: Sequence[float]) -> list[float]:
        optimizer = keras.optimizers.SGD(self.lr)
        scheduler = keras.callbacks.LearningRateScheduler(self.rate)
        plateau = keras.callbacks.ReduceLROnPlateau(**vars(self.plateau))
        for callback in (scheduler, plateau):
            callback.set_model(types.SimpleNamespace(optimizer=optimizer, metrics=[]))
        plateau.on_train_begin({})
        held = []
        for epoch, value in enumerate(values):
            scheduler.on_epoch_begin(epoch)
            held.append(float(optimizer.learning_rate.numpy()))
            plateau.on_epoch_end(epoch, {self.plateau.monitor: value})
            held.append(float(optimizer.learning_rate.numpy()))
        return held


@dataclass(frozen=True)
class ScheduleTimesPlateau:
    """A schedule per update whose height a plateau cuts.

    Attributes:
        rate: of the update and the number of cuts so far.
        plateau: when to cut; Keras' own callback decides, on a rate of 1.
        per_epoch: updates in an epoch.
    """

    rate: Callable[[int, int], float]
    plateau: parts.ReduceLROnPlateau
    per_epoch: int

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        first, second = expression.built
        values = metrics(random.Random(int(rng.integers(2**31))), self.plateau)[:60]
        optimizer = torch.optim.SGD([parameter()], lr=0.1)
        scheduler = lr_scheduler.ScheduleLR(optimizer, first.schedule)
        arguments = {name: value for name, value in vars(second).items() if name != "monitor"}
        mode = controllers.resolve_mode(arguments.pop("mode"), second.monitor, KERAS_VERSION)
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, **arguments, mode=mode)
        held, expected = [], []
        cuts = self._cuts(values)
        for epoch, value in enumerate(values):
            for batch in range(self.per_epoch):
                held.append(optimizer.param_groups[0]["lr"])
                expected.append(self.rate(epoch * self.per_epoch + batch, cuts[epoch]))
                optimizer.step()
                scheduler.step()
            plateau.step(value)
        assert cuts[-1] > 1
        assert_same_bits(held, expected, context=expression.text)

    def _cuts(self, values: Sequence[float]) -> list[int]:
        """How often it has cut before each epoch."""
        rule = replace(self.plateau, factor=0.5, min_lr=0.0)
        outcome, _ = drive(
            _trace(rule, 1.0, tuple(values)),
            keras.callbacks.ReduceLROnPlateau,
            keras.optimizers.SGD(),
            live_rate(),
        )
        at = [epoch for epoch, _ in outcome.reductions]
        return [sum(one < epoch for one in at) for epoch in range(len(values))]


@dataclass(frozen=True)
class PlateauInLoop:
    """A plateau by hand in a loop of the user's, which forgets its best value after each cut."""

    factor: float
    patience: int
    min_lr: float

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        part = expression.built
        plateau = _controller(part)
        # Keras' metrics are float32 values, of which the newest rule compares nothing else.
        values = np.float32(metrics(random.Random(int(rng.integers(2**31))), part)).tolist()
        lr, held = 0.001, []
        for value in values:
            decision = plateau.update(value, [lr])
            (lr,) = decision.lrs
            if decision.changed:
                plateau.reset()
            held.append(lr)
        assert len(set(held)) > 2
        assert_same_bits(held, self._theirs(values), context=expression.text)

    def _theirs(self, values: Sequence[float]) -> list[float]:
        lr, best, waited, held = float(np.float32(0.001)), math.inf, 0, []
        for value in values:
            if value < best:
                best, waited = value, 0
            else:
                waited += 1
                if waited >= self.patience and lr > np.float32(self.min_lr):
                    lr = float(np.float32(max(lr * self.factor, self.min_lr)))
                    best, waited = math.inf, 0
            held.append(lr)
        return held


@dataclass(frozen=True)
class WarmUpAndPlateau:
    """A callback that sets the rate before each batch for a while, and Keras' plateau after it.

    Attributes:
        rate: of the update; None where the callback leaves the rate alone.
        plateau: the plateau.
        per_epoch: updates in an epoch.
    """

    rate: Callable[[int], float | None]
    plateau: parts.ReduceLROnPlateau
    per_epoch: int
    lr: float = 0.001

    def check(self, expression: Expression, rng: np.random.Generator) -> None:
        __tracebackhide__ = True
        first, second = expression.built
        warm_up, plateau = controllers.EpochFunction(first.fn), _controller(second)
        values = metrics(random.Random(int(rng.integers(2**31))), self.plateau)
        lrs, held = [self.lr], []
        for epoch, value in enumerate(values):
            for batch in range(self.per_epoch):
                lrs = list(warm_up.update(epoch * self.per_epoch + batch, lrs).lrs)
                held += lrs
            lrs = list(plateau.update(value, lrs).lrs)
        assert_same_bits(held, self._theirs(values), context=expression.text)

    def _theirs(self, values: Sequence[float]) -> list[float]:
        optimizer = keras.optimizers.SGD(self.lr)
        plateau = keras.callbacks.ReduceLROnPlateau(**vars(self.plateau))
        plateau.set_model(types.SimpleNamespace(optimizer=optimizer, metrics=[]))
        plateau.on_train_begin({})
        held, lr = [], self.lr
        for epoch, value in enumerate(values):
            for batch in range(self.per_epoch):
                rate = self.rate(epoch * self.per_epoch + batch)
                if rate is not None:
                    optimizer.learning_rate = rate
                    lr = live_rate().fget(optimizer)
                held.append(lr)
            plateau.on_epoch_end(epoch, {self.plateau.monitor: value})
            lr = live_rate().fget(optimizer)
        return held
