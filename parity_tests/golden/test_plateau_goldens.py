"""The plateau rules against the recorded Keras versions; neither Keras nor TensorFlow is needed."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys

import pytest

import plateau_goldens as goldens
from lrparity.controllers import ReduceLROnPlateau
from lrparity.float32 import single as rounded
from plateau_traces import Trace, generate

VERSIONS = {version.name: version for version in goldens.VERSIONS}
RULES = {  # which recorded versions have one rule
    "1.1.1": ("keras-1.2.2-numpy-1", "keras-2.0.9-numpy-1"),
    "2.1.3": ("keras-2.1.5-numpy-1",),
    "2.1.6": ("keras-2.1.6-numpy-1", "keras-2.3.1-numpy-1"),
    "3.0": ("keras-3.10.0-numpy-2", "keras-2.15.0-numpy-1"),
    "2.6, NumPy 2": ("keras-2.15.0-numpy-2",),
    "3.11": ("keras-3.11.3-numpy-2", "keras-3.14.0-numpy-2"),
    "3.15": ("keras-3.15.1-numpy-2",),
}


@functools.cache
def traces():
    return goldens.load_traces()


@functools.cache
def recorded(name):
    return goldens.load(VERSIONS[name])[1]


def simulated(name, make=ReduceLROnPlateau):
    version = VERSIONS[name]
    for trace in traces():
        yield goldens.simulate(trace, version.keras, version.numpy_major, make)[0]


def differs(name, outcomes):
    """Whether the recorded version did something else on any trace; asks no further then."""
    pairs = zip(recorded(name), outcomes, strict=True)
    return not all(goldens.same(golden, outcome) for golden, outcome in pairs)


@pytest.mark.parametrize("name", VERSIONS)
def test_every_bit_of_every_epoch(name):
    for trace, golden, outcome in zip(traces(), recorded(name), simulated(name), strict=True):
        assert goldens.same(golden, outcome), (
            f"{trace.to_line()}\nrecorded  {golden.to_text()}\nsimulated {outcome.to_text()}"
        )


@pytest.mark.parametrize("name", VERSIONS)
def test_the_recording_says_what_it_is(name):
    version = VERSIONS[name]
    assert json.loads(version.path.read_text("utf-8"))["format"] == goldens.FORMAT
    about, outcomes = goldens.load(version)
    assert about["framework"] == f"keras {version.keras}"
    assert about["numpy"].startswith(f"{version.numpy_major}.")
    assert about["traces_sha256"] == goldens.traces_digest(), "run `make goldens`"
    assert len(outcomes) == len(traces()) == goldens.COUNT
    # It must have come to something: reductions on most traces, and few that were refused.
    assert sum(bool(outcome.reductions) for outcome in outcomes) > 0.6 * goldens.COUNT
    assert sum(outcome.refused for outcome in outcomes) < 0.2 * goldens.COUNT


def test_no_golden_is_missing_or_left_over():
    files = {goldens.TRACES_FILE, *(version.path for version in goldens.VERSIONS)}
    assert set(goldens.FOLDER.iterdir()) == files
    assert sorted(name for names in RULES.values() for name in names) == sorted(VERSIONS)


def test_traces_survive_their_file():
    for trace in generate(3, 200):
        assert repr(Trace.from_line(trace.to_line())) == repr(trace)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("other", RULES)
def test_the_rules_are_told_apart(rule, other):
    """The recordings of one rule are the same, and no two rules are, on these traces."""
    for name in RULES[rule]:
        assert differs(name, recorded(RULES[other][0])) == (rule != other)


# Negative controls: a controller with one thing wrong, and the version whose recording finds it.


def with_arguments(**changes):
    """Another value of some arguments: each a function of the right one."""

    def make(**arguments):
        wrong = {name: change(arguments[name]) for name, change in changes.items()}
        return ReduceLROnPlateau(**arguments | wrong)

    return make


def with_rule(**changes):
    """Another rule of the version's table."""

    def make(**arguments):
        controller = ReduceLROnPlateau(**arguments)
        controller._rule = controller._rule._replace(**changes)
        return controller

    return make


class Float64Comparison(ReduceLROnPlateau):
    def _is_improvement(self, value):
        if self.best is None:
            return True
        delta = abs(self.min_delta)
        return value + delta < self.best if self.mode == "min" else value - delta > self.best


class DeltaOnTheOtherSide(ReduceLROnPlateau):
    """Shifts the best metric instead of the new one, as versions before 3.11."""

    def _is_improvement(self, value):
        if self.best is None:
            return True
        delta = abs(self.min_delta)
        if self.mode == "min":
            return rounded(value) < rounded(self.best - delta)
        return rounded(value) > rounded(self.best + delta)


