"""Trajectories as values, and their comparison: every planted difference has to be found."""

import copy
import dataclasses
import itertools
import math
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrparity
from lrparity.trajectory import Event, Trajectory, compare, provenance

FARTHEST = 2**63 - 1
SPECIAL32 = (
    0,
    0x80000000,
    1,
    0x80000001,
    0x7F800000,
    0xFF800000,
    0x7FC00000,
    0xFFC00001,
    0x7F800001,
)
BITS32 = st.one_of(st.sampled_from(SPECIAL32), st.integers(0, 2**32 - 1))
SPECIAL64 = (0, 1 << 63, 1, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48, (0x7FF << 52) + 1)
BITS64 = st.one_of(st.sampled_from(SPECIAL64), st.integers(0, 2**64 - 1))


def float32s(bits):
    return np.array(bits, np.uint32).view(np.float32)


def float64s(bits):
    return np.array(bits, np.uint64).view(np.float64)


def steps(value, count):
    """The number that lies ``count`` numbers above, negative below."""
    toward = value.dtype.type(np.inf if count > 0 else -np.inf)
    with np.errstate(over="ignore"):
        for _ in range(abs(count)):
            value = np.nextafter(value, toward)
    return value


def reference(**changes):
    k = np.arange(40, dtype=np.float32)
    arguments = {
        "rates": {
            "backbone": np.float32(0.1) / (1 + k),
            "head": np.repeat(np.float32([0.5, 0.0, 0.25]), 5),
        },
        "metrics": {"val_loss": [3.0, np.nan, 2.5]},
        "events": [
            Event("reduction", 5, "head", "patience"),
            Event("boundary", 12),
            Event("boundary", 12),
        ],
        "provenance": {"framework": "keras", "seed": 3, "note": None, "momentum": 0.9},
    }
    return Trajectory(**(arguments | changes))


# --- the value ----------------------------------------------------------------------------------


def test_a_bare_sequence_is_one_series():
    for rates in ([0.5, 0.25], (0.5, 0.25), np.array([0.5, 0.25], ">f4"), np.float16([0.5, 0.25])):
        run = Trajectory(rates)
        assert list(run.rates) == ["learning_rate"]
        assert run == Trajectory({"learning_rate": [0.5, 0.25]})
        assert run.learning_rate.dtype == np.dtype("float32")
        assert len(run) == 2
    assert Trajectory([1, 2]) == Trajectory([1.0, 2.0])


def test_float32_where_it_loses_nothing_else_float64():
    tenth = float(np.float32(0.1))
    for rates in ([tenth], [tenth, np.nan, np.inf, -0.0], [], [2.0**-149]):
        assert Trajectory(rates).learning_rate.dtype == np.float32
    for rates in ([0.1], [tenth, 0.1], [1e300], [2.0**-150], [1e-310, np.nan]):
        run = Trajectory(rates)
        assert run.learning_rate.dtype == np.float64
        assert run.learning_rate.tobytes() == np.float64(rates).tobytes()
    mixed = Trajectory({"keras": [tenth], "torch": [0.1]})
    assert {name: values.dtype.name for name, values in mixed.rates.items()} == {
        "keras": "float32",
        "torch": "float64",
    }


@given(st.lists(BITS32, max_size=20))
def test_float32_bits_survive_construction(bits):
    given_rates = float32s(bits)
    kept = Trajectory(given_rates).learning_rate
    expected = np.where(np.isnan(given_rates), np.float32(np.nan), given_rates)
    assert kept.dtype == np.float32
    assert kept.tobytes() == expected.tobytes()
    assert Trajectory(given_rates.tolist()).learning_rate.tobytes() == expected.tobytes()


def test_the_only_series_or_an_error_that_names_them():
    assert Trajectory({"any name": [1.0]}).learning_rate.tolist() == [1.0]
    with pytest.raises(ValueError, match="'backbone', 'head'"):
        _ = reference().learning_rate


