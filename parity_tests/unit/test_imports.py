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
