"""The examples run as their README says, agree with Keras, and can fail."""

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from demo_parts import data, tutorial
from examples_side import EXAMPLES, run_python
from lrparity.schedules import CosineDecay, StepDecay, TimeBasedDecay
from registry import CASES

EPOCHS = 3


@pytest.fixture(scope="module")
def ionosphere(tmp_path_factory) -> str:
    """A file of the form of the UCI ionosphere data, with numbers drawn at random."""
    random = np.random.default_rng(0)
    values = random.uniform(-1, 1, (351, 34)).round(5)
    values[:, 1] = 0.0  # as in the original
    labels = np.where(values[:, 0] > 0, "g", "b")
    path = tmp_path_factory.mktemp("data") / "ionosphere.csv"
    rows = (",".join([*map(str, row), label]) for row, label in zip(values, labels, strict=True))
    path.write_text("\n".join(rows))
    return str(path)


# --- side by side with Keras ----------------------------------------------------------------------


def check_table(finished, updates: int, schedule=None, epochs: int = EPOCHS) -> None:
    """The epoch table agrees in every column, and with the schedule; the verdict is clean."""
    assert finished.stderr == ""
    assert finished.returncode == 0, finished.stdout
    rows = [line.split() for line in finished.stdout.splitlines() if re.match(r" *\d+ ", line)]
    assert [int(row[0]) for row in (rows[0], rows[-1])] == [1, epochs]
    for epoch, *columns in rows:
        keras, lightning = columns[::2], columns[1::2]
        assert keras[0] == lightning[0]
        if schedule is not None:
            assert keras[0] == str(np.float32(schedule(int(epoch) - 1)))
        assert abs(float(keras[1]) - float(lightning[1])) < 2e-4  # the loss
        assert keras[2] == lightning[2]  # the validation accuracy
    assert f"identical: 0 of {updates} rates differ" in finished.stdout
    (distance,) = re.findall(r"max\|dw\| / max\|w\| = (\S+)", finished.stdout)
    assert 0 < float(distance) < 1e-5


@pytest.mark.keras
def test_time_based_decay(ionosphere):
    finished = run_python(
        str(EXAMPLES / "time_based_decay.py"), "--epochs", str(EPOCHS), "--data", ionosphere
    )
    batches = 9  # of 28 of the first 235 rows
    schedule = TimeBasedDecay(0.1, decay=0.1 / EPOCHS)
    check_table(finished, EPOCHS * batches, lambda epoch: schedule(batches * epoch))
    assert "ionosphere data, 351 rows of 34 numbers, 3 epochs" in finished.stdout


@pytest.mark.keras
def test_drop_based_decay():
    finished = run_python(str(EXAMPLES / "drop_based_decay.py"), "--epochs", str(EPOCHS))
    check_table(finished, EPOCHS * 14, StepDecay(0.1, drop=0.5, epochs_drop=10))
    assert "breast cancer data, 569 rows of 30 numbers, 3 epochs" in finished.stdout


@pytest.mark.keras
def test_plateau():
    epochs = 31
    finished = run_python(str(EXAMPLES / "plateau.py"), "--epochs", str(epochs))
    check_table(finished, epochs * 14, epochs=epochs)
    keras, lightning = re.findall(r"(?:Keras|Lightning) reduces after epoch (.*)", finished.stdout)
    assert keras == lightning
    assert len(keras.split()) >= 2
    (closest,), (apart,) = (
        re.findall(words + r" (\S+\d)", finished.stdout)
        for words in ("comes within", "Lightning's are")
    )
    assert float(closest) > 20 * float(apart)


@pytest.mark.keras
def test_epoch_function(ionosphere):
    epochs = 13
    finished = run_python(
        str(EXAMPLES / "epoch_function.py"), "--epochs", str(epochs), "--data", ionosphere
    )
    rates = [np.float32(0.1)]
    for epoch in range(1, epochs):
        factor = 1.0 if epoch < 10 else math.exp(-0.1)
        rates.append(np.float32(float(rates[-1]) * factor))
    check_table(finished, epochs * 9, rates.__getitem__, epochs)


