"""The pinned peers: which versions are compared, how they are installed, what to say when they are not.

llama-cpp-python is built from its source package with clang: gcc 12 drops the stores that fill AMX's
tile configuration, and q8_0 and q4_0 then die on machines that have AMX. Installs into a virtual
environment of its own, never into the Python that runs this.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

LLAMA_CPP_PYTHON = "0.3.36"
PINNED = {
    "torch": "2.15.0", "transformers": "5.23.0", "numpy": "2.4.6", "safetensors": "0.8.0",
    "tokenizers": "0.23.3", "gguf": "0.19.0",
}
# Only the library is wanted; `GGML_NATIVE` compiles it for this machine.
CMAKE_ARGUMENTS = (
    "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF "
    "-DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF")


class Missing(Exception):
    """A package is not there; the text says what to run."""


def need(module: str):
    """The module, or how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Missing(
            f"{error}. Install the pinned peers with\n"
            f"    python3 scripts/bench_peers.py --setup DIRECTORY\n"
            f"and run the script with DIRECTORY/bin/python, or by hand:\n    {by_hand()}") from error


def packages() -> list[str]:
    return [f"{name}=={version}" for name, version in PINNED.items()]


def by_hand() -> str:
    return (f"pip install {' '.join(packages())}\n"
            f"    CC=clang CXX=clang++ CMAKE_ARGS='{CMAKE_ARGUMENTS}' \\\n"
            f"        pip install --no-binary llama-cpp-python llama-cpp-python=={LLAMA_CPP_PYTHON}")


def set_up(directory: Path) -> Path:
    """Make the environment; its Python."""
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    pip = [str(python), "-m", "pip", "install"]
    subprocess.run([*pip, *packages()], check=True)
    environment = {**os.environ, "CC": "clang", "CXX": "clang++", "CMAKE_ARGS": CMAKE_ARGUMENTS}
    source = ["--no-binary", "llama-cpp-python", f"llama-cpp-python=={LLAMA_CPP_PYTHON}"]
    subprocess.run([*pip, *source], check=True, env=environment)
    return python


def make_checkpoint(python: Path, script: Path, preset: str, out: Path) -> None:
    """Random weights of a real shape; the script writes the same bytes everywhere."""
    if not (out / "config.json").exists():
        subprocess.run([str(python), str(script), "--preset", preset, "--out", str(out)], check=True)
