"""The demo: it passes, it can fail, and it says in one line what is wrong with its input."""

import dataclasses
import doctest
import json
import math
import subprocess
import time
import zipfile

import numpy as np
import pytest

import demo
from demo_parts import comparison, data, progress, report, run
from demo_parts.recipes import RECIPES
from demo_parts.run import Run
from examples_side import EXAMPLES, run_python
from lrparity.trajectory import Trajectory, compare

pytestmark = pytest.mark.keras

EPOCHS = 3
UPDATES = EPOCHS * 14


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python(str(EXAMPLES / "demo.py"), *arguments)


# --- it passes ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A run of all recipes over a few epochs, and the folder that it wrote to."""
    folder = tmp_path_factory.mktemp("demo") / "made" / "by-the-demo"
    return run_demo("--epochs", str(EPOCHS), "--out", str(folder)), folder


def test_no_bit_differs(short):
    finished, folder = short
    assert finished.stderr == ""
    assert finished.returncode == 0, finished.stdout
    table = finished.stdout.split("-" * 40)[-1]
    rows = {recipe.name: [] for recipe in RECIPES}
    for recipe in RECIPES:
        (line,) = [line for line in table.splitlines() if line.startswith(recipe.title + "  ")]
        rows[recipe.name] = line.removeprefix(recipe.title).split()
    assert len(rows) == 7
    for name, row in rows.items():
        updates, reported, applied, lightning, loop, torch_sgd, *accuracies = row
        assert int(updates) == UPDATES
        if name == "loss-driven":
            assert int(reported) == int(applied) < UPDATES  # some last bits of the 32 of each
        else:
            assert (int(reported), int(applied)) == (0, 0)
        assert float(lightning) <= comparison.LIMIT
        assert float(loop) <= comparison.LIMIT
        assert float(torch_sgd) >= 0
        assert accuracies[0] == accuracies[1]
    for verdict in (
        f"0 of {6 * 2 * 32 * UPDATES:,} learning-rate bits differ between Keras and Lightning",
        f"0 of {6 * 32 * UPDATES:,} learning-rate bits differ between Keras and the torch loop",
        f"of {3 * 32 * UPDATES:,} learning-rate bits differ; the losses explain that",
        "plateau: val_loss comes within",
        "loss-driven: the losses are up to",
    ):
        assert verdict in finished.stdout
    assert "PASSED" in finished.stdout
    *lines, last = finished.stdout.splitlines()
    assert max(map(len, lines)) <= 120
    assert str(folder) in last


