"""The file form: nothing is lost, and whatever else a file may hold ends in TrajectoryError."""

import contextlib
import hashlib
import itertools
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrparity.trajectory import (
    MAXIMUM_BYTES,
    MAXIMUM_VALUES,
    Event,
    Trajectory,
    TrajectoryError,
    _file,
)

SPECIAL = [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 2.0**-149, -(2.0**-149), 2.0**-126]
BITS32 = st.one_of(st.sampled_from([0, 1 << 31, 1, 0x7F800000]), st.integers(0, 2**32 - 1))
BITS64 = st.one_of(st.sampled_from([0, 1 << 63, 1, 0x7FF << 52]), st.integers(0, 2**64 - 1))
NAMES = st.text(min_size=1, max_size=5)


def small(**changes):
    arguments = {
        "rates": {
            "learning_rate": [0.5, 0.25, 0.25, 0.25, 0.25, float("nan"), -0.0],
            "b": [0.1, -np.inf],
        },
        "metrics": {"val_loss": [0.1, float("nan")], "none": []},
        "events": [Event("reduction", 1, "b", 'sägt "ja"\n'), Event("stage", 0)],
        "provenance": {"framework": "keras", "seed": 3, "decay": 0.1, "x": None, "graph": True},
    }
    return Trajectory(**(arguments | changes))


TEXT = (
    "{\n"
    '"format": "lrparity.trajectory",\n'
    '"version": 1,\n'
    '"reading": "reported",\n'
    '"unit": "update",\n'
    '"rates": {\n'
    '"learning_rate": {"dtype": "float32", "values": [\n'
    '0.5, [0.25, 4], "nan", -0.0\n'
    "]},\n"
    '"b": {"dtype": "float64", "values": [\n'
    '0.1, "-inf"\n'
    "]}\n"
    "},\n"
    '"metrics": {\n'
    '"val_loss": [\n'
    '0.1, "nan"\n'
    "],\n"
    '"none": []\n'
    "},\n"
    '"events": [\n'
    '{"kind": "stage", "at": 0, "series": null, "detail": ""},\n'
    '{"kind": "reduction", "at": 1, "series": "b", "detail": "s\\u00e4gt \\"ja\\"\\n"}\n'
    "],\n"
    '"provenance": {\n'
    '"framework": "keras",\n'
    '"seed": 3,\n'
    '"decay": 0.1,\n'
    '"x": null,\n'
    '"graph": true\n'
    "},\n"
    '"checksum": "CHECKSUM"\n'
    "}\n"
)


def document(**changes):
    return json.loads(small().to_json()) | changes


def same_bits(one, other):
    return (
        one.dtype == other.dtype and one.tobytes() == other.tobytes() and not other.flags.writeable
    )


def fails(text, words=""):
    with pytest.raises(TrajectoryError, match=words) as caught:
        Trajectory.from_json(text)
    assert len(str(caught.value)) < 800


# --- what is written comes back -----------------------------------------------------------------


def test_the_text_of_version_1():
    checksum = "161027da7b68c50110b915da41c5a6e1b70c8b307631de94853265e1580882c2"
    assert small().to_json() == TEXT.replace("CHECKSUM", checksum)
    assert Trajectory.from_json(TEXT.replace("CHECKSUM", checksum)) == small()


@given(st.lists(BITS32, max_size=40))
def test_float32_round_trips_to_the_bit(bits):
    run = Trajectory(np.array(bits, np.uint32).view(np.float32))
    again = Trajectory.from_json(run.to_json())
    assert same_bits(run.learning_rate, again.learning_rate)
    assert again == run


@given(st.lists(BITS64, max_size=40), st.lists(BITS64, max_size=10))
def test_float64_round_trips_to_the_bit(bits, metric_bits):
    run = Trajectory(
        np.array(bits, np.uint64).view(np.float64),
        metrics={"m": np.array(metric_bits, np.uint64).view(np.float64)},
    )
    again = Trajectory.from_json(run.to_json())
    assert same_bits(run.learning_rate, again.learning_rate)
    assert same_bits(run.metrics["m"], again.metrics["m"])
    assert again == run


@given(st.lists(st.tuples(st.sampled_from([*SPECIAL, 0.1, 0.5]), st.integers(1, 9)), max_size=12))
def test_runs_round_trip(runs):
    rates = list(itertools.chain.from_iterable([value] * count for value, count in runs))
    run = Trajectory(rates)
    again = Trajectory.from_json(run.to_json())
    assert same_bits(run.learning_rate, again.learning_rate)
    assert len(again) == len(rates)


