"""llama.cpp through its C interface: load, prefill, decode, logits.

Set up as its own programs set it up: a thread pool that lasts, 512 rows a batch, weights repacked where
it can, flash attention left to it, the head computed for the last row of a prompt only. Feeds token ids,
so the files need no vocabulary. Knows nothing of timing.
"""

from __future__ import annotations

import collections
import ctypes
import importlib
from pathlib import Path

from peers.environment import need

BATCH_ROWS = 512
THREADS_MAX = 512  # GGML_MAX_N_THREADS of this version


class ThreadPoolParameters(ctypes.Structure):
    """ggml_threadpool_params; the Python package does not have it."""

    _fields_ = [
        ("cpumask", ctypes.c_bool * THREADS_MAX), ("n_threads", ctypes.c_int), ("priority", ctypes.c_int),
        ("poll", ctypes.c_uint32), ("strict_cpu", ctypes.c_bool), ("paused", ctypes.c_bool),
    ]


def capture_log(llama, lines: list[str]):
    """Send the library's log to `lines`. The result must be kept alive as long as the library is used."""
    callback = llama.llama_log_callback(lambda level, text, user: lines.append(text.decode(errors="replace")))
    llama.llama_log_set(callback, ctypes.c_void_p())
    return callback


def system_information(llama) -> str:
    """Which instruction sets the library was built for and found."""
    return llama.llama_print_system_info().decode().strip(" |")


class LlamaCpp:
    """One model with one context."""

    def __init__(self, path: Path, threads: int, positions: int):
        self.llama = llama = need("llama_cpp")
        self.numpy = need("numpy")
        self.log: list[str] = []
        self.callback = capture_log(llama, self.log)
        llama.llama_backend_init()
        self.model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
        if not self.model:
            raise RuntimeError("llama.cpp did not load the file:\n" + "".join(self.log[-20:]))
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = positions
        parameters.n_batch = parameters.n_ubatch = BATCH_ROWS
        parameters.n_threads = parameters.n_threads_batch = threads
        self.context = llama.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise RuntimeError("llama.cpp made no context:\n" + "".join(self.log[-20:]))
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.attach_pool(threads)

    def attach_pool(self, threads: int) -> None:
        """Without OpenMP the library makes threads for each token unless it is given a pool."""
        # Names are looked up in libllama and what it is linked to. To open the other libraries by their
        # paths could load second copies of them, whose threads know nothing of the first.
        library = importlib.import_module("llama_cpp.llama_cpp")._lib
        parameters = ThreadPoolParameters()
        library.ggml_threadpool_params_init(ctypes.byref(parameters), threads)
        if parameters.n_threads != threads:
            raise RuntimeError("ggml_threadpool_params has another shape in this version")
        library.ggml_threadpool_new.restype = ctypes.c_void_p
        pool = ctypes.c_void_p(library.ggml_threadpool_new(ctypes.byref(parameters)))
        library.llama_attach_threadpool.restype = None
        library.llama_attach_threadpool(ctypes.c_void_p(self.context), pool, pool)

    def clear(self) -> None:
        """Forget the cache."""
        self.llama.llama_memory_clear(self.llama.llama_get_memory(self.context), True)

    def feed(self, ids: list[int]) -> None:
        """Append the ids; the logits of the last row are there afterwards."""
        for first in range(0, len(ids), BATCH_ROWS):
            part = ids[first:first + BATCH_ROWS]
            tokens = (self.llama.llama_token * len(part))(*part)
            code = self.llama.llama_decode(self.context, self.llama.llama_batch_get_one(tokens, len(part)))
            if code != 0:
                raise RuntimeError(f"llama_decode returned {code}")

    def greedy(self) -> int:
        """The likeliest next token."""
        row = self.llama.llama_get_logits_ith(self.context, -1)
        logits = self.numpy.ctypeslib.as_array(row, (self.vocabulary,))
        best = int(self.numpy.argmax(logits))
        if not self.numpy.isfinite(logits[best]):
            raise RuntimeError("llama.cpp's logits are not finite: this build is broken")
        return best

    def all_logits(self, ids: list[int]):
        """Logits of every row of one document, from an empty cache."""
        self.clear()
        rows = []
        for first in range(0, len(ids), BATCH_ROWS):
            part = ids[first:first + BATCH_ROWS]
            batch = self.llama.llama_batch_init(len(part), 0, 1)
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i], batch.pos[i], batch.logits[i] = token, first + i, True
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            code = self.llama.llama_decode(self.context, batch)
            self.llama.llama_batch_free(batch)
            if code != 0:
                raise RuntimeError(f"llama_decode returned {code}")
            logits = self.llama.llama_get_logits(self.context)
            rows.append(self.numpy.ctypeslib.as_array(logits, (len(part), self.vocabulary)).copy())
        return self.numpy.concatenate(rows)

    def path_taken(self) -> dict:
        """What the log says about where the weights lie, in which layout, and how attention runs."""
        lines = "".join(self.log).splitlines()
        wanted = ("buffer size", "Flash Attention")
        kept = [line.strip() for line in lines if any(text in line for text in wanted)]
        layouts = collections.Counter(line.rsplit(" ", 1)[1] for line in lines if "repack tensor" in line)
        kept += [f"{count} matrices repacked as {layout}" for layout, count in layouts.items()]
        return {"system": system_information(self.llama), "log": kept}
