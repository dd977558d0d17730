"""The part of ``make goldens`` that records other packages' schedules, each from its own source.

The packages are fetched from the package registry at the versions below, and the classes are run out
of their files without the rest of the package, on the installed TensorFlow and tf_keras.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.random import Generator
from tensorflow.python.keras.optimizer_v2 import legacy_learning_rate_decay as v1
from tf_keras.src.optimizers.schedules import learning_rate_schedule as tf_keras_schedules

import origins
from origins import OriginCase

Config = dict[str, Any]
Draw = Callable[[Generator], Config]
Schedule = Callable[..., Any]
Build = Callable[[Config], Schedule]
T = TypeVar("T")
SEED = 20251120

# --- the packages ---------------------------------------------------------------------------------


@functools.cache
def archive(package: str) -> dict[str, str]:
    """The Python files of ``name==version``, by their path in the package."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", folder, package], check=True, timeout=600)
        (file,) = Path(folder).iterdir()
        if file.suffix == ".whl":
            with zipfile.ZipFile(file) as packed:
                names = [name for name in packed.namelist() if name.endswith(".py")]
                return {name: packed.read(name).decode() for name in names}
        with tarfile.open(file) as packed:
            members = [member for member in packed if member.name.endswith(".py")]
            files = {
                member.name.partition("/")[2]: packed.extractfile(member) for member in members
            }
            return {name: stream.read().decode() for name, stream in files.items() if stream}


def load(package: str, file: str, wanted: str = "", **given: Any) -> types.SimpleNamespace:
    """Definitions out of one file of a package, without the imports that are not at hand.

    ``wanted`` names the definitions, all of them if empty; ``given`` are the names that the imports
    left out would have brought.
    """
    text = archive(package)[file]
    tree, names = ast.parse(text), wanted.split()
    tree.body = [node for node in tree.body if _kept(node, names)]
    module = types.ModuleType(Path(file).stem)
    vars(module).update(given)
    exec(compile(tree, f"{package} {file}", "exec"), vars(module))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return types.SimpleNamespace(**vars(module), source={file: digest})


def _kept(node: ast.stmt, wanted: list[str]) -> bool:
    if isinstance(node, ast.Import):
        return all(importlib.util.find_spec(a.name.partition(".")[0]) for a in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and node.module in ("__future__", "typing")
    if isinstance(node, ast.Assign):
        return not wanted or getattr(node.targets[0], "id", None) in wanted
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return not wanted or node.name in wanted
    return False


# --- the two readings -----------------------------------------------------------------------------


def _value(rate: Any) -> Any:
    """A rate; functions of TensorFlow 1 return a function of nothing where there is no graph."""
    return rate() if callable(rate) else rate


def eager(schedule: Schedule, steps: np.ndarray, float_steps: bool) -> np.ndarray:
    iterations = tf.Variable(0, dtype=tf.int64)
    rates = []
    for step in steps:
        iterations.assign(int(step))
        given = tf.cast(iterations, tf.float32) if float_steps else iterations
        rates.append(float(_value(schedule(given))))
    return np.array(rates, np.float32)


def graph(schedule: Schedule, steps: np.ndarray, float_steps: bool) -> np.ndarray:
    iterations = tf.Variable(0, dtype=tf.int64)

    def applied() -> Any:
        given = tf.cast(iterations, tf.float32) if float_steps else iterations
        return tf.cast(_value(schedule(given)), tf.float32)

    compiled, rates = tf.function(applied, autograph=False), []
    for step in steps:
        iterations.assign(int(step))
        rates.append(float(compiled()))
    return np.array(rates, np.float32)


# --- drawing arguments ----------------------------------------------------------------------------


def _log(rng: Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _pick(rng: Generator, *options: T) -> T:
    return options[rng.integers(len(options))]


def _rate(rng: Generator) -> float:
    return _pick(rng, 0.1, 0.01, 1e-3, 3e-4, 1.0, _log(rng, 1e-6, 2.0), _log(rng, 1e-5, 1.0))


def _count(rng: Generator) -> int:
    """A whole number of steps: favourites, awkward reciprocals, anything."""
    favourites = _pick(rng, 1, 2, 3, 7, 10, 100, 500, 1000, 10_000, 100_000)
    awkward = _pick(rng, 41, 47, 55, 61, 82, 83, 94, 97, 107, 109, 1172)
    return _pick(rng, favourites, awkward, int(_log(rng, 1, 1e6)), int(_log(rng, 5, 500)))


def _length(rng: Generator) -> float:
    """A number of steps, whole or not."""
    return _pick(rng, _count(rng), _count(rng), _count(rng), float(rng.uniform(0.3, 300)))


def _warm(rng: Generator) -> int:
    return _pick(rng, 0, 1, 5, 10, _count(rng), _count(rng), _count(rng), _count(rng))


def _offset(rng: Generator) -> int:
    return _pick(rng, 0, 1, 5, 41, int(_log(rng, 1, 1e4)))


def _power(rng: Generator) -> float:
    return _pick(rng, 1.0, 1.0, -0.5, 0.5, 2.0, -1.0, 3.0, 0, 1, 2, float(rng.uniform(0.1, 4.0)))


def _exponential(rng: Generator) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "decay_steps": _length(rng),
        "decay_rate": _pick(rng, 0.96, 0.5, 0.1, 0.9, float(rng.uniform(0.01, 1.1))),
        "staircase": bool(rng.integers(2)),
    }


def _inverse(rng: Generator) -> Config:
    rate = _pick(rng, 0.5, 1.0, 1e-3, float(rng.uniform(0.0, 5.0)))
    return _exponential(rng) | {"decay_rate": rate}


def _polynomial(rng: Generator) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "decay_steps": _length(rng),
        "end_learning_rate": _pick(rng, 0.0, 1e-4, _rate(rng)),
        "power": _pick(rng, 1.0, 1.0, 0.5, 2.0, 3.0, float(rng.uniform(0.1, 6.0))),
        "cycle": bool(rng.integers(4) == 0),
    }


