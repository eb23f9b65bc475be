"""The peers as processes that speak lines: what `talkoot bench --interactive` speaks.

A worker loads its model, warms up, prints {"ready": true, ..} and then answers each line `run` with one
prefill and one greedy decode: {"prefill_tokens_per_s", "decode_tokens_per_s", ..}. It ends on `quit` or
at the end of its input. Decoding goes on from the prompt. Between runs it does nothing, so that another
process can be timed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from peers.environment import need

WARM_UP_ROWS = 32
WARM_UP_STEPS = 2


def prompt(rows: int, vocabulary: int) -> list[int]:
    """Ids that neither repeat in a short period nor leave the vocabulary."""
    return [(7919 * i * i + 104729 * i + 13) % vocabulary for i in range(rows)]


class LlamaCppWorker:
    """llama.cpp with a GGUF file."""

    def __init__(self, options: argparse.Namespace):
        from peers.llama_backend import LlamaCpp

        self.engine = LlamaCpp(Path(options.file), options.threads, options.prompt + options.decode + 8)
        self.vocabulary = self.engine.vocabulary

    def prefill(self, ids: list[int]) -> int:
        self.engine.clear()
        self.engine.feed(ids)
        return self.engine.greedy()

    def step(self, token: int) -> int:
        self.engine.feed([token])
        return self.engine.greedy()

    def path_taken(self) -> dict:
        return self.engine.path_taken()


class TransformersWorker:
    """transformers on PyTorch's CPU kernels, in bf16, with its cache."""

    def __init__(self, options: argparse.Namespace):
        self.torch = need("torch")
        self.torch.set_num_threads(options.threads)
        loader = need("transformers").AutoModelForCausalLM
        self.model = loader.from_pretrained(options.file, dtype=self.torch.bfloat16).eval()
        self.vocabulary = self.model.config.vocab_size
        self.cache = None

    def forward(self, ids: list[int]) -> int:
        with self.torch.inference_mode():
            rows = self.torch.tensor([ids])
            out = self.model(rows, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
            self.cache = out.past_key_values
            return int(out.logits[0, -1].argmax())

    def prefill(self, ids: list[int]) -> int:
        self.cache = None
        return self.forward(ids)

    def step(self, token: int) -> int:
        return self.forward([token])

    def path_taken(self) -> dict:
        settings = [line.strip(" -") for line in self.torch.__config__.show().splitlines()]
        used = [line for line in settings if "MKL-DNN" in line or line.startswith("CPU capability")]
        return {"system": "; ".join(used), "log": []}


WORKERS = {"llama.cpp": LlamaCppWorker, "transformers": TransformersWorker}


def timed_run(worker, options: argparse.Namespace) -> dict:
    ids = prompt(options.prompt, worker.vocabulary)
    begin = time.perf_counter()
    token = worker.prefill(ids)
    middle = time.perf_counter()
    for _ in range(options.decode):
        token = worker.step(token)
    end = time.perf_counter()
    return {"prefill_tokens_per_s": options.prompt / (middle - begin),
            "decode_tokens_per_s": options.decode / (end - middle)}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", choices=WORKERS, required=True)
    parser.add_argument("--file", required=True)
    for name in ("threads", "prompt", "decode"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args(arguments)
    # Libraries print what they like; the protocol keeps the real standard output for itself.
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for module in ("numpy", "llama_cpp" if options.peer == "llama.cpp" else "transformers"):
        need(module)  # importing is no part of loading
    begin = time.perf_counter()
    worker = WORKERS[options.peer](options)
    loaded = time.perf_counter()
    token = worker.prefill(prompt(min(WARM_UP_ROWS, options.prompt), worker.vocabulary))
    for _ in range(WARM_UP_STEPS):
        token = worker.step(token)
    warm = time.perf_counter()
    ready = {"ready": True, "load_s": loaded - begin, "warm_up_s": warm - loaded, **worker.path_taken()}
    print(json.dumps(ready), file=lines)
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        if line.strip() == "run":
            print(json.dumps(timed_run(worker, options)), file=lines)
