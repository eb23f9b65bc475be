"""The pinned peers: which versions are compared, how they are installed, what to say when they are not.

llama-cpp-python is built from its source package twice, with clang and with gcc: which of them makes
the faster kernels differs from format to format. Where there is AMX only clang is used: gcc 12 drops
the stores that fill AMX's tile configuration, and q8_0 and q4_0 then die. Installs into a virtual
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
# Only the library is wanted, compiled for this machine. Its own thread pool rather than OpenMP: as fast on
# an idle machine, and far less hurt on a busy one.
CMAKE_ARGUMENTS = (
    "-DGGML_NATIVE=ON -DGGML_OPENMP=OFF -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF "
    "-DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF")
GCC_DIRECTORY = "llama-cpp-by-gcc"


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
    # Not from the cache: it would hand out what the other compiler made.
    source = ["--no-cache-dir", "--no-binary", "llama-cpp-python", f"llama-cpp-python=={LLAMA_CPP_PYTHON}"]
    subprocess.run([*pip, *source], check=True, env=compiling("clang", "clang++"))
    if not has_amx() and not gcc_libraries(directory).exists():
        target = ["--no-deps", "--target", str(directory / GCC_DIRECTORY)]
        subprocess.run([*pip, *target, *source], check=True, env=compiling("gcc", "g++"))
    return python


def compiling(c: str, cplusplus: str) -> dict:
    return {**os.environ, "CC": c, "CXX": cplusplus, "CMAKE_ARGS": CMAKE_ARGUMENTS}


def gcc_libraries(directory: Path) -> Path:
    """Where the libraries made by gcc lie in an environment that has them."""
    return directory / GCC_DIRECTORY / "llama_cpp" / "lib"


def has_amx() -> bool:
    try:
        return "amx_tile" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def make_checkpoint(python: Path, script: Path, preset: str, out: Path) -> None:
    """Random weights of a real shape; the script writes the same bytes everywhere."""
    if not (out / "config.json").exists():
        subprocess.run([str(python), str(script), "--preset", preset, "--out", str(out)], check=True)