def test_nothing_in_it_can_be_changed():
    source = np.float32([1, 2])
    run = Trajectory(source, metrics={"loss": [1.0]}, provenance={"seed": 1})
    source[0] = 9
    assert run.learning_rate.tolist() == [1.0, 2.0]
    for array in (run.learning_rate, run.metrics["loss"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    for mapping in (run.rates, run.metrics, run.provenance):
        with pytest.raises(TypeError, match="item assignment"):
            mapping["x"] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.reading = "applied"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Event("stage", 0).at = 1


def test_events_are_sorted_and_plain():
    run = reference(
        events=[Event("stage", np.int64(7)), Event("restart", 2, "head"), Event("x", 2)]
    )
    assert [(event.at, event.kind) for event in run.events] == [
        (2, "x"),
        (2, "restart"),
        (7, "stage"),
    ]
    assert type(run.events[2].at) is int


def test_provenance_values_become_plain():
    class Version(str):
        __slots__ = ()

    run = Trajectory(
        [], provenance={"torch": Version("2.6"), "seed": np.int64(3), "x": np.float32(0.5)}
    )
    assert dict(run.provenance) == {"torch": "2.6", "seed": 3, "x": 0.5}
    assert [type(value) for value in run.provenance.values()] == [str, int, float]


@pytest.mark.parametrize(
    "change",
    [
        {"reading": "applied"},
        {"unit": "epoch"},
        {"metrics": {"val_loss": [3.0, np.nan, 2.0]}},
        {"metrics": {"val_acc": [3.0, np.nan, 2.5]}},
        {"metrics": {"val_loss": [3.0, np.nan]}},
        {"events": []},
        {"provenance": {}},
        {"provenance": {"framework": "keras", "seed": 3.0, "note": None, "momentum": 0.9}},
        {"provenance": {"framework": "keras", "seed": 3, "note": "None", "momentum": 0.9}},
        {"rates": {"head": [1.0]}},
    ],
)
def test_equality_and_hash_go_by_all_content(change):
    one, same, other = reference(), reference(), reference(**change)
    assert one == same
    assert hash(one) == hash(same)
    assert one.checksum == same.checksum
    assert one != other
    assert len({one, same, other}) == 2
    assert one != "something else"


def test_equality_is_by_bits_and_not_by_the_order_of_names():
    assert Trajectory([0.0]) != Trajectory([-0.0])
    assert Trajectory(float32s([0x7FC00000])) == Trajectory(float32s([0xFF800001]))
    assert Trajectory({"a": [1.0], "b": [2.0]}) == Trajectory({"b": [2.0], "a": [1.0]})
    # neither a shift between series nor between a series and a metric may go unseen
    assert Trajectory({"a": [1.0, 2.0], "b": []}) != Trajectory({"a": [1.0], "b": [2.0]})
    assert Trajectory([], metrics={"m": [1.0]}) != Trajectory([1.0], metrics={"m": []})


def test_pickle_copy_and_replace():
    run = reference()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(run, protocol))
        assert again == run
        assert list(again.rates) == list(run.rates)
        assert not again.rates["head"].flags.writeable
    assert copy.copy(run) == run
    assert copy.deepcopy(run) == run
    applied = dataclasses.replace(run, reading="applied")
    assert applied.reading == "applied"
    assert dataclasses.replace(applied, reading="reported") == run


def test_repr_counts_and_shows_the_ends():
    assert repr(reference()) == (
        "<Trajectory of 40 updates, reported: backbone 0.1 -> 0.0025, head 0.5 -> 0.25 (15 updates); "
        "val_loss of 3 epochs; 3 events>"
    )
    assert repr(Trajectory([], unit="epoch")) == (
        "<Trajectory of 0 epochs, reported: learning_rate empty>"
    )
    many = Trajectory({f"group {i}": [0.1] for i in range(9)}, metrics={c: [1.0] for c in "abcde"})
    assert "5 more series" in repr(many)
    assert "a, b, c, d, ... of 1 epoch" in repr(many)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"rates": {}}, ValueError, "at least one series"),
        ({"rates": 0.1}, ValueError, "must be flat"),
        ({"rates": [[0.1], [0.2]]}, ValueError, "flat.*mapping from names"),
        ({"rates": [[0.1], [0.2, 0.3]]}, ValueError, "not a sequence of numbers"),
        ({"rates": "0.1"}, TypeError, "real numbers"),
        ({"rates": ["0.1"]}, TypeError, "real numbers"),
        ({"rates": [None]}, TypeError, "real numbers"),
        ({"rates": [True]}, TypeError, "real numbers"),
        ({"rates": [1j]}, TypeError, "real numbers"),
        ({"rates": (x for x in (0.1,))}, TypeError, "generator"),
        ({"rates": {"": [0.1]}}, ValueError, "not be empty"),
        ({"rates": {1: [0.1]}}, TypeError, "must be strings"),
        ({"reading": "seen"}, ValueError, "'reported', 'applied'.*reading='seen'"),
        ({"reading": ["reported"]}, ValueError, "reading"),
        ({"unit": "step"}, ValueError, "'update', 'epoch'.*unit='step'"),
        ({"metrics": [1.0]}, TypeError, "`metrics` must map"),
        ({"metrics": {"m": 1.0}}, ValueError, "flat"),
        ({"events": "restart"}, TypeError, "`events`"),
        ({"events": 3}, TypeError, "`events`"),
        ({"events": ["restart"]}, TypeError, "Event objects"),
        ({"events": [Event("restart", 1, "body")]}, ValueError, "names a series that is not there"),
        ({"provenance": {"x": float("nan")}}, ValueError, "finite"),
        ({"provenance": {"x": 2**63}}, ValueError, "64 bits"),
        ({"provenance": {"x": [1]}}, TypeError, "must be text, a number or None"),
        ({"provenance": {"": 1}}, ValueError, "not be empty"),
    ],
)
def test_bad_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        Trajectory(**({"rates": [0.1]} | arguments))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((3, 0), TypeError),
        (("", 0), ValueError),
        (("restart", -1), ValueError),
        (("restart", 2**63), ValueError),
        (("restart", 1.0), TypeError),
        (("restart", True), TypeError),
        (("restart", "1"), TypeError),
        (("restart", 1, ""), ValueError),
        (("restart", 1, 0), TypeError),
        (("restart", 1, None, None), TypeError),
    ],
)
def test_bad_events_are_refused(arguments, error):
    with pytest.raises(error, match="Received"):
        Event(*arguments)