def test_picture_and_report_are_written(short):
    _, folder = short
    picture = (folder / "demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 20_000
    width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
    assert 1500 < width < 2000  # four columns, readable on a page
    assert height < 2100
    written = json.loads((folder / "report.json").read_text())
    assert written["passed"] is True
    assert written["failures"] == []
    assert written["weights_gated_at"] == comparison.LIMIT
    assert {"keras", "tf_keras", "tensorflow", "torch", "lightning"} <= set(written["versions"])
    assert [recipe["name"] for recipe in written["recipes"]] == [recipe.name for recipe in RECIPES]
    for recipe in written["recipes"]:
        for rates in ("reported", "applied", "torch_loop_applied"):
            share = recipe[rates]["share_of_what_the_losses_explain"]
            assert recipe[rates]["updates"] == UPDATES
            if recipe["name"] == "loss-driven":
                assert 0 <= share <= 1
                assert recipe[rates]["largest_ulp"] <= 4
            else:
                assert share is None
                assert recipe[rates]["bits_differing"] == 0
        for trainer in ("lightning", "torch_loop"):
            assert len(recipe["weight_distance"][trainer]) == EPOCHS
            assert recipe["weight_distance"][trainer][-1] <= comparison.LIMIT
        assert len(set(recipe["validation_accuracy"])) == 4


def test_saved_trajectories_say_the_same(short):
    _, folder = short
    written = json.loads((folder / "report.json").read_text())
    for recipe in written["recipes"]:
        loaded = {
            name: Trajectory.load(folder / saved["file"])
            for name, saved in recipe["trajectories"].items()
        }
        assert {name: one.checksum for name, one in loaded.items()} == {
            name: saved["checksum"] for name, saved in recipe["trajectories"].items()
        }
        for theirs, ours in (
            ("keras_reported", "lightning_reported"),
            ("keras_applied", "lightning_applied"),
            ("keras_applied", "torch_loop_applied"),
        ):
            found = compare(loaded[theirs], loaded[ours], ulp=4 * (recipe["name"] == "loss-driven"))
            assert found.identical, f"{recipe['name']}: {found}"
            assert found.updates == UPDATES
        keras, lightning = (loaded[f"{one}_applied"].metrics for one in ("keras", "lightning"))
        for name in ("loss", "val_loss", "val_accuracy"):
            assert len(keras[name]) == EPOCHS
            np.testing.assert_allclose(keras[name], lightning[name], rtol=1e-5)


def test_reported_and_applied_are_read_apart(short):
    """Keras reports the drop at update 41 and applies it at update 42, past the end of this run."""
    _, folder = short
    reported, applied = (
        Trajectory.load(folder / "trajectories" / f"exponential.keras_{reading}.json")
        for reading in ("reported", "applied")
    )
    assert np.flatnonzero(reported.learning_rate != applied.learning_rate).tolist() == [41]
    assert float(applied.learning_rate[41]) == float(np.float32(0.05))
    ours = Trajectory.load(folder / "trajectories" / "exponential.lightning_reported.json")
    assert comparison.compare_rates(applied, ours).bits > 0  # a recorded run that does differ


PLATEAUS = """
import sys

import demo
from demo_parts.recipes import Plateau
from lrparity import callbacks

Plateau.min_delta = 100.0  # nothing is an improvement, so that a few epochs do
in_lightning = Plateau.in_lightning


def of_another_version(recipe, numerics):
    sgd, callback = in_lightning(recipe, numerics)
    rule = callback.controller.get_config() | {"keras_version": "2.1.5"}
    return sgd, callbacks.ReduceLROnPlateau("val_loss", **rule)


for Plateau.in_lightning in (in_lightning, of_another_version):
    print("STATUS", demo.main(["--recipes", "plateau", "--epochs", "9", "--out", sys.argv[1]]))
"""


def test_plateau_that_reduces(tmp_path):
    """The epochs of the other tests are too few for a reduction."""
    finished = run_python("-c", PLATEAUS, str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    right, wrong = finished.stdout.split("STATUS 0")
    assert f"0 of {2 * 32 * 9 * 14:,} learning-rate bits differ" in right
    assert "first at update 56: 0.05000000074505806 and 0.10000000149011612" in wrong
    assert wrong.rstrip().endswith("STATUS 1")


def test_probe_leaves_the_network_alone():
    script = """
from demo_parts import data, keras_side
from demo_parts.progress import Progress
from demo_parts.recipes import DropBased, TimeBased

keras_side.prepare()
split = data.split(data.breast_cancer(), 0)
weights = data.initial_weights(split.columns, 0)
for kind in (TimeBased, DropBased):
    with_probe, without = (
        keras_side.train(kind(2, 28), split, weights, {}, Progress([""], 2), probed=probed)
        for probed in (True, False)
    )
    for one, other in zip(with_probe.weights[-1], without.weights[-1], strict=True):
        assert one.tobytes() == other.tobytes()
    assert len(with_probe.applied) == 28 and len(without.applied) == 0
"""
    finished = run_python("-c", script)
    assert finished.returncode == 0, finished.stderr


# --- it can fail ----------------------------------------------------------------------------------


PLANTED = """
import sys

import demo
from demo_parts.recipes import Cosine, LossDriven
from lrparity import callbacks

in_lightning, in_torch = Cosine.in_lightning, Cosine.in_torch
LossDriven.in_lightning = lambda recipe, numerics: (
    {"lr": 0.05, "momentum": 0.9}, callbacks.LossDrivenLR(0.05, scale=1.00001)
)


def one_update_late(recipe, numerics):
    sgd, callback = in_lightning(recipe, numerics)
    schedule = callback.schedule
    return sgd, callbacks.ScheduleLR(lambda k: schedule(max(k - 1, 0), numerics=numerics))


def other_momentum(recipe, numerics):
    sgd, callback = in_lightning(recipe, numerics)
    return sgd | {"momentum": 0.8}, callback


def other_rates(recipe, parameters, numerics):
    optimizer, scheduler = in_torch(recipe, parameters, numerics)
    scheduler.set_multiplier(1.0001)
    return optimizer, scheduler


for Cosine.in_lightning, Cosine.in_torch in (
    (one_update_late, in_torch),
    (other_momentum, other_rates),
):
    print("STATUS", demo.main(["--recipes", "cosine", "--epochs", "2", "--out", sys.argv[1]]))
print("STATUS", demo.main(["--recipes", "loss-driven", "--epochs", "2", "--out", sys.argv[1]]))
"""


def test_planted_mistakes_are_found(tmp_path):
    finished = run_python("-c", PLANTED, str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    first, second, third, rest = finished.stdout.split("STATUS 1")
    assert rest.strip() == ""
    assert "PASSED" not in finished.stdout

    reported, applied, weights = failures_in(first)
    for reading, line in (("reported", reported), ("applied", applied)):
        assert f"of the {reading} learning rates differ between Keras and Lightning" in line
        assert "first at update 1: " in line
    assert "the weights of Lightning are" in weights

    applied, *weights = failures_in(second)
    assert "of the applied learning rates differ between Keras and the torch loop" in applied
    for line, whose in zip(weights, comparison.JUDGED.values(), strict=True):
        assert f"the weights of {whose} are" in line

    for reading, line in zip(("reported", "applied"), failures_in(third), strict=False):
        assert f"of the {reading} learning rates differ between Keras and Lightning" in line
        assert " times what the losses explain, first at update 1: " in line
    assert "the losses do not explain that" in third


def failures_in(printed: str) -> list[str]:
    """The lines below FAILED."""
    _, _, below = printed.partition("FAILED\n")
    return [line for line in below.splitlines() if line.startswith("  ")]


def outcome(
    *,
    keras_rates,
    our_rates,
    weight=1.0,
    recipe=RECIPES[0],
    keras_losses=(0.0, 0.0, 0.0),
    our_losses=(0.0, 0.0, 0.0),
):
    """An outcome without any training: the rates of both readings, and one weight off by some."""

    def run(rates, value, losses):
        weights = [[np.array([[1.0, value]], np.float32)]]
        metrics = {"val_accuracy": [1.0]}
        reported = Trajectory(rates, metrics=metrics)
        applied = Trajectory(rates, reading="applied", metrics=metrics)
        return Run(applied, weights, reported, losses, losses)

    ours = run(our_rates, weight, our_losses)
    keras = run(keras_rates, 1.0, keras_losses)
    return comparison.Outcome(recipe(1, 3), 0, keras, ours, ours, ours)


RATES = np.array([0.1, 0.05, 0.025], np.float32)


def test_equal_runs_pass():
    failed = comparison.failures([outcome(keras_rates=RATES, our_rates=RATES)], gate_weights=True)
    assert failed == []
    assert comparison.exit_status(failed) == 0


@pytest.mark.parametrize("bit", [0, 7, 22, 30, 31])
def test_one_flipped_bit_fails(bit):
    flipped = RATES.copy()
    flipped.view(np.uint32)[1] ^= np.uint32(1 << bit)
    found = outcome(keras_rates=RATES, our_rates=flipped)
    assert found.reported.bits == found.applied.bits == found.torch_loop_applied.bits == 1
    assert found.reported.comparison.differing == 1
    failed = comparison.failures([found], gate_weights=False)
    assert len(failed) == 3
    assert "1 bit of the reported learning rates differ" in failed[0]
    assert "between Keras and Lightning, first at update 1" in failed[0]
    assert "between Keras and the torch loop, first at update 1" in failed[2]
    assert comparison.exit_status(failed) == 1
    verdict = report.verdict([found], [found], failed, gate_weights=False)
    assert verdict.startswith("2 of 192 learning-rate bits differ between Keras and Lightning")
    assert "\n1 of 96 learning-rate bits differ between Keras and the torch loop" in verdict
    assert "FAILED" in verdict
    assert "PASSED" not in verdict


@pytest.mark.parametrize(
    ("trainer", "reading"),
    [("lightning", "reported"), ("lightning", "applied"), ("torch_loop", "applied")],
)
def test_flip_in_one_run_and_reading_fails(trainer, reading):
    same = outcome(keras_rates=RATES, our_rates=RATES)
    flipped = RATES.copy()
    flipped.view(np.uint32)[2] ^= np.uint32(1)
    changed = {reading: Trajectory(flipped, reading=reading)}
    run = dataclasses.replace(getattr(same, trainer), **changed)
    (line,) = comparison.failures([dataclasses.replace(same, **{trainer: run})], gate_weights=False)
    assert f"of the {reading} learning rates" in line
    assert comparison.JUDGED[trainer] in line


def test_missing_update_fails():
    found = outcome(keras_rates=RATES, our_rates=RATES[:2])
    assert found.reported.bits == 32
    assert len(comparison.failures([found], gate_weights=False)) == 3


def test_rate_beyond_float32_fails():
    doubles = RATES.astype(np.float64)
    doubles[1] = np.nextafter(doubles[1], 1.0)  # rounds to the same float32
    found = outcome(keras_rates=RATES, our_rates=doubles)
    assert found.applied.bits == 1
    assert comparison.failures([found], gate_weights=False)


def follower(our_losses, nudge=0):
    """Rates that follow losses; the last one of ours is some units in the last place off."""
    losses = (0.5, 0.25, 0.125)

    def rates(of):
        return np.array([0.05, *(0.05 * math.exp(loss) for loss in of[:2])], np.float32)

    our_rates = rates(our_losses)
    our_rates.view(np.uint32)[-1:] += np.uint32(nudge)
    return outcome(
        keras_rates=rates(losses),
        our_rates=our_rates,
        recipe=RECIPES[-1],
        keras_losses=losses,
        our_losses=our_losses,
    )


@pytest.mark.parametrize(
    ("apart", "nudge"), [(0.0, 0), (0.0, 1), (1e-8, 0), (1e-7, 0), (1e-6, 0), (1e-3, 0)]
)
def test_rates_may_differ_as_the_losses_do(apart, nudge):
    found = follower((0.5 + apart, 0.25 - apart, 0.125), nudge)
    assert comparison.failures([found], gate_weights=False) == []
    assert 0 <= found.applied.explained <= 1
    if found.applied.bits:
        assert found.applied.explained > 0.4
    else:
        assert apart < 1e-7


@pytest.mark.parametrize(("apart", "nudge"), [(0.0, 3), (1e-7, 6), (1e-6, 40)])
def test_rates_that_the_losses_do_not_explain_fail(apart, nudge):
    found = follower((0.5, 0.25 + apart, 0.125), nudge)
    assert found.applied.explained > 1
    lines = comparison.failures([found], gate_weights=False)
    assert len(lines) == 3
    for line in lines:
        assert " times what the losses explain, first at update 2: " in line
    verdict = report.verdict([found], [found], lines, gate_weights=False)
    assert "the losses do not explain that" in verdict
    assert "FAILED" in verdict


@pytest.mark.parametrize("losses", [(0.5, 0.25), (0.5, math.nan, 0.125), ()])
def test_losses_that_are_missing_explain_nothing(losses):
    same = follower((0.5, 0.25, 0.125), 3)
    lightning = dataclasses.replace(same.lightning, losses=losses, losses_reported=losses)
    found = dataclasses.replace(same, lightning=lightning)
    assert not found.applied.sound
    assert not found.reported.sound


@pytest.mark.parametrize("weight", [1.0001, np.nan, np.inf])
def test_far_weights_fail_only_where_they_are_judged(weight):
    found = [outcome(keras_rates=RATES, our_rates=RATES, weight=weight)]
    assert comparison.failures(found, gate_weights=False) == []
    for line, whose in zip(
        comparison.failures(found, gate_weights=True), comparison.JUDGED.values(), strict=True
    ):
        assert f"the weights of {whose}" in line
        assert "more than 1e-05" in line


@pytest.mark.parametrize("module", [comparison, progress, run], ids=lambda m: m.__name__)
def test_docstrings(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_weights_of_torch_sgd_are_not_judged():
    far = outcome(keras_rates=RATES, our_rates=RATES, weight=2.0)
    near = outcome(keras_rates=RATES, our_rates=RATES)
    mixed = dataclasses.replace(near, torch_sgd=far.torch_sgd)
    assert comparison.failures([mixed], gate_weights=True) == []


# --- what is wrong with the input -----------------------------------------------------------------


def assert_one_line(finished: subprocess.CompletedProcess[str], *words: str) -> None:
    assert finished.returncode == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], ["--epochs", "at least 1"]),
        (["--epochs", "-3"], ["--epochs"]),
        (["--epochs", "many"], ["--epochs", "many"]),
        (["--seeds", "0"], ["--seeds", "at least 1"]),
        (["--seed", "1.5"], ["--seed", "1.5"]),
        (["--recipes", "cosine", "sine"], ["'sine'", "restarts"]),
        (["--recipes"], ["--recipes"]),
        (["--data", "a.csv", "--download"], ["not allowed"]),
        (["--verbose"], ["--verbose"]),
    ],
)
def test_bad_options(arguments, words):
    assert_one_line(run_demo(*arguments), *words)