@given(
    st.dictionaries(NAMES, st.just([0.5]), min_size=1, max_size=3),
    st.lists(st.builds(Event, NAMES, st.integers(0, 2**63 - 1), st.none(), st.text()), max_size=3),
    st.dictionaries(
        NAMES,
        st.one_of(
            st.text(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.none(),
        ),
        max_size=4,
    ),
    st.sampled_from(["reported", "applied"]),
    st.sampled_from(["update", "epoch"]),
)
def test_everything_else_round_trips(rates, events, provenance, reading, unit):
    run = Trajectory(rates, events=events, provenance=provenance, reading=reading, unit=unit)
    again = Trajectory.from_json(run.to_json())
    assert again == run
    assert again.to_json() == run.to_json()
    assert again.events == run.events
    assert list(map(repr, again.provenance.items())) == list(map(repr, run.provenance.items()))
    assert (again.reading, again.unit, list(again.rates)) == (reading, unit, list(rates))


def test_long_series_are_written_in_pieces_without_a_seam():
    for length in (2**16 - 1, 2**16, 2**16 + 1, 2**17):
        rates = np.arange(length, dtype=np.float32)
        rates[-5:] = 7
        rates[-7], rates[-9] = np.nan, -np.inf
        run = Trajectory(rates)
        again = Trajectory.from_json(run.to_json())
        assert same_bits(run.learning_rate, again.learning_rate)


def test_long_runs_are_short():
    assert len(Trajectory(np.full(10**6, 0.1, np.float32)).to_json()) < 400


def test_a_subclass_is_kept():
    class Run(Trajectory):
        pass

    assert type(Run.from_json(small().to_json())) is Run


def reread(text):
    """A reader written from the format's documentation alone: (dtype, values) and the checksum."""
    content = json.loads(text)
    stated = content.pop("checksum")
    words = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}

    def expand(items):
        for item in items:
            number, count = item if isinstance(item, list) else (item, 1)
            yield from itertools.repeat(words.get(number, number), count)

    def binary(values, dtype):
        quiet = {"float32": 0x7FC00000, "float64": 0x7FF8 << 48}[dtype]
        codes = {"float32": ("<f", "<I"), "float64": ("<d", "<Q")}[dtype]
        return b"".join(
            struct.pack(codes[1], quiet) if math.isnan(x) else struct.pack(codes[0], x)
            for x in values
        )

    tail = b""
    for name in sorted(content["rates"]):
        series = content["rates"][name]
        values = list(expand(series["values"]))
        tail += binary(values, series["dtype"])
        content["rates"][name] = [series["dtype"], len(values)]
    for name in sorted(content["metrics"]):
        values = list(expand(content["metrics"][name]))
        tail += binary(values, "float64")
        content["metrics"][name] = len(values)
    content["events"].sort(key=lambda e: (e["at"], e["series"] or "", e["kind"], e["detail"]))
    head = json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
    return stated, hashlib.sha256(head + b"\n" + tail).hexdigest()


def test_the_checksum_is_the_documented_one():
    for run in (small(), small(events=[], metrics={}), Trajectory(SPECIAL), Trajectory([])):
        stated, computed = reread(run.to_json())
        assert stated == computed == run.checksum


def test_layout_order_and_runs_are_free():
    run = small()
    content = document()
    content["rates"]["learning_rate"]["values"] = [
        0.5,
        [0.25, 1],
        0.25,
        [0.25, 2],
        ["nan", 1],
        -0.0,
    ]
    content["events"].reverse()
    shuffled = {key: content[key] for key in sorted(content, reverse=True)}
    for text in (
        json.dumps(shuffled),
        json.dumps(shuffled, indent=7, ensure_ascii=False),
        run.to_json().replace("\n", "\r\n"),
    ):
        assert Trajectory.from_json(text) == run
    whole = Trajectory([1.0, 2.0]).to_json()
    assert Trajectory.from_json(whole.replace("1.0, 2.0", "1, 2")) == Trajectory([1.0, 2.0])


# --- files --------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    path = tmp_path / "run.json"
    for run in (small(), Trajectory(SPECIAL)):
        run.save(path)
        assert path.read_bytes() == run.to_json().encode("ascii")
        assert Trajectory.load(path) == run
        assert Trajectory.load(str(path)) == run
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    small().save(path)
    before = path.read_bytes()

    def interrupted():
        yield "{"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _file.write(path, interrupted())

    def refuse(*arguments):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(_file.Path, "replace", refuse)
        with pytest.raises(OSError, match="no space left"):
            Trajectory([0.1]).save(path)
    with monkeypatch.context() as patch:
        patch.setattr(_file, "MAXIMUM_BYTES", 300)
        with pytest.raises(
            TrajectoryError, match=r"run\.json cannot be saved: it is longer than 300"
        ):
            Trajectory([0.1] * 3).save(path)
    with monkeypatch.context() as patch:
        patch.setattr(_file, "MAXIMUM_VALUES", 2)
        with pytest.raises(TrajectoryError, match="more than 2 values"):
            Trajectory([0.1] * 3).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        small().save(tmp_path / "no such folder" / "run.json")


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "golden.json", tmp_path / "link.json"
    target.write_text("old", encoding="ascii")
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("no symbolic links here")
    small().save(link)
    assert link.is_symlink()
    assert Trajectory.load(target) == small()


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "some run.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(TrajectoryError, match=r"some run\.json is no usable.*UTF-8 text at byte 0"):
        Trajectory.load(path)
    path.write_bytes(b"")
    with pytest.raises(TrajectoryError, match=r"some run\.json.*no complete JSON"):
        Trajectory.load(path)
    path.write_bytes(b"\xef\xbb\xbf" + small().to_json().encode())
    with pytest.raises(TrajectoryError, match=r"some run\.json"):
        Trajectory.load(path)
    with pytest.raises(TrajectoryError, match="not a regular file"):
        Trajectory.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        Trajectory.load(tmp_path / "missing.json")
    with pytest.raises(TypeError, match="must be a string"):
        Trajectory.from_json(b"{}")


