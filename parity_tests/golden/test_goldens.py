"""lrparity against the recorded trajectories; neither Keras nor TensorFlow is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from goldens import FOLDER, UPDATES, goldens
from lrparity.trajectory import Trajectory, compare

GOLDENS = list(goldens())


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.path.stem)
def test_the_bits_of_the_recorded_keras(golden):
    recorded = Trajectory.load(golden.path)
    assert recorded.provenance["recipe"] == golden.recipe, "run `make goldens`"
    assert len(recorded) == UPDATES
    assert np.isfinite(recorded.learning_rate).all()
    comparison = compare(golden.simulated(), recorded)
    assert comparison.identical, str(comparison)


def test_no_golden_is_left_over():
    assert {path.name for path in FOLDER.glob("*.json")} == {g.path.name for g in GOLDENS}


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.path.stem)
def test_a_planted_error_is_found(golden):
    simulated, recorded = golden.simulated(), Trajectory.load(golden.path)
    rates = simulated.learning_rate.copy()
    rates[137] = np.nextafter(rates[137], np.float32(9))
    comparison = compare(replace(simulated, rates=rates), recorded)
    assert not comparison.identical
    assert (comparison.differing, comparison.first.at) == (1, 137)


def test_the_three_forms_of_decay_are_told_apart():
    by_version = {
        v: Trajectory.load(FOLDER / f"decay-{v}-0-applied.json") for v in ("1.2.2", "2.3.1", "2.21")
    }
    assert compare(by_version["1.2.2"], by_version["2.3.1"]).identical
    assert compare(by_version["2.3.1"], by_version["2.21"]).differing > 20


def test_goldens_are_read_without_tensorflow():
    script = (
        "import sys; import goldens; from lrparity.trajectory import Trajectory, compare\n"
        "assert all(compare(g.simulated(), Trajectory.load(g.path)) for g in goldens.goldens())\n"
        "assert not {'tensorflow', 'keras', 'tf_keras', 'lightning'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, cwd=FOLDER.parent)