def _boundaries(rng: Generator, n: int) -> list[int]:
    span = int(_log(rng, 30, 1e6))
    return [int(b) for b in np.sort(rng.choice(np.arange(1, span), n, replace=False))]


def _piecewise(rng: Generator) -> Config:
    n = int(rng.integers(1, 5))
    return {"boundaries": _boundaries(rng, n), "values": [_rate(rng) for _ in range(n + 1)]}


def _cosine(rng: Generator, warm_up: bool = True) -> Config:
    config: Config = {
        "initial_learning_rate": _rate(rng),
        "decay_steps": _length(rng),
        "alpha": _pick(rng, 0.0, 0.1, 0.01, 1.0, float(rng.uniform(0.0, 1.0))),
    }
    if warm_up and rng.integers(3) == 0:
        config |= {"warmup_target": _rate(rng), "warmup_steps": _warm(rng)}
    return config


def _restarts(rng: Generator) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "first_decay_steps": _length(rng),
        "t_mul": _pick(rng, 1.0, 1.1, 1.5, 2.0, 3.0, float(rng.uniform(1.0, 3.0))),
        "m_mul": _pick(rng, 1.0, 0.9, 0.5, float(rng.uniform(0.1, 1.2))),
        "alpha": _pick(rng, 0.0, 0.1, float(rng.uniform(0.0, 0.6))),
    }


def _direct(rng: Generator) -> Config:
    return {"initial_learning_rate": _rate(rng), "power": _power(rng)}


def _power_and_linear(rng: Generator) -> Config:
    return _direct(rng) | {
        "total_decay_steps": _count(rng),
        "linear_decay_fraction": _pick(rng, 0.1, 0.5, 1.0, 0.0, float(rng.uniform(0.01, 1.0))),
        "offset": _offset(rng),
    }


def _power_with_offset(rng: Generator) -> Config:
    config = _direct(rng) | {"offset": _offset(rng)}
    if rng.integers(2):
        config["pre_offset_learning_rate"] = _rate(rng)
    return config


def _step_cosine(rng: Generator) -> Config:
    n = int(rng.integers(1, 6))
    boundaries = _boundaries(rng, n)
    if rng.integers(2):
        boundaries[0] = 0
    values = [_rate(rng) for _ in range(n)]
    return {"boundaries": boundaries, "values": values, "offset": _offset(rng)}


def _with_offset(draw: Draw) -> Draw:
    return lambda rng: draw(rng) | {"offset": _offset(rng)}


