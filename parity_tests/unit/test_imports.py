"""What an import loads, and that the package says what it is."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

import lrparity

HEAVY = ("torch", "lightning", "pytorch_lightning", "tensorflow", "keras", "tf_keras", "matplotlib")
LOADS = {
    "lrparity": (),
    "lrparity.float32": (),
    "lrparity.trajectory": (),
    "lrparity.schedules": (),
    "lrparity.lr_scheduler": ("torch",),
    "lrparity.optim": ("torch",),
    "lrparity.ensemble": ("torch",),
    "lrparity.callbacks": (),
}
HOUSES = {
    "lrparity.callbacks.lightning_pytorch": {"lightning"},
    "lrparity.callbacks.pytorch_lightning": {"pytorch_lightning"},
}


@pytest.mark.parametrize("module", LOADS)
def test_an_import_loads_no_more_than_it_must(module):
    script = f"import sys, {module}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.split() == list(LOADS[module])
    assert done.stderr == ""


@pytest.mark.parametrize("module", HOUSES)
def test_a_house_loads_no_other_lightning(module):
    script = f"import sys, {module}; print(*(set({HEAVY[1:]!r}) & set(sys.modules)))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert set(done.stdout.split()) - {"matplotlib"} == HOUSES[module]  # torchmetrics loads that


@pytest.mark.parametrize(
    ("installed", "variable", "house"),
    [
        (("lightning", "pytorch_lightning"), None, "lightning_pytorch"),
        (("lightning", "pytorch_lightning"), "", "lightning_pytorch"),
        (("lightning", "pytorch_lightning"), "lightning.pytorch", "lightning_pytorch"),
        (("lightning", "pytorch_lightning"), "pytorch_lightning", "pytorch_lightning"),
        (("pytorch_lightning",), None, "pytorch_lightning"),
    ],
)
def test_the_rule_for_the_two_import_names(installed, variable, house, monkeypatch):
    from lrparity import callbacks

    monkeypatch.setattr(
        callbacks.importlib.util, "find_spec", lambda name: name if name in installed else None
    )
    monkeypatch.delenv("LRPARITY_LIGHTNING", raising=False)
    if variable is not None:
        monkeypatch.setenv("LRPARITY_LIGHTNING", variable)
    assert callbacks.ScheduleLR.__module__ == f"lrparity.callbacks.{house}"
    assert callbacks.LearningRateRecorder.__module__ == f"lrparity.callbacks.{house}"


def test_no_lightning_at_all_and_a_wrong_variable(monkeypatch):
    from lrparity import callbacks

    monkeypatch.setattr(callbacks.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("LRPARITY_LIGHTNING", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'lrparity\[lightning\]'"):
        _ = callbacks.ScheduleLR
    monkeypatch.setenv("LRPARITY_LIGHTNING", "lightning")
    with pytest.raises(ImportError, match=r"LRPARITY_LIGHTNING is 'lightning'; it must be one of"):
        _ = callbacks.ScheduleLR
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = callbacks.Nothing


@pytest.mark.parametrize("module", LOADS)
def test_all_is_what_there_is(module):
    __import__(module)
    loaded = sys.modules[module]
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None
        assert not name.startswith("_") or name == "__version__"


def test_version_and_types():
    assert metadata.version("lrparity") == lrparity.__version__
    from importlib.resources import files

    assert files("lrparity").joinpath("py.typed").is_file()