def test_an_oversized_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(MAXIMUM_BYTES + 1)
    monkeypatch.delattr(_file.Path, "open")
    with pytest.raises(TrajectoryError, match=r"huge\.json.*longer than"):
        Trajectory.load(path)


def test_an_oversized_text_is_not_parsed(monkeypatch):
    monkeypatch.setattr(_file, "MAXIMUM_BYTES", 10)
    fails(TEXT, "longer than 10 bytes")


# --- damage -------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "cut.json"
    content = small().to_json().encode()
    for length in range(len(content) - 1):  # without its last newline it is still whole
        path.write_bytes(content[:length])
        with pytest.raises(TrajectoryError, match=r"cut\.json"):
            Trajectory.load(path)
    path.write_bytes(content[:-1])
    assert Trajectory.load(path) == small()


def test_a_bit_flipped_anywhere_is_refused_or_means_the_same(tmp_path):
    path = tmp_path / "flipped.json"
    run, content = small(), small().to_json().encode()
    refused = 0
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                assert Trajectory.load(path) == run
            except TrajectoryError:
                refused += 1
    assert refused > 0.99 * 8 * len(content)


@settings(max_examples=500)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(TrajectoryError):
        Trajectory.load(path)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=4),
        st.sampled_from(
            ["nan", "inf", "-inf", "float32", "float64", "learning_rate", "b", "applied"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value, path=()):
    """Every position in a JSON value."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*path, index))


PLACES = sorted(places(json.loads(TEXT)), key=repr)


def planted(path, value, action):
    content = document()
    if not path:
        return value
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if action == "replace":
        inner[path[-1]] = value
    elif action == "remove":
        del inner[path[-1]]
    elif isinstance(inner, list):
        inner.insert(path[-1], value)
    else:
        inner[path[-1] + "?"] = value
    return content


class Unchecked(Trajectory):
    """Admits every checksum, so that hostile content gets as far as it can."""

    @property
    def checksum(self):
        return Always()


class Always:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = None


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), JSON, st.sampled_from(["replace", "remove", "insert"]))
def test_wrong_content_anywhere_is_refused_or_means_the_same(path, value, action):
    text = json.dumps(planted(path, value, action))
    with contextlib.suppress(TrajectoryError):
        assert Trajectory.from_json(text) == small()
    # and with a checksum that fits, nothing but a proper trajectory gets through
    try:
        run = Unchecked.from_json(text)
    except TrajectoryError:
        return
    again = Trajectory(
        run.rates,
        reading=run.reading,
        unit=run.unit,
        metrics=run.metrics,
        events=run.events,
        provenance=run.provenance,
    )
    assert Trajectory.from_json(again.to_json()) == again


def with_values(text, dtype="float32"):
    whole = Trajectory([0.5]).to_json().replace('"float32"', f'"{dtype}"')
    assert whole.count("\n0.5\n") == 1
    return whole.replace("\n0.5\n", text)


NESTED = "[" * 100_000
HOSTILE = {
    # name: (text, what the error says)
    "an array": ("[]", "something else"),
    "null": ("null", "something else"),
    "foreign": ('{"format": "safetensors"}', "something else"),
    "no format": ("{}", "something else"),
    "pickle": ("\x80\x04\x95", "JSON"),
    "two documents": (TEXT + TEXT, "Extra data"),
    "newer": (json.dumps(document(version=2)), "version is 2 .* update lrparity"),
    "version true": (json.dumps(document(version=True)), "version is True"),
    "version 1.0": (json.dumps(document(version=1.0)), "version is 1.0"),
    "no version": ('{"format": "lrparity.trajectory"}', "version is None"),
    "only a version": ('{"format": "lrparity.trajectory", "version": 1}', "lacks 'reading'"),
    "unknown key": (json.dumps(document(more=1)), "'more', which version 1 does not know"),
    "rates a list": (json.dumps(document(rates=[])), "rates must be an object"),
    "no series": (json.dumps(document(rates={})), "at least one series"),
    "metrics null": (json.dumps(document(metrics=None)), "metrics must be an object"),
    "events null": (json.dumps(document(events=None)), "events must be an array"),
    "event a list": (json.dumps(document(events=[[]])), "event must be an object"),
    "event empty": (json.dumps(document(events=[{}])), "event lacks 'kind'"),
    "provenance nested": (json.dumps(document(provenance={"x": {}})), "text, a number or None"),
    "provenance infinite": (
        json.dumps(document(provenance={"x": 7.5})).replace("7.5", "1e999"),
        "finite",
    ),
    "reading": (json.dumps(document(reading="REPORTED")), "reading"),
    "unit": (json.dumps(document(unit={})), "unit"),
    "checksum null": (json.dumps(document(checksum=None)), "checksum is None .* damaged or edited"),
    "checksum wrong": (json.dumps(document(checksum="0" * 64)), "checksum is '0000"),
    "edited": (with_values("0.25"), "checksum"),
    "key twice": ('{"format": "lrparity.trajectory", "format": "x"}', "'format' twice"),
    "key twice inside": (TEXT.replace('"none": []', '"val_loss": []'), "'val_loss' twice"),
    "bare NaN": (with_values("NaN"), "NaN is not JSON"),
    "bare Infinity": (with_values("Infinity"), "Infinity is not JSON"),
    "bare -Infinity": (with_values("-Infinity"), "-Infinity is not JSON"),
    "NaN in capitals": (with_values('"NaN"'), "must hold doubles"),
    "a number as text": (with_values('"0.5"'), "must hold doubles"),
    "true": (with_values("true"), "must hold doubles"),
    "null value": (with_values("null"), "must hold doubles"),
    "object value": (with_values("{}"), "must hold doubles"),
    "beyond double": (with_values("1e999"), "no double can hold"),
    "beyond double in a run": (with_values("[-1e999, 5]"), "no double can hold"),
    "integer too long": (with_values("1" * 5000), "digits"),
    "integer inexact": (with_values(str(2**53 + 1)), "must hold doubles"),
    "values an object": (with_values("0.5").replace("[0.5]", "{}"), "must be an array"),
    "values a string": (with_values("0.5").replace("[0.5]", '"0.5"'), "must be an array"),
    "dtype float16": (with_values("0.5", "float16"), "dtype 'float16'"),
    "dtype a list": (
        TEXT.replace('"dtype": "float32"', '"dtype": ["float32"]'),
        r"dtype \['float32'\]",
    ),
    "dtype too wide": (with_values("0.5", "float64"), "says float64, its values are all float32"),
    "dtype too narrow": (with_values("0.1"), "says float32, its values are not"),
    "dtype far too narrow": (with_values("1e300"), "says float32, its values are not"),
    "run of 0": (with_values("[0.5, 0]"), "count >= 1"),
    "run of -1": (with_values("[0.5, -1]"), "count >= 1"),
    "run of 1.0": (with_values("[0.5, 1.0]"), "count >= 1"),
    "run of true": (with_values("[0.5, true]"), "count >= 1"),
    "run of three": (with_values("[0.5, 1, 1]"), "count >= 1"),
    "run of none": (with_values("[]"), "count >= 1"),
    "run in a run": (with_values("[[0.5, 2], 2]"), "must hold doubles"),
    "run too long": (with_values(f"[0.5, {MAXIMUM_VALUES + 1}]"), "more than"),
    "run far too long": (with_values(f"[0.5, {10**30}]"), "more than"),
    "runs too long": (with_values(f"[0.5, {MAXIMUM_VALUES}], 0.5"), "more than"),
    "nested": (NESTED, "nested too deeply"),
    "nested and closed": (NESTED + "]" * 100_000, "nested too deeply"),
    "nested objects": ('{"a":' * 100_000, "nested too deeply"),
    "nested values": (with_values(NESTED + "]" * 100_000), "nested too deeply"),
    "long key": (json.dumps(document(**{"k" * 10**6: 1})), "does not know"),
    "long kind": (
        json.dumps(document(events=[{"kind": "k" * 10**6, "at": 0, "series": "?", "detail": ""}])),
        "Event.kind='kkk",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_end_in_the_documented_error(name, tmp_path):
    text, words = HOSTILE[name]
    fails(text, words)
    path = tmp_path / "hostile.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrajectoryError, match=r"hostile\.json is no usable"):
        Trajectory.load(path)


def test_too_little_memory_is_the_documented_error(monkeypatch):
    def exhausted(*arguments, **keywords):
        raise MemoryError

    text = small().to_json()
    monkeypatch.setattr(_file, "_expand", exhausted)
    fails(text, "does not fit into memory")