class SignedDelta(ReduceLROnPlateau):
    def _is_improvement(self, value):
        if self.best is None:
            return True
        if self.mode == "min":
            return rounded(value + self.min_delta) < rounded(self.best)
        return rounded(value - self.min_delta) > rounded(self.best)


class SubnormalsCompared(ReduceLROnPlateau):
    def _is_improvement(self, value):
        if self.best is None:
            return True
        delta = abs(self.min_delta)
        if self.mode == "min":
            return rounded(value + delta) < rounded(self.best)
        return rounded(value - delta) > rounded(self.best)


class FirstNaNIgnored(ReduceLROnPlateau):
    def _is_improvement(self, value):
        if math.isnan(value) and self.best is None:
            self.best = math.inf if self.mode == "min" else -math.inf
        return not math.isnan(value) and super()._is_improvement(value)


class OtherProduct(ReduceLROnPlateau):
    def reduced(self, rate):
        if self._rule.product_by_numpy and self.numpy_major == 2:
            return max(rate * self.factor, self.min_lr)
        return max(rounded(rate * rounded(self.factor)), self.min_lr)


class WaitsThroughTheCooldown(ReduceLROnPlateau):
    """Does not count the last metric of the cooldown."""

    def update(self, metric, lrs):
        cooling = self.cooldown_counter > 0
        decision = super().update(metric, lrs)
        if cooling:
            self.wait = 0
        return decision


class OneMoreAtTheBound(ReduceLROnPlateau):
    """Begins to wait anew although no rate could fall."""

    def update(self, metric, lrs):
        decision = super().update(metric, lrs)
        if "no rate is above" in decision.reason:
            self.wait = 0
        return decision


def more(value):
    return value + 1


def fewer(value):
    return max(value - 1, 0)


CONTROLS = {
    "patience, one more": (with_arguments(patience=more), VERSIONS),
    "patience, one fewer": (with_arguments(patience=fewer), VERSIONS),
    "cooldown, one more": (with_arguments(cooldown=more), VERSIONS),
    "cooldown, one fewer": (with_arguments(cooldown=fewer), VERSIONS),
    "cooldown, not counted at its end": (WaitsThroughTheCooldown, VERSIONS),
    "wait, forgotten at min_lr": (OneMoreAtTheBound, VERSIONS),
    "product, other precision": (OtherProduct, VERSIONS),
    "product, a float64 factor as a float": (
        with_arguments(factor=float),
        ("keras-2.15.0-numpy-2",),
    ),
    "wait, counted after": (with_rule(counts_first=False), [*VERSIONS][3:]),
    "wait, counted before": (with_rule(counts_first=True), [*VERSIONS][:3]),
    "min_lr, without the slack": (with_rule(min_lr_slack=0.0), [*VERSIONS][:2]),
    "min_lr, with the slack": (with_rule(min_lr_slack=1e-4), [*VERSIONS][2:5]),
    "min_lr, float32": (with_rule(float32_min_lr=True), [*VERSIONS][:5]),
    "min_lr, float64": (with_rule(float32_min_lr=False), [*VERSIONS][5:]),
    "best, kept in a second fit": (
        with_rule(forgets_best=False),
        [name for name in VERSIONS if not name.startswith(("keras-3.11", "keras-3.14"))],
    ),
    "best, forgotten in a second fit": (with_rule(forgets_best=True), RULES["3.11"]),
    "comparison in float64": (Float64Comparison, (*RULES["3.11"], *RULES["3.15"])),
    "comparison of the shifted best": (DeltaOnTheOtherSide, (*RULES["3.11"], *RULES["3.15"])),
    "comparison of subnormals": (SubnormalsCompared, (*RULES["3.11"], *RULES["3.15"])),
    "min_delta with its sign": (SignedDelta, (*RULES["3.11"], *RULES["3.15"])),
    "first NaN ignored": (FirstNaNIgnored, (*RULES["3.11"], *RULES["3.15"])),
}


@pytest.mark.parametrize(
    ("control", "name"),
    [(control, name) for control, (_, names) in CONTROLS.items() for name in names],
)
def test_a_wrong_controller_is_found(control, name):
    make, _ = CONTROLS[control]
    assert differs(name, simulated(name, make))


def test_goldens_are_read_without_tensorflow():
    script = (
        "import sys; import plateau_goldens as g\n"
        "for v in g.VERSIONS:\n"
        "    for t, o in zip(g.load_traces()[:50], g.load(v)[1]):\n"
        "        assert g.same(g.simulate(t, v.keras, v.numpy_major)[0], o)\n"
        "assert not {'torch', 'tensorflow', 'keras', 'tf_keras', 'lightning'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, check=True, timeout=120, cwd=goldens.FOLDER.parents[1])
