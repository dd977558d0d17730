"""Two real processes under Accelerate, over gloo: one update is one step."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from bits import assert_same_bits
from lrparity.schedules import CosineDecay

WORKER = """
import json, os, sys
import torch
from accelerate import Accelerator
from lrparity.lr_scheduler import CosineDecayLR

accelerator = Accelerator(cpu=True)
assert accelerator.num_processes == 2
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = CosineDecayLR(optimizer, decay_steps=40, count=sys.argv[1])
model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
rates = []
for _ in range(12):
    rates.append(optimizer.param_groups[0]["lr"])
    accelerator.backward(model(torch.ones(1, 2)).sum())
    optimizer.step()
    scheduler.step()
    optimizer.zero_grad()
accelerator.wait_for_everyone()
print(json.dumps(rates), flush=True)
os._exit(0)  # gloo's threads abort now and then as the interpreter ends
"""


@pytest.mark.parametrize("count", ["calls", "updates"])
def test_two_processes_step_once_for_each_update(count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = []
    for rank in range(2):
        environment = os.environ | {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": "2",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", WORKER, count]
        workers.append(
            subprocess.Popen(
                command,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    outputs = [worker.communicate(timeout=120) for worker in workers]
    expected = CosineDecay(0.1, 40)(np.arange(12))
    for worker, (printed, errors) in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, errors
        assert_same_bits(json.loads(printed.splitlines()[-1]), expected)