def test_provenance_collects_and_imports_nothing():
    here = provenance("plain loop", backend="none", numpy="overridden")
    assert here["lrparity"] == lrparity.__version__
    assert here["numpy"] == "overridden"
    assert here["backend"] == "none"
    assert Trajectory([], provenance=here).provenance == here
    script = (
        "import sys; from lrparity.trajectory import Trajectory, provenance\n"
        "before = set(sys.modules); here = provenance('x')\n"
        "assert not {'torch', 'keras', 'tensorflow', 'lightning', 'tf_keras'} & set(sys.modules)\n"
        "assert not {'torch', 'keras', 'tensorflow'} & set(here), here\n"
        "import types; sys.modules['keras'] = types.SimpleNamespace(__version__='3.0.0')\n"
        "assert provenance()['keras'] == '3.0.0'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# --- the comparison -----------------------------------------------------------------------------


def with_rate(run, name, at, value):
    rates = {key: values.copy() for key, values in run.rates.items()}
    rates[name][at] = value
    return dataclasses.replace(run, rates=rates)


def with_rates(run, name, values):
    return dataclasses.replace(run, rates={**run.rates, name: values})


MUTATIONS = {
    # name: (the change, series and update of the first difference; None: no rate differs)
    "one late": (
        lambda run: with_rates(run, "backbone", np.roll(run.rates["backbone"], 1)),
        ("backbone", 0),
    ),
    "one late, first kept": (
        lambda run: with_rates(
            run, "backbone", np.concatenate([run.rates["backbone"][:1], run.rates["backbone"][:-1]])
        ),
        ("backbone", 1),
    ),
    "NaN for a number": (lambda run: with_rate(run, "backbone", 7, np.nan), ("backbone", 7)),
    "inf for a number": (lambda run: with_rate(run, "backbone", 7, np.inf), ("backbone", 7)),
    "sign of zero": (lambda run: with_rate(run, "head", 5, -0.0), ("head", 5)),
    "one ULP": (
        lambda run: with_rate(run, "head", 14, steps(np.float32(0.25), 1)),
        ("head", 14),
    ),
    "one shorter": (
        lambda run: with_rates(run, "backbone", run.rates["backbone"][:-1]),
        ("backbone", 39),
    ),
    "one longer": (
        lambda run: with_rates(run, "head", np.append(run.rates["head"], np.float32(0.25))),
        ("head", 15),
    ),
    "emptied": (lambda run: with_rates(run, "head", [1.0][:0]), ("head", 0)),
    "series renamed": (
        lambda run: dataclasses.replace(
            run,
            rates={"backbone": run.rates["backbone"], "Head": run.rates["head"]},
            events=[Event("reduction", 5, "Head", "patience"), *run.events[1:]],
        ),
        ("head", 0),
    ),
    "empty series added": (lambda run: with_rates(run, "third", []), None),
    "event moved": (
        lambda run: dataclasses.replace(
            run, events=[dataclasses.replace(run.events[0], at=6), *run.events[1:]]
        ),
        None,
    ),
    "event of another kind": (
        lambda run: dataclasses.replace(
            run, events=[dataclasses.replace(run.events[0], kind="restart"), *run.events[1:]]
        ),
        None,
    ),
    "event of another series": (
        lambda run: dataclasses.replace(
            run, events=[dataclasses.replace(run.events[0], series=None), *run.events[1:]]
        ),
        None,
    ),
    "event with another detail": (
        lambda run: dataclasses.replace(
            run, events=[dataclasses.replace(run.events[0], detail=""), *run.events[1:]]
        ),
        None,
    ),
    "event once, not twice": (
        lambda run: dataclasses.replace(run, events=run.events[:-1]),
        None,
    ),
    "event added": (
        lambda run: dataclasses.replace(run, events=[*run.events, Event("stage", 99)]),
        None,
    ),
    "reading": (lambda run: dataclasses.replace(run, reading="applied"), None),
    "unit": (lambda run: dataclasses.replace(run, unit="epoch"), None),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_planted_difference_is_found(mutation):
    change, where = MUTATIONS[mutation]
    run = reference()
    mutated = change(run)
    for a, b in ((run, mutated), (mutated, run)):
        result = compare(a, b)
        assert not result.identical
        assert not result
        assert str(result).startswith("different: ")
        if where is None:
            assert result.first is None
            assert result.surroundings == ()
            assert result.events_only_in_a or result.events_only_in_b or result.notes
        elif mutation != "series renamed":
            assert (result.first.series, result.first.at) == where
    if where is not None:
        first = compare(run, mutated).first
        assert (first.series, first.at) == where


@pytest.mark.parametrize("mutation", sorted(set(MUTATIONS) - {"one ULP", "sign of zero"}))
def test_no_tolerance_hides_what_is_not_a_small_step(mutation):
    run = reference()
    assert not compare(run, MUTATIONS[mutation][0](run), ulp=2)


def test_the_same_is_identical():
    result = compare(reference(), reference(events=reference().events[::-1]))
    assert result
    assert result.identical
    assert (result.updates, result.differing, result.missing, result.max_ulp) == (55, 0, 0, 0)
    assert result.max_relative == 0.0
    assert result.first is None
    assert result.notes == ()
    assert str(result) == (
        "identical: 0 of 55 rates differ by more than 0 ULP; largest 0 ULP, 0 relative"
    )


def test_one_bit_flipped_anywhere_is_found():
    rates = reference().rates["backbone"]
    run = Trajectory(rates)
    for at in range(len(rates)):
        for bit in range(32):
            flipped = rates.view(np.uint32).copy()
            flipped[at] ^= np.uint32(1 << bit)
            result = compare(run, Trajectory(flipped.view(np.float32)))
            assert not result.identical
            assert (result.differing, result.first.at) == (1, at)


def test_one_bit_of_a_double_flipped_anywhere_is_found():
    rates = 0.1 / np.arange(3.0, 9.0)
    run = Trajectory(rates)
    for at in range(len(rates)):
        for bit in range(64):
            flipped = rates.view(np.uint64).copy()
            flipped[at] ^= np.uint64(1 << bit)
            result = compare(run, Trajectory(flipped.view(np.float64)))
            assert not result.identical
            assert (result.differing, result.first.at) == (1, at)


def oracle(a, b, width, tolerance):
    """The comparison once more, in Python integers: (differing, first, max_ulp)."""
    code, unsigned = {32: ("<f", "<I"), 64: ("<d", "<Q")}[width]
    sign = 1 << (width - 1)
    unlike, farthest = [], 0
    for at, pair in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        if all(map(math.isnan, pair)):
            continue
        bits = [struct.unpack(unsigned, struct.pack(code, number))[0] for number in pair]
        heights = [sign - n if n >= sign else n for n in bits]
        distance = min(abs(heights[0] - heights[1]), FARTHEST)
        one_nan = any(map(math.isnan, pair))
        if one_nan:
            distance = FARTHEST
        if one_nan or (bits[0] != bits[1] if tolerance == 0 else distance > tolerance):
            unlike.append(at)
        farthest = max(farthest, distance)
    return len(unlike), unlike[0] if unlike else None, farthest


@settings(deadline=None)
@given(
    st.lists(st.tuples(BITS32, BITS32, st.integers(-3, 3), st.booleans()), max_size=12),
    st.sampled_from([0, 1, 2, 3, 2**31]),
)
def test_float32_counts_agree_with_a_plain_loop(rows, tolerance):
    a = float32s([row[0] for row in rows])
    b = float32s([(row[0] + row[2]) % 2**32 if row[3] else row[1] for row in rows])
    result = compare(Trajectory(a), Trajectory(b), ulp=tolerance)
    differing, first, farthest = oracle(a, b, 32, tolerance)
    assert (result.differing, result.max_ulp) == (differing, farthest)
    assert (result.first.at if result.first else None) == first
    assert result.identical == (differing == 0)
    if first is not None:
        assert repr(result.first.a) == repr(float(a[first]))
        assert repr(result.first.b) == repr(float(b[first]))


@settings(deadline=None)
@given(
    st.lists(st.tuples(BITS64, BITS64, st.integers(-3, 3), st.booleans()), max_size=12),
    st.sampled_from([0, 1, 2, 3, 2**60]),
)
def test_float64_counts_agree_with_a_plain_loop(rows, tolerance):
    # 0.1 is no float32 number, so that both sides stay float64
    a = np.append(float64s([row[0] for row in rows]), 0.1)
    b = float64s([(row[0] + row[2]) % 2**64 if row[3] else row[1] for row in rows])
    b = np.append(b, 0.1)
    result = compare(Trajectory(a), Trajectory(b), ulp=tolerance)
    differing, first, farthest = oracle(a, b, 64, tolerance)
    assert (result.differing, result.max_ulp) == (differing, farthest)
    assert (result.first.at if result.first else None) == first
    assert result.identical == (differing == 0)


@pytest.mark.parametrize("distance", [1, 2, 5])
@pytest.mark.parametrize("start", [1.0, 0.1, 2.0**-126, 3.40282e38, -1.0, 0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tolerance_ends_where_it_says(dtype, start, distance):
    start = dtype(start)
    ballast = [] if dtype == np.float32 else [0.1]
    a = Trajectory([start, *ballast])
    for direction in (1, -1):
        b = Trajectory([steps(start, direction * distance), *ballast])
        for ulp in range(distance + 2):
            result = compare(a, b, ulp=ulp)
            assert result.max_ulp == distance
            assert result.identical == (ulp >= distance)
            assert result.ulp == ulp


def test_zeros_of_different_signs():
    a, b = Trajectory([0.0, 1.0]), Trajectory([-0.0, 1.0])
    exact = compare(a, b)
    assert (exact.identical, exact.differing, exact.max_ulp) == (False, 1, 0)
    assert exact.max_relative == 0.0
    assert "-0.0" in str(exact)
    assert compare(a, b, ulp=1).identical


def test_a_nan_is_beyond_every_tolerance_and_equals_a_nan():
    a, b = Trajectory([1.0, np.nan]), Trajectory([1.0, 2.0])
    for ulp, (one, other) in itertools.product((0, 1, FARTHEST, 2**200), ((a, b), (b, a))):
        result = compare(one, other, ulp=ulp)
        assert not result.identical
        assert result.max_ulp == result.first.ulp == FARTHEST
        assert result.max_relative == np.inf
    assert compare(a, Trajectory(float32s([0x3F800000, 0xFFC12345])))


def test_lengths_differ_at_the_first_missing_update():
    result = compare(Trajectory([1.0, 2.0, 3.0]), Trajectory([1.0, 2.0]), ulp=5)
    assert not result.identical
    assert (result.updates, result.differing, result.missing) == (2, 0, 1)
    first = result.first
    assert (first.series, first.at, first.a, first.b, first.ulp) == (
        "learning_rate",
        2,
        3.0,
        None,
        None,
    )
    assert "'learning_rate' has 3 updates in a and 2 in b." in result.notes
    # an earlier difference comes first
    assert compare(Trajectory([1.0, 2.5, 3.0]), Trajectory([1.0, 2.0])).first.at == 1


def test_the_first_difference_is_the_first_of_all_series():
    run = reference()
    both = with_rate(with_rate(run, "backbone", 9, 7.0), "head", 4, 7.0)
    assert (compare(run, both).first.series, compare(run, both).first.at) == ("head", 4)
    tie = with_rate(with_rate(run, "backbone", 4, 7.0), "head", 4, 7.0)
    assert compare(run, tie).first.series == "backbone"
    assert compare(run, tie).differing == 2


def test_a_lone_series_counts_as_missing():
    result = compare(
        reference(), reference(rates={"backbone": reference().rates["backbone"]}, events=[])
    )
    assert (result.updates, result.missing) == (40, 15)
    assert (result.first.series, result.first.at, result.first.b) == ("head", 0, None)
    assert "only a has the series 'head'." in result.notes


def test_a_float64_side_is_rounded_with_a_note():
    keras, torch = Trajectory(np.float32([0.1, 0.2])), Trajectory([0.1, 0.2])
    result = compare(keras, torch)
    assert result.identical
    assert result.notes == ("'learning_rate' is float64 in b: compared after rounding to float32.",)
    assert "in a: compared after" in compare(torch, keras).notes[0]
    late = compare(keras, Trajectory([0.1, 0.1]))
    assert (late.identical, late.first.b) == (False, 0.1)
    # two float64 sides are compared as they are
    near = Trajectory([0.1, np.nextafter(0.2, 1.0)])
    assert (compare(torch, near).identical, compare(torch, near).max_ulp) == (False, 1)
    # beyond float32 the double becomes infinite, without a warning
    assert compare(Trajectory([np.inf]), Trajectory([1e300])).identical


def test_readings_and_units_are_flagged_and_compared_all_the_same():
    a, b = Trajectory([1.0, 2.0]), Trajectory([1.0, 3.0], reading="applied", unit="epoch")
    result = compare(a, b)
    assert (result.identical, result.updates, result.differing) == (False, 2, 1)
    assert len(result.notes) == 2
    assert "a holds reported rates and b applied ones" in result.notes[0]
    assert "a counts in updates and b in epochs" in result.notes[1]


def test_metrics_are_noted_and_do_not_count():
    a = Trajectory([1.0], metrics={"loss": [1.0, np.nan, 0.1], "same": [1.0], "only a": [1.0]})
    b = Trajectory([1.0], metrics={"loss": [1.0, np.nan, 0.2], "same": [1.0]})
    result = compare(a, b)
    assert result.identical
    assert result.notes == ("the metric 'loss' differs from epoch 2 on: 0.1 in a, 0.2 in b.",)
    shorter = compare(a, Trajectory([1.0], metrics={"loss": [1.0, np.nan]}))
    assert shorter.notes == ("the metric 'loss' differs from epoch 2 on: 0.1 in a, - in b.",)


def test_an_empty_comparison_says_so():
    assert "no rates were compared" in str(compare(Trajectory([]), Trajectory([])))
    assert "no rates were compared" in str(
        compare(Trajectory({"a": [1.0]}), Trajectory({"b": [1.0]}))
    )


@pytest.mark.parametrize(
    ("a", "b", "relative"),
    [
        (1.0, 2.0, 0.5),
        (-1.0, 1.0, 2.0),
        (0.0, 2.0**-149, 1.0),
        (0.0, 5e-324, 1.0),
        (np.inf, 1.0, np.inf),
        (np.inf, -np.inf, np.inf),
        (1.5e308, -1.5e308, 2.0),
    ],
)
def test_the_relative_difference_is_by_the_larger_magnitude(a, b, relative):
    one, other = Trajectory([a, 0.1]), Trajectory([b, 0.1])
    assert compare(one, other).max_relative == relative
    assert compare(other, one).max_relative == relative


def test_the_report_shows_the_surroundings_so_that_they_round_trip():
    rates = np.float32(0.1) / np.arange(1, 12, dtype=np.float32)
    run = Trajectory(rates)
    other = with_rate(run, "learning_rate", 6, steps(rates[6], 2))
    other = dataclasses.replace(other, events=[Event("restart", k) for k in range(7)])
    report = str(compare(run, other))
    rows = [line.split() for line in report.splitlines()[3:10]]
    assert [row[-4] for row in rows] == ["3", "4", "5", "6", "7", "8", "9"]
    assert [row[0] == ">" for row in rows] == [False, False, False, True, False, False, False]
    for row in rows:
        at = int(row[-4])
        assert np.float32(float(row[-3])).tobytes() == rates[at].tobytes()
        assert float(row[-2]) == float(other.learning_rate[at])
    assert "first at update 6 of 'learning_rate':" in report
    assert "only in b: 2 more events" in report


def test_the_surroundings_stop_at_the_ends():
    a, b = Trajectory([1.0, 2.0], unit="epoch"), Trajectory([9.0, 2.0, 3.0], unit="epoch")
    result = compare(a, b)
    assert [(row.at, row.a, row.b) for row in result.surroundings] == [
        (0, 1.0, 9.0),
        (1, 2.0, 2.0),
        (2, None, 3.0),
    ]
    assert "first at epoch 0" in str(result)


def test_results_can_be_pickled():
    result = compare(reference(), with_rate(reference(), "head", 3, 7.0))
    assert pickle.loads(pickle.dumps(result)) == result


@pytest.mark.parametrize(
    ("ulp", "error"),
    [(True, TypeError), (False, TypeError), (1.0, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_a_tolerance_is_an_integer(ulp, error):
    with pytest.raises(error, match="`ulp` must be an integer >= 0"):
        compare(reference(), reference(), ulp=ulp)


def test_bad_comparisons_are_refused():
    with pytest.raises(ValueError, match="ulp=-1"):
        compare(reference(), reference(), ulp=-1)
    with pytest.raises(TypeError, match="`b` must be a Trajectory"):
        compare(reference(), [0.1])
    with pytest.raises(TypeError, match="`a` must be a Trajectory"):
        compare([0.1], reference())
    assert compare(reference(), reference(), ulp=np.int64(1)).ulp == 1
