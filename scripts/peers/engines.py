"""An engine under test: a process that holds one model and answers `run` with one line of figures.

Talkoot and the peers speak the same lines, so that they are started, asked and watched alike. All stay
loaded while one works; what they occupy is read from the kernel, not from what they say. `Talkoot` is
the only place that knows our command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

SCRIPT = Path(__file__).resolve().parent.parent / "bench_peers.py"
STOP_S = 30


class EngineFailed(Exception):
    """The process ended or said something that is no answer."""


@dataclass(frozen=True)
class Shape:
    """What every engine is asked to do."""

    threads: int
    prompt: int
    decode: int

    def arguments(self) -> list[str]:
        return ["--threads", str(self.threads), "--prompt", str(self.prompt), "--decode", str(self.decode)]


def memory(pid: int) -> dict:
    """Resident bytes of a process: now, at most, and the part that is not pages of files. Empty off Linux."""
    wanted = {"VmRSS": "resident_bytes", "VmHWM": "peak_resident_bytes", "RssAnon": "anonymous_bytes"}
    found = {}
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in wanted:
                found[wanted[name]] = int(rest.split()[0]) * 1024
    except OSError:
        pass
    return found


class Engine:
    """A running process that speaks lines."""

    def __init__(self, name: str, command: list[str], environment: dict | None = None):
        self.name, self.command, self.environment = name, command, environment or {}
        self.errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115, it lives as long as the process
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, bufsize=1,
                                        env={**os.environ, **self.environment})
        self.ready = self.answer()
        if not self.ready.get("ready"):
            raise EngineFailed(f"{name} began with {self.ready}")
        self.ready.update(memory(self.process.pid))
        self.runs: list[dict] = []

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            self.process.kill()
            self.process.wait()
            self.errors.seek(0)
            said = "".join(self.errors.readlines()[-15:])
            raise EngineFailed(f"{self.name} answered {line!r}\n{' '.join(self.command)}\n{said}") from None

    def run(self) -> dict:
        """One prefill and one decode."""
        print("run", file=self.process.stdin, flush=True)
        figures = {**self.answer(), **memory(self.process.pid)}
        self.runs.append(figures)
        return figures

    def stop(self) -> None:
        try:
            self.process.communicate("quit\n", timeout=STOP_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.errors.close()

    def record(self) -> dict:
        return {"name": self.name, "command": self.command, "environment": self.environment,
                "ready": self.ready, "runs": self.runs}


def peer(name: str, file: Path, shape: Shape, libraries: Path | None = None) -> Engine:
    """llama.cpp with a GGUF file, from other libraries than the package's if told so, or transformers
    with a model directory."""
    kind = name.partition("-")[0]
    command = [sys.executable, str(SCRIPT), "--worker", "--peer", kind, "--file", str(file)]
    environment = {"LLAMA_CPP_LIB_PATH": str(libraries)} if libraries else {}
    return Engine(name, command + shape.arguments(), environment)


class Talkoot:
    """Our command line."""

    # The peers' formats in our words: one q4_0, with its head in q4_0.
    FORMATS: ClassVar = {"q4_0_default": "q4_0"}

    def __init__(self, binary: Path, model: Path):
        self.binary, self.model = binary, model

    def command(self, kind: str, *rest: str) -> list[str]:
        return [str(self.binary), "bench", str(self.model), "--quantize", self.FORMATS.get(kind, kind), *rest]

    def start(self, kind: str, shape: Shape) -> Engine:
        """Loaded twice: the first load may have to write the packed weights, the second finds them."""
        command = self.command(kind, *shape.arguments(), "--interactive", "--json")
        first = Engine("talkoot", command)
        first.stop()
        engine = Engine("talkoot", command)
        engine.ready["first_load"] = first.ready
        return engine

    def perplexity(self, kind: str, text: Path, threads: int) -> dict:
        command = self.command(kind, "--threads", str(threads), "--perplexity", str(text), "--json")
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise EngineFailed(f"{' '.join(command)}\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])