INNER: dict[str, Draw] = {
    "PolynomialDecay": _polynomial,
    "ExponentialDecay": _exponential,
    "InverseTimeDecay": _inverse,
    "PiecewiseConstantDecay": _piecewise,
    "CosineDecay": _cosine,
    "CosineDecayRestarts": _restarts,
}
OWN: dict[str, Draw] = {
    "PolynomialDecayWithOffset": _with_offset(_polynomial),
    "ExponentialDecayWithOffset": _with_offset(_exponential),
    "PiecewiseConstantDecayWithOffset": _with_offset(_piecewise),
    "CosineDecayWithOffset": _with_offset(_cosine),
    "DirectPowerDecay": _direct,
    "PowerAndLinearDecay": _power_and_linear,
    "PowerDecayWithOffset": _power_with_offset,
    "StepCosineDecayWithOffset": _step_cosine,
}


def _inner(rng: Generator, *draws: dict[str, Draw]) -> Config:
    """A schedule to be wrapped; the plain polynomial, which is the usual one, most often."""
    merged = {name: draw for group in draws for name, draw in group.items()}
    name = _pick(rng, *merged, "PolynomialDecay", "PolynomialDecay")
    return {"class_name": name, "config": merged[name](rng)}


def _linear_warmup(rng: Generator) -> Config:
    after = _pick(rng, *[_inner(rng, INNER, OWN) for _ in range(7)], _rate(rng))
    rate = _pick(rng, 0.0, 0.0, _rate(rng), _rate(rng))
    config = {"after_warmup_lr_sched": after, "warmup_steps": _warm(rng)}
    return config | {"warmup_learning_rate": rate}


def _polynomial_warmup(rng: Generator) -> Config:
    after = _pick(rng, *[_inner(rng, INNER, OWN) for _ in range(7)], _rate(rng))
    config = {"after_warmup_lr_sched": after, "warmup_steps": _warm(rng)}
    return config | {"power": _power(rng)}


def _warm_up(rng: Generator) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "decay_schedule_fn": _inner(rng, INNER),
        "warmup_steps": _warm(rng),
        "power": _power(rng),
    }


def _warm_up_and_decay(rng: Generator) -> Config:
    initial, warm = _rate(rng), _warm(rng)
    return {
        "init_lr": initial,
        "num_train_steps": warm + _count(rng),
        "num_warmup_steps": warm,
        "min_lr_ratio": _pick(rng, 0.0, 0.0, 0.1, float(rng.uniform(0.0, 1.0))),
        "power": _pick(rng, 1.0, 1.0, 0.5, 2.0, float(rng.uniform(0.1, 4.0))),
    }


def _cyclical(rng: Generator) -> Config:
    return {
        "initial_learning_rate": _pick(rng, 0.0, _rate(rng), _rate(rng), _rate(rng)),
        "maximal_learning_rate": _rate(rng),
        "step_size": _length(rng),
    }


SCALES = (
    "1.0",
    "1 / x",
    "1 / (2.0 ** (x - 1))",
    "0.9 ** x",
    "0.5 * x",
    "1 / (1 + 0.05 * x)",
    "x ** -0.5",
)


def _cyclical_with_function(rng: Generator) -> Config:
    mode = _pick(rng, "cycle", "cycle", "iterations")
    return _cyclical(rng) | {"scale_fn": _pick(rng, *SCALES), "scale_mode": mode}


def _cyclical_with_mode(rng: Generator) -> Config:
    return _cyclical(rng) | {"scale_mode": _pick(rng, "cycle", "cycle", "iterations")}


def _cyclical_exponential(rng: Generator) -> Config:
    gamma = _pick(rng, 1.0, 0.9999, 0.99, 0.96, float(rng.uniform(0.5, 1.001)))
    return _cyclical(rng) | {"gamma": gamma, "scale_mode": _pick(rng, "cycle", "iterations")}


def _linear_cosine(rng: Generator) -> Config:
    return {
        "initial_learning_rate": _rate(rng),
        "decay_steps": _length(rng),
        "num_periods": _pick(rng, 0.5, 0.5, 1.0, 2.5, float(rng.uniform(0.1, 5.0))),
        "alpha": _pick(rng, 0.0, 0.0, 0.1, float(rng.uniform(0.0, 1.0))),
        "beta": _pick(rng, 0.001, 0.0, float(rng.uniform(0.0, 0.5))),
    }


