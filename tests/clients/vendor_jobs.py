"""Runs jobs near a vendor's device, where its provider is installed: `vendor_jobs.py DEVICE`.

Prints one JSON object a job: what was told of its calls, and how it ended. Jobs come as JSON on
standard input, as a list of pairs of a program and its inputs.
"""

import asyncio
import json
import sys
from typing import Any

from executors.base import Stop, Task
from executors.hardware.executor import HardwareExecutor
from executors.hardware.process import DeviceProcess
from executors.hardware.specs import DeviceSpec
from executors.simulator import SimulatorExecutor


async def main(device: str) -> None:
    process = DeviceProcess(DeviceSpec("lab", f"tests.clients.vendor_devices:{device}"), 60.0)
    executor = HardwareExecutor(SimulatorExecutor(1), process)
    (announced,) = await executor.start()
    print(json.dumps({"qubits": announced.num_qubits, "simulator": announced.simulator}))
    for number, (program, inputs) in enumerate(json.load(sys.stdin)):
        data = json.dumps(inputs).encode()
        task = Task("default", f"j{number}", 1, program, "v1", data, "lab", 60.0)
        print(json.dumps(await _ran(executor, task)), flush=True)
    await executor.close()


async def _ran(executor: HardwareExecutor, task: Task) -> dict[str, Any]:
    told: dict[str, Any] = {"kinds": []}
    async for body in executor.run(task, Stop()):
        kind = type(body).__name__
        if kind != "Logged":
            told["kinds"].append(kind)
    value = getattr(body, "value", None)
    return told | {
        "value": json.loads(bytes(value)) if value is not None and bytes(value) else None,
        "reason": getattr(body, "reason", None),
        "message": getattr(body, "message", ""),
    }


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
