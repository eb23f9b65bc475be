"""The same text through llama.cpp and through Talkoot: how much worse does a format predict it?

Each line of the file is one document with a cache of its own. It is encoded by the model's tokenizer.json
with nothing added, since the text carries its special tokens; every id but the first is scored.
"""

from __future__ import annotations

import math
from pathlib import Path

from peers.environment import need


def documents(text: Path, model: Path, positions: int) -> list[list[int]]:
    """Token ids of each line that has at least one to predict."""
    tokenizer = need("tokenizers").Tokenizer.from_file(str(model / "tokenizer.json"))
    lines = [line for line in text.read_text().splitlines() if line.strip()]
    encoded = [tokenizer.encode(line, add_special_tokens=False).ids[:positions] for line in lines]
    return [ids for ids in encoded if len(ids) > 1]


def nats(logits, ids: list[int]) -> float:
    """What the predictions of `ids[1:]` cost."""
    numpy = need("numpy")
    rows = logits[:-1].astype(numpy.float64)
    most = rows.max(axis=1, keepdims=True)
    sums = numpy.log(numpy.exp(rows - most).sum(axis=1)) + most[:, 0]
    return float((sums - rows[numpy.arange(len(rows)), ids[1:]]).sum())


def of_llama_cpp(file: Path, texts: list[list[int]], threads: int) -> dict:
    from peers.llama_backend import LlamaCpp

    engine = LlamaCpp(file, threads, max(map(len, texts)) + 8)
    total = sum(nats(engine.all_logits(ids), ids) for ids in texts)
    count = sum(len(ids) - 1 for ids in texts)
    return {"perplexity": math.exp(total / count), "tokens": count}