def _noisy_linear_cosine(rng: Generator) -> Config:
    return _linear_cosine(rng) | {
        "initial_variance": _pick(rng, 1.0, 0.1, 0.0, float(rng.uniform(0.0, 2.0))),
        "variance_decay": _pick(rng, 0.55, 1.0, 0.5, 2.0, float(rng.uniform(0.1, 1.5))),
        "noise": _pick(rng, 0.0, 1.0, float(rng.normal()), float(rng.normal())),
    }


def _v1(draw: Draw) -> Draw:
    """Arguments by the names of TensorFlow 1."""
    return lambda rng: {
        "learning_rate" if name == "initial_learning_rate" else name: value
        for name, value in draw(rng).items()
    }


def _rsqrt(rng: Generator) -> Config:
    return {
        "initial_learning_rate": _pick(rng, 1.0, 2.0, _rate(rng)),
        "hidden_size": _pick(rng, 512, 256, 1024, 768, int(rng.integers(1, 3000))),
        "warmup_steps": max(1, _count(rng)),
    }


def _warmup_decay(rng: Generator) -> Config:
    names = {name: draw for name, draw in INNER.items() if name != "PiecewiseConstantDecay"}
    rate = _pick(rng, None, _rate(rng))
    return {"lr_schedule": _inner(rng, names), "warmup_steps": _warm(rng), "warmup_lr": rate}


def _cosine_with_warmup(rng: Generator) -> Config:
    warm = max(1, _warm(rng))
    return {
        "batch_size": _pick(rng, 32, 128, 256, 1024, 100, 17),
        "total_steps": warm + _count(rng),
        "warmup_steps": warm,
    }


def _piecewise_with_warmup(rng: Generator) -> Config:
    n = int(rng.integers(1, 4))
    boundaries = [int(b) for b in np.sort(rng.choice(np.arange(6, 90), n, replace=False))]
    return {
        "batch_size": _pick(rng, 32, 128, 256, 1024, 100),
        "epoch_size": _pick(rng, 50_000, 4133, 1_281_167, int(_log(rng, 1100, 1e6))),
        "warmup_epochs": _pick(rng, 5, 1, 3),
        "boundaries": boundaries,
        "multipliers": [_pick(rng, 1.0, 0.1, 0.01, _rate(rng)) for _ in range(n + 1)],
    }


def _detection_step(rng: Generator) -> Config:
    n = int(rng.integers(1, 4))
    return {
        "warmup_learning_rate": _rate(rng),
        "warmup_steps": max(1, _warm(rng)),
        "init_learning_rate": _rate(rng),
        "learning_rate_levels": [_rate(rng) for _ in range(n)],
        "learning_rate_steps": _boundaries(rng, n),
    }


def _detection_cosine(rng: Generator) -> Config:
    warm = max(1, _warm(rng))
    return {
        "total_steps": warm + _count(rng),
        "warmup_learning_rate": _rate(rng),
        "warmup_steps": warm,
        "init_learning_rate": _rate(rng),
    }


def _warm_up_and_poly_decay(rng: Generator) -> Config:
    warm = max(1, _warm(rng))
    return {
        "batch_size": _pick(rng, 2048, 65536, 16384, 100, 3000),
        "decay_exp": _pick(rng, 2.0, 1.0, 0.5, float(rng.uniform(0.1, 3.0))),
        "learning_rate": _pick(rng, 40.0, 1.25, _log(rng, 0.01, 100)),
        "warmup_steps": warm,
        "decay_steps": _count(rng),
        "decay_start_steps": warm + _pick(rng, 0, _count(rng)),
    }


# --- which classes --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A class of a package: its name in the file, how to draw its arguments, how to build it."""

    name: str
    draw: Draw
    build: Build
    count: int = 40
    float_steps: Callable[[Config], bool] = lambda config: False

    def record(self, origin: str) -> Iterator[OriginCase]:
        rng = np.random.default_rng([SEED, zlib.crc32(f"{origin} {self.name}".encode())])
        for _ in range(self.count):
            config = self.draw(rng)
            steps = _steps(config, rng)
            schedule, floats = self.build(config), self.float_steps(config)
            reported = eager(schedule, steps, floats)
            applied = reported if "epochs" in config else graph(schedule, steps, floats)
            yield OriginCase(origin, self.name, config, steps, reported, applied, floats)


