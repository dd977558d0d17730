"""The seed of the random tests, and TensorFlow kept quiet."""

from __future__ import annotations

import os
import secrets

import pytest
from hypothesis import settings

# The first example of a run may import a framework: no deadline measures that.
settings.register_profile("lrparity", deadline=None)
settings.load_profile("lrparity")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        type=int,
        default=None,
        help="seed of the random parity tests; another one is drawn for each run",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("seed") is None:
        worker = getattr(config, "workerinput", None)
        config.option.seed = worker["seed"] if worker else secrets.randbelow(2**31)


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_configure_node(node) -> None:
    node.workerinput["seed"] = node.config.getoption("seed")


def pytest_report_header(config: pytest.Config) -> str:
    return f"parity seed: {config.getoption('seed')} (repeat with --seed)"


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("seed")
