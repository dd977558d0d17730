"""The part of ``make goldens`` that records the plateau callback, each Keras version in its own process.

Keras 3 runs as it is, from its wheel, on a real optimizer.  Keras up to 2.15 cannot be imported here:
the class is run out of its source, on stand-ins, next to NumPy 1 in an environment made for it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import plateau_goldens
import plateau_keras
from plateau_goldens import COUNT, FOLDER, NUMPY_1, SEED, TRACES_FILE, VERSIONS, Version
from plateau_traces import Outcome, generate

HERE = Path(__file__).parent
CALLBACK = "keras/src/callbacks/reduce_lr_on_plateau.py"


def download(version: str, folder: Path) -> Path:
    """The wheel or source archive of a Keras version."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--dest", str(folder), f"keras=={version}"], check=True, timeout=300)
    (archive,) = folder.iterdir()
    return archive


@functools.cache
def source(version: str, *names: str) -> tuple[str, str]:
    """The first of these files that a Keras version has: its name and its text."""
    with tempfile.TemporaryDirectory() as folder:
        archive = download(version, Path(folder))
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as packed:
                name = next(name for name in names if name in packed.namelist())
                return name, packed.read(name).decode()
        with tarfile.open(archive) as packed:
            members = {member.name.partition("/")[2]: member for member in packed}
            name = next(name for name in names if name in members)
            return name, packed.extractfile(members[name]).read().decode()


def record(version: Version, python_1: Path) -> tuple[dict[str, Any], list[Outcome]]:
    """A version's provenance and outcomes, out of a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        arguments, python, path = [version.keras, str(TRACES_FILE)], Path(sys.executable), [HERE]
        if version.source:
            files = ("keras/src/callbacks.py", "keras/callbacks/callbacks.py", "keras/callbacks.py")
            name, text = source(version.keras, *files)
            (Path(folder) / "callbacks.py").write_text(text, "utf-8")
            arguments.append(str(Path(folder) / "callbacks.py"))
            python = python_1 if version.numpy else python
        else:
            name, unpacked = CALLBACK, Path(folder) / "unpacked"
            zipfile.ZipFile(download(version.keras, Path(folder))).extractall(unpacked)
            text = (unpacked / name).read_text("utf-8")
            path.insert(0, unpacked)
        printed = subprocess.run(
            [str(python), plateau_keras.__file__, *arguments],
            check=True,
            timeout=900,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, path)), "KERAS_BACKEND": "tensorflow"},
        ).stdout.splitlines()
    runs_on, *outcomes = printed
    provenance = {
        "framework": f"keras {version.keras}",
        "runs": "the class out of its source, on stand-ins for the backend"
        if version.source
        else "the callback on keras.optimizers.SGD, TensorFlow backend, CPU",
        **dict(field.split("=") for field in runs_on.split()),
        "python": platform.python_version(),
        "source": name,
        "source_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "traces_sha256": plateau_goldens.traces_digest(),
        "recorded_by": "make goldens",
    }
    return provenance, [Outcome.from_text(line) for line in outcomes]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for stale in set(FOLDER.iterdir()) - {TRACES_FILE, *(v.path for v in VERSIONS)}:
        stale.unlink()
        print(f"removed  plateau/{stale.name}")
    text = "".join(trace.to_line() + "\n" for trace in generate(SEED, COUNT))
    if not TRACES_FILE.exists() or TRACES_FILE.read_text("utf-8") != text:
        TRACES_FILE.write_text(text, "utf-8")
        print(f"drawn    plateau/{TRACES_FILE.name}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=300)
        python_1 = Path(folder) / "bin" / "python"
        install = [python_1, "-m", "pip", "install", "--quiet", f"numpy=={NUMPY_1}"]
        subprocess.run(install, check=True, timeout=600)
        for version in VERSIONS:
            saved = plateau_goldens.save(version, *record(version, python_1))
            print(f"{'recorded' if saved else 'kept':8} plateau/{version.path.name}")


if __name__ == "__main__":
    main()