def row(features: int = 34, label: str = "g", value: str = "0.5") -> str:
    return ",".join([value] * features + [label])


GOOD = "\n".join([row(), row(label="b")] * 20)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "\n" + row(33), ["line 41", "found 34 columns"]),
        (GOOD + "\n" + row(35), ["line 41", "found 36 columns"]),
        ("not a table", ["line 1", "found 1 column"]),
        (GOOD + "\n" + row(value="x"), ["line 41", "'x' is not a finite number"]),
        (GOOD + "\n" + row(value="nan"), ["line 41", "'nan' is not a finite number"]),
        (GOOD + "\n" + row(label="c"), ["line 41", "g or b", "'c'"]),
        ("\n".join([row()] * 40), ["every row has the label g"]),
        (row(), ["at least 30 rows; found 1"]),
        ("", ["at least 30 rows; found 0"]),
        ("\x00\x80", ["cannot be read"]),
    ],
)
def test_bad_file(tmp_path, capsys, text, words):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SystemExit) as ended:
        demo.main(["--data", str(path), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr()
    finished = subprocess.CompletedProcess([], ended.value.code, printed.out, printed.err)
    assert_one_line(finished, str(path), *words)


def test_no_file(tmp_path):
    missing = str(tmp_path / "missing.csv")
    assert_one_line(
        run_demo("--data", missing, "--out", str(tmp_path)), "there is no file", missing
    )
    assert_one_line(run_demo("--data", str(tmp_path), "--out", str(tmp_path)), "is not a file")


def test_folder_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    assert_one_line(run_demo("--out", str(path)), str(path))


def test_missing_packages(monkeypatch, capsys):
    monkeypatch.setattr(demo, "_installed", lambda module: module not in ("keras", "sklearn"))
    with pytest.raises(SystemExit) as ended:
        demo.main([])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not installed: keras, scikit-learn." in line


def test_names_on_the_command_line_are_the_recipes():
    assert tuple(recipe.name for recipe in RECIPES) == demo.RECIPE_NAMES


def test_help_costs_nothing():
    finished = run_demo("--help")
    assert finished.returncode == 0
    assert all(name in finished.stdout for name in demo.RECIPE_NAMES)


# --- data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
def test_every_row_counts(end):
    table = data.parse_ionosphere(GOOD + end, "here")
    assert table.features.shape == (40, 34)
    assert table.labels.tolist() == [1.0, 0.0] * 20


def test_header_and_byte_order_mark_are_passed_over(tmp_path):
    header = ",".join([*(f"a{i:02}" for i in range(1, 35)), "class"])
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (header + "\n" + GOOD).encode())
    assert data.ionosphere(path).features.shape == (40, 34)


def test_split_is_standardised_and_holds_each_row_once():
    table = data.parse_ionosphere(GOOD, "here")
    features = np.arange(40 * 34, dtype=float).reshape(40, 34)
    features[:, 1] = 0.0  # as in ionosphere
    split = data.split(dataclasses.replace(table, features=features), seed=3)
    assert (len(split.inputs), len(split.validation_inputs)) == (26, 14)
    assert split.inputs.dtype == split.labels.dtype == np.float32
    np.testing.assert_allclose(np.delete(split.inputs, 1, axis=1).std(axis=0), 1, rtol=1e-5)
    assert not split.inputs[:, 1].any()
    rows = np.concatenate([split.inputs, split.validation_inputs])
    assert len(np.unique(rows[:, 0])) == 40


class Answer:
    """What urlopen returns."""

    def __init__(self, content):
        self.content = content

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def read(self, limit):
        return self.content[:limit]


def served(monkeypatch, answer):
    """Let every address be answered by ``answer(address)``; returns the addresses asked."""
    asked = []

    def urlopen(address, timeout):
        assert timeout > 0
        asked.append(address)
        return Answer(answer(address))

    monkeypatch.setattr(data.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(data, "IONOSPHERE_SHA256", data._checksum(GOOD.encode()))
    return asked


def test_download_is_checked_and_kept(tmp_path, monkeypatch):
    asked = served(monkeypatch, lambda address: (GOOD + "\n").replace("\n", "\r\n").encode())
    path = tmp_path / "ionosphere.csv"
    data.download_ionosphere(path)
    data.download_ionosphere(path)
    assert asked == [data.IONOSPHERE_SOURCES[0]]
    assert all(address.startswith("https://") for address in data.IONOSPHERE_SOURCES)
    assert len(data.ionosphere(path).labels) == 40


def test_download_falls_back_on_the_archive(tmp_path, monkeypatch):
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ionosphere.data", GOOD)
    served(
        monkeypatch,
        lambda address: packed.read_bytes() if address.endswith(".zip") else b"moved",
    )
    path = tmp_path / "ionosphere.csv"
    data.download_ionosphere(path)
    assert path.read_text() == GOOD


@pytest.mark.parametrize("content", [b"", b"<html>moved</html>", GOOD[:-1].encode() + b"g"])
def test_download_of_something_else_fails(tmp_path, monkeypatch, content):
    served(monkeypatch, lambda address: content)
    path = tmp_path / "ionosphere.csv"
    with pytest.raises(data.DataError, match="SHA-256"):
        data.download_ionosphere(path)
    assert not path.exists()


def test_download_without_a_network_ends_in_an_error(tmp_path, monkeypatch, capsys):
    def refuse(address, timeout):
        raise OSError("no route to host")

    monkeypatch.setattr(data.urllib.request, "urlopen", refuse)
    with pytest.raises(SystemExit) as ended:
        demo.main(["--download", "--out", str(tmp_path)])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no route to host" in line
    assert "--data PATH" in line


def test_download_does_not_hang(tmp_path, monkeypatch):
    served(monkeypatch, lambda address: time.sleep(5) or b"late")
    monkeypatch.setattr(data, "DOWNLOAD_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(data.DataError, match=r"no answer within 0\.1 s"):
        data.download_ionosphere(tmp_path / "ionosphere.csv")
    assert time.monotonic() - began < 3