@pytest.mark.keras
def test_batch_warmup():
    finished = run_python(
        str(EXAMPLES / "batch_warmup.py"), "--epochs", str(EPOCHS), "--warmup-epochs", "1"
    )
    check_table(finished, EPOCHS * 14, lambda epoch: [0.1 / 14, 0.1, 0.1 * 0.995**14][epoch])


@pytest.mark.keras
@pytest.mark.parametrize("scale", [1.0, -1.0])
def test_loss_driven(scale):
    finished = run_python(
        str(EXAMPLES / "loss_driven.py"), "--epochs", str(EPOCHS), "--scale", str(scale)
    )
    assert finished.stderr == ""
    assert finished.returncode == 0, finished.stdout
    table = finished.stdout.split("max|dw|/max|w|")[1].split("\n\n")[0]
    rows = [line.split() for line in table.strip().splitlines()]
    assert [row[0] for row in rows] == ["batch", "running", "epoch", "dataset"]
    for _, _, _, updates, _, relative, apart, share, distance in rows:
        assert int(updates) == EPOCHS * 21
        assert float(relative) < 1e-5
        assert float(apart) < 1e-6
        assert float(share) <= 1
        assert 0 < float(distance) < 1e-5
    assert "Each rate lies within what its loss explains." in finished.stdout


PLANTED = """
import functools
import runpy
import sys

from lrparity import callbacks, schedules

StepDecay, TimeBasedDecay = schedules.StepDecay, schedules.TimeBasedDecay
schedules.TimeBasedDecay = lambda lr, decay: TimeBasedDecay(lr, decay * 1.00001)
schedules.StepDecay = lambda lr, drop, epochs_drop: StepDecay(lr, drop, epochs_drop=2)
LossDrivenLR = callbacks.LossDrivenLR
callbacks.LossDrivenLR = lambda *rule, scale, **of: LossDrivenLR(*rule, scale=1.00001 * scale, **of)
BatchLearningRateScheduler = callbacks.BatchLearningRateScheduler
callbacks.BatchLearningRateScheduler = functools.partial(BatchLearningRateScheduler, index="batch")
LearningRateScheduler = callbacks.LearningRateScheduler
callbacks.LearningRateScheduler = lambda fn: LearningRateScheduler(lambda e, lr: fn(e + 9, lr))
for script in sys.argv[1:]:
    sys.argv = [script, "--epochs", "2"]
    if "warmup" in script:
        sys.argv += ["--warmup-epochs", "2"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        print("STATUS", end.code)
"""


@pytest.mark.keras
def test_another_rule_is_found():
    names = (
        "time_based_decay",
        "drop_based_decay",
        "epoch_function",
        "batch_warmup",
        "loss_driven",
    )
    finished = run_python("-c", PLANTED, *(str(EXAMPLES / f"{name}.py") for name in names))
    assert finished.returncode == 0, finished.stderr
    time_based, *later, loss_driven, rest = finished.stdout.split("STATUS 1")
    assert rest.strip() == ""
    assert "identical" not in finished.stdout
    assert "different: " in time_based
    assert len(later) == 3
    for printed in later:
        assert "first at update 14 of 'learning_rate'" in printed
    assert "Each rate DOES NOT lie within what its loss explains." in loss_driven


