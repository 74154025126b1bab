"""CPU and memory of a hub that serves 326 products at 1,500 ticks/s, beside the naive hub, in turns."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from hub.simulator.launch import launch

ROOT = Path(__file__).resolve().parents[1]
TICK = os.sysconf("SC_CLK_TCK")
WARM_UP_SECONDS = 8.0


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mb(pid: int) -> float:
    """Return a process's resident memory in MB (10^6 bytes)."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


def command(side: str, ws_url: str, rest_url: str, port: int) -> list[str]:
    """Return the command that starts one side."""
    if side == "naive":
        return [sys.executable, "-W", "ignore", "-m", "benchmarks.naive_hub", ws_url, rest_url, str(port)]
    return [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--log-level", "WARNING"]


def measure(side: str, clients: int, seconds: float, rate: int = 1500) -> dict[str, Any]:
    """Run one side on a simulator of its own with drained clients; return cores used, MB, and what clients got."""
    with launch(["--rate", str(rate)]) as simulator, tempfile.TemporaryDirectory() as state:
        port = free_port()
        environment = {
            **os.environ, "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": state,
        }  # fmt: skip
        server = subprocess.Popen(
            command(side, simulator.ws_url, simulator.rest_url, port),
            env=environment, cwd=ROOT, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until_full(port)
            drain = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.clients", f"http://127.0.0.1:{port}", str(clients),
                 str(WARM_UP_SECONDS + seconds)],
                cwd=ROOT, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            time.sleep(WARM_UP_SECONDS)
            before, begun = cpu_seconds(server.pid), time.monotonic()
            time.sleep(seconds)
            cores = (cpu_seconds(server.pid) - before) / (time.monotonic() - begun)
            memory = resident_mb(server.pid)
            report = json.loads(drain.communicate(timeout=30)[0].splitlines()[-1])
        finally:
            server.terminate()
            server.wait(10)
    per_second = statistics.mean(report["ticks"]) / (WARM_UP_SECONDS + seconds)
    return {"cores": cores, "mb": memory, "ticks_per_client_second": per_second}


def wait_until_full(port: int) -> None:
    """Wait until a hub has every price."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        time.sleep(0.2)
        try:
            if requests.get(f"http://127.0.0.1:{port}/health", timeout=2).json()["price_samples"] >= 326:
                return
        except requests.RequestException:
            continue
    raise RuntimeError("the hub did not get all prices within 30 s")


def compare(clients: int, seconds: float = 20.0, rounds: int = 3) -> dict[str, Any]:
    """Measure both sides in turns; return the medians and the ratios of this hub to the naive one."""
    results: dict[str, list[dict[str, Any]]] = {"hub": [], "naive": []}
    for _ in range(rounds):
        for side, rows in results.items():
            rows.append(measure(side, clients, seconds))
            figures = "  ".join(f"{name} {value:.3f}" for name, value in rows[-1].items())
            print(f"  {side:6} {clients:3} clients: {figures}", flush=True)
    median = {
        side: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for side, rows in results.items()
    }
    return {
        "clients": clients, **median,
        "cpu_ratio": statistics.median(a["cores"] / b["cores"] for a, b in zip(*results.values(), strict=True)),
        "memory_ratio": statistics.median(a["mb"] / b["mb"] for a, b in zip(*results.values(), strict=True)),
    }  # fmt: skip