LENGTHS = {
    "boundaries",
    "decay_start_steps",
    "decay_steps",
    "first_decay_steps",
    "learning_rate_steps",
    "num_train_steps",
    "num_warmup_steps",
    "offset",
    "step_size",
    "total_decay_steps",
    "total_steps",
    "warmup_steps",
}


def _numbers(config: Config) -> Iterator[float]:
    """The numbers of steps in arguments, the wrapped schedule's included."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value["config"])
        elif name in LENGTHS:
            yield from value if isinstance(value, list) else [value]


def _steps(config: Config, rng: Generator) -> np.ndarray:
    """Steps around the places where something happens, between them, and far beyond."""
    if "epochs" in config:
        return np.arange(config["epochs"] * config["steps"])
    places = sorted(_numbers(config))
    if "epoch_size" in config:
        epoch = config["epoch_size"] // config["batch_size"]
        places = [epoch * b for b in (config["warmup_epochs"], *config["boundaries"])]
    sums = [a + b for a in places for b in places][:12]
    inside = int(2 * max(places, default=0)) + 60
    near = [int(place) + d for place in places for d in (-1, 0, 1, 2)]
    chosen = [0, 1, 2, 3, 2**24 - 1, 2**24, 2**24 + 1]
    chosen += list(rng.permutation(near)[:16]) + list(rng.permutation(sums)[:4])
    chosen += list(rng.integers(0, inside, 8)) + list(rng.integers(0, inside // 8 + 9, 5))
    return np.unique(np.array([step for step in chosen if step >= 0], np.int64))


def _built(*spaces: Any) -> Callable[[Any], Any]:
    """Turn ``{"class_name": ..., "config": ...}`` into a schedule of the first module that has it."""

    def build(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        space = next(s for s in (*spaces, tf_keras_schedules) if hasattr(s, value["class_name"]))
        return getattr(space, value["class_name"])(**value["config"])

    return build


def _constructor(cls: Schedule, *spaces: Any) -> Build:
    built = _built(*spaces)
    return lambda config: cls(**{name: built(value) for name, value in config.items()})


MODELS = "tf-models-official==2.20.0"
ADDONS = "tensorflow-addons==0.23.0"
TRANSFORMERS = "transformers==4.57.1"
SWA = "keras-swa==0.1.7"
Recorded = tuple[list[str], dict[str, str], list[Row]]


def models() -> Recorded:
    file = load(MODELS, "official/modeling/optimization/lr_schedule.py")
    nlp = load(MODELS, "official/nlp/optimization.py", "WarmUp")
    rows = [Row(name, draw, _constructor(getattr(file, name))) for name, draw in OWN.items()]
    rows += [
        Row("LinearWarmup", _linear_warmup, _constructor(file.LinearWarmup, file), 60),
        Row("PolynomialWarmUp", _polynomial_warmup, _constructor(file.PolynomialWarmUp, file), 60),
        Row("WarmUp", _warm_up, _constructor(nlp.WarmUp), 60),
    ]
    return [MODELS], file.source | nlp.source, rows


def models_legacy() -> Recorded:
    class Params:
        def __init__(self, values: Config) -> None:
            vars(self).update(values)

    base = "official/legacy"
    rsqrt = load(MODELS, f"{base}/transformer/optimizer.py")
    xlnet = load(MODELS, f"{base}/xlnet/optimization.py", "WarmUp")
    image = load(MODELS, f"{base}/image_classification/learning_rate.py")
    wanted = "BASE_LEARNING_RATE PiecewiseConstantDecayWithWarmup"
    resnet = load(MODELS, f"{base}/image_classification/resnet/common.py", wanted)
    params = types.SimpleNamespace(ParamsDict=Params)
    detection = load(MODELS, f"{base}/detection/modeling/learning_rates.py", params_dict=params)
    ranking = load(MODELS, "official/recommendation/ranking/common.py", "WarmUpAndPolyDecay")

    def detector(cls: Schedule) -> Build:
        return lambda config: cls(config.get("total_steps"), config)

    stepwise, cosine = (
        detection.StepLearningRateWithLinearWarmup,
        detection.CosineLearningRateWithLinearWarmup,
    )
    rows = [
        Row("LearningRateSchedule", _rsqrt, _constructor(rsqrt.LearningRateSchedule)),
        Row("xlnet.WarmUp", _warm_up, _constructor(xlnet.WarmUp)),
        Row("WarmupDecaySchedule", _warmup_decay, _constructor(image.WarmupDecaySchedule)),
        Row(
            "CosineDecayWithWarmup", _cosine_with_warmup, _constructor(image.CosineDecayWithWarmup)
        ),
        Row(
            "PiecewiseConstantDecayWithWarmup",
            _piecewise_with_warmup,
            _constructor(resnet.PiecewiseConstantDecayWithWarmup),
        ),
        Row("StepLearningRateWithLinearWarmup", _detection_step, detector(stepwise)),
        Row("CosineLearningRateWithLinearWarmup", _detection_cosine, detector(cosine)),
        Row(
            "WarmUpAndPolyDecay", _warm_up_and_poly_decay, _constructor(ranking.WarmUpAndPolyDecay)
        ),
    ]
    files = (rsqrt, xlnet, image, resnet, detection, ranking)
    return [MODELS], {k: v for file in files for k, v in file.source.items()}, rows


def addons() -> Recorded:
    file = load(
        ADDONS,
        "tensorflow_addons/optimizers/cyclical_learning_rate.py",
        typechecked=lambda function: function,
        FloatTensorLike=float,
    )

    def cyclical(config: Config) -> Schedule:
        scale = eval(f"lambda x: {config['scale_fn']}")
        schedule: Schedule = file.CyclicalLearningRate(**config | {"scale_fn": scale})
        return schedule

    def counts(config: Config) -> bool:
        """With new optimizers, which count in int64, functions of the iteration are refused."""
        return bool(config["scale_mode"] == "iterations")

    rows = [
        Row("CyclicalLearningRate", _cyclical_with_function, cyclical, 60, counts),
        *(
            Row(name, draw, _constructor(getattr(file, name)), 40, counts)
            for name, draw in (
                ("TriangularCyclicalLearningRate", _cyclical_with_mode),
                ("Triangular2CyclicalLearningRate", _cyclical_with_mode),
                ("ExponentialCyclicalLearningRate", _cyclical_exponential),
            )
        ),
    ]
    return [ADDONS], file.source, rows


def transformers() -> Recorded:
    file = load(
        TRANSFORMERS,
        "transformers/optimization_tf.py",
        "WarmUp create_optimizer",
        schedules=tf_keras_schedules,
        keras=tf_keras,
    )
    rows = [
        Row("WarmUp", _warm_up, _constructor(file.WarmUp), 80),
        Row("create_optimizer", _warm_up_and_decay, lambda c: file.create_optimizer(**c)[1]),
    ]
    return [TRANSFORMERS], file.source, rows


def tensorflow_1() -> Recorded:
    """``tf.compat.v1.train``."""

    def partial(function: Schedule) -> Build:
        argument = "x" if function is v1.piecewise_constant else "global_step"
        return lambda config: lambda step: function(**config, **{argument: step})

    draws = {
        "exponential_decay": _v1(_exponential),
        "natural_exp_decay": _v1(_inverse),
        "inverse_time_decay": _v1(_inverse),
        "polynomial_decay": _v1(_polynomial),
        "piecewise_constant": _piecewise,
        "cosine_decay": _v1(functools.partial(_cosine, warm_up=False)),
        "cosine_decay_restarts": _v1(_restarts),
        "linear_cosine_decay": _v1(_linear_cosine),
    }
    rows = [Row(name, draw, partial(getattr(v1, name))) for name, draw in draws.items()]
    return [], {}, rows


def tf_keras_unexported() -> Recorded:
    """The two schedules of tf_keras that it keeps for TensorFlow 1."""

    def noisy(config: Config) -> Schedule:
        # What a normal of deviation `stddev` is made of, with one known draw.
        noise = tf.Variable(config["noise"], dtype=tf.float32)
        arguments = {name: value for name, value in config.items() if name != "noise"}
        schedule: Any = tf_keras_schedules.NoisyLinearCosineDecay(**arguments)
        schedule._random_generator = types.SimpleNamespace(
            random_normal=lambda shape, stddev: noise * stddev + 0.0
        )
        return cast("Schedule", schedule)

    rows = [
        Row(
            "LinearCosineDecay", _linear_cosine, _constructor(tf_keras_schedules.LinearCosineDecay)
        ),
        Row("NoisyLinearCosineDecay", _noisy_linear_cosine, noisy, 80),
    ]
    return [], {}, rows


def _averaging(rng: Generator) -> Config:
    cyclic = bool(rng.integers(2))
    start, steps = int(rng.integers(2, 12)), int(rng.integers(1, 6))
    config: Config = {
        "start_epoch": start,
        "lr_schedule": "cyclic" if cyclic else "constant",
        "swa_freq": int(rng.integers(2, 5)) if cyclic else 1,
        "learning_rate": _pick(rng, 0.1, 0.01, 1e-3, _log(rng, 1e-4, 2.0)),
        "epochs": start + int(rng.integers(1, 9)),
        "steps": steps,
        "batch_normalization": bool(rng.integers(4) == 0),
        "numpy_major": _pick(rng, 1, 2, 2),
    }
    if rng.integers(2):
        low, high = np.sort(rng.uniform(0.01, 1.0, 2)) * config["learning_rate"]
        config |= {"swa_lr": float(low)}
        config |= {"swa_lr2": float(high)} if cyclic and rng.integers(2) else {}
    return config


def averaging() -> Recorded:
    """The callback SWA: step ``epoch * steps + batch`` is the rate that stands in that batch."""
    held: list[Any] = [None]

    class Normalization:
        momentum = 0.9

    backend = types.SimpleNamespace(
        eval=lambda variable: held[0],
        set_value=lambda variable, value: held.__setitem__(0, np.asarray(value, np.float32)[()]),
    )
    file = load(SWA, "swa/callback.py")
    cls = file.create_swa_callback_class(backend, object, Normalization)

    def rates(config: Config) -> Schedule:
        config = dict(config)
        rate, epochs, steps, normalized, major = (
            config.pop(name)
            for name in ("learning_rate", "epochs", "steps", "batch_normalization", "numpy_major")
        )
        # NumPy 1 computes a float32 scalar with Python's floats in float64.
        held[0] = np.float32(rate) if major == 2 else np.float64(np.float32(rate))
        callback = cls(**config, batch_size=8)
        callback.params = {"epochs": epochs, "steps": steps}
        callback.model = types.SimpleNamespace(
            optimizer=types.SimpleNamespace(lr=None),
            layers=[Normalization()] if normalized else [],
            get_weights=list,
            set_weights=lambda weights: None,
        )
        callback._reset_batch_norm = lambda: None
        record = []
        callback.on_train_begin()
        for epoch in range(epochs):
            callback.on_epoch_begin(epoch)
            for batch in range(steps):
                callback.on_batch_begin(batch)
                record.append(np.float32(held[0]))
            callback.on_epoch_end(epoch)
        return lambda step: record[int(step)]

    return [SWA], file.source, [Row("SWA", _averaging, rates)]


ORIGINS: dict[str, Callable[[], Recorded]] = {
    "tf-models-official": models,
    "tf-models-official-legacy": models_legacy,
    "tensorflow-addons": addons,
    "transformers": transformers,
    "tensorflow-compat-v1": tensorflow_1,
    "tf-keras": tf_keras_unexported,
    "keras-swa": averaging,
}


def main() -> None:
    for stale in {origins.path(name) for name in origins.origins()} - {
        origins.path(name) for name in ORIGINS
    }:
        stale.unlink()
        print(f"removed  origins/{stale.name}")
    for name, recorder in ORIGINS.items():
        packages, sources, rows = recorder()
        about = {
            "packages": packages,
            "runs": "the classes out of their source files, CPU, no XLA",
            "tensorflow": tf.__version__,
            "tf_keras": tf_keras.__version__,
            "numpy": np.__version__,
            "source_sha256": sources,
            "recorded_by": "make goldens",
        }
        saved = origins.save(name, about, [case for row in rows for case in row.record(name)])
        print(f"{'recorded' if saved else 'kept':8} origins/{name}.json")


if __name__ == "__main__":
    main()