GAN = """
import runpy, sys
from lrparity import schedules

CosineDecay = schedules.CosineDecay
schedules.CosineDecay = lambda **config: CosineDecay(**config | {{"decay_steps": {steps}}})
sys.argv = ["gan.py", "--epochs", "8"]
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.keras
@pytest.mark.parametrize(("steps", "differing"), [(200, "0"), (201, "39")])
def test_two_optimizers_count_for_themselves(steps, differing):
    finished = run_python("-c", GAN.format(steps=steps, script=str(EXAMPLES / "gan.py")))
    assert finished.returncode == (steps != 200), finished.stderr
    lines = {line.split()[0]: line.split() for line in finished.stdout.splitlines() if line}
    assert lines["discriminator"][1:3] == ["160", "0.050000001"]
    assert lines["discriminator"][4] == "0"
    assert lines["generator"][1] == "80"
    assert lines["generator"][4] == differing
    assert float(lines["generator"][5]) < (1e-5 if steps == 200 else 1.0)


# --- without Keras --------------------------------------------------------------------------------


def test_plain_torch_loop_needs_neither_keras_nor_lightning():
    script = (
        "import runpy, sys\n"
        "for name in ('tensorflow', 'keras', 'tf_keras', 'lightning', 'pytorch_lightning'):\n"
        "    sys.modules[name] = None  # cannot be imported\n"
        f"runpy.run_path({str(EXAMPLES / 'plain_torch_loop.py')!r}, run_name='__main__')\n"
    )
    finished = run_python("-c", script)
    assert finished.stderr == ""
    assert finished.returncode == 0
    lines = [line.split() for line in finished.stdout.splitlines()]
    batches = 21
    schedule = CosineDecay(0.1, decay_steps=20 * batches, alpha=0.01)
    assert len(lines) == 20
    for epoch, line in enumerate(lines):
        assert line[4] == f"{schedule(batches * epoch):.9f}"
    losses = [float(line[-1]) for line in lines]
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.keras
@pytest.mark.parametrize("epochs", [2, 6])
def test_discriminative_rates(epochs):
    finished = run_python(
        str(EXAMPLES / "discriminative_rates.py"), "--epochs", str(epochs), "--decay", "0.25"
    )
    assert finished.stderr == ""
    assert finished.returncode == 0, finished.stdout
    rows = [line.split() for line in finished.stdout.splitlines() if re.match(r" *\d+ ", line)]
    first = "frozen" if epochs == 6 else "0.00625"
    assert rows[0] == ["1", first, first, "0.025", "0.025", "0.1", "0.1"]
    assert all(row[1::2] == row[2::2] for row in rows)
    frozen = epochs // 3
    updates = 14 * (3 * epochs - frozen)
    assert f"identical: 0 of {updates} rates differ" in finished.stdout
    assert f"the same after {epochs} of {epochs} epochs" in finished.stdout
    (distance,) = re.findall(r"max\|dw\| / max\|w\| = (\S+)", finished.stdout)
    assert 0 < float(distance) < 1e-5


def test_the_gallery_shows_every_schedule(tmp_path):
    out = tmp_path / "gallery.png"
    finished = run_python(str(EXAMPLES / "gallery.py"), "--out", str(out))
    assert finished.returncode == 0, finished.stderr
    assert f"{len(CASES)} schedules are in {out}" in finished.stdout
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 100_000
    assert (EXAMPLES / "gallery.png").stat().st_size > 100_000
    text = (EXAMPLES / "gallery.py").read_text()
    for case in CASES:
        assert text.count(f"Panel(s.{case.name}(") + text.count(f"s.{case.name}(") >= 1, case.name


# --- options and data -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "--epochs must be at least 1; found 0"),
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["--data", "no-such-file.csv"], "there is no file no-such-file.csv"),
        (["--shuffle"], "unrecognized arguments: --shuffle"),
    ],
)
def test_bad_options(arguments, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["time_based_decay.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        tutorial.begin("what it is")
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err.splitlines()[-1]


def test_a_bad_file_ends_the_script(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("not a table")
    finished = run_python(str(EXAMPLES / "drop_based_decay.py"), "--data", str(path))
    assert finished.returncode == 2
    assert "found 1 column" in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr


def test_ionosphere_is_not_scaled(ionosphere):
    table = data.ionosphere(Path(ionosphere))
    table.features[0] = 1.0  # as large as the original's columns get
    inputs, labels = tutorial.scaled(table)
    assert (inputs == table.features.astype(np.float32)).all()
    assert labels.shape == (351, 1)
    larger, _ = tutorial.scaled(data.Table("", "", 3 * table.features, table.labels))
    np.testing.assert_allclose(larger, inputs, rtol=1e-6)


def test_the_readme_lists_every_example():
    text = (EXAMPLES / "README.md").read_text()
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert set(re.findall(r"^\| \[(\w+\.py)\]", text, re.MULTILINE)) == scripts
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (EXAMPLES / target).exists()
    for script in re.findall(r"examples/(\w+\.\w+)", text):
        assert (EXAMPLES / script).exists()
