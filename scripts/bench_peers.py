#!/usr/bin/env python3
"""Talkoot beside llama.cpp and transformers: the same model, machine, threads and moment.

    python3 scripts/bench_peers.py --setup peers          # once: a virtual environment with the pinned peers
    peers/bin/python scripts/bench_peers.py --model DIR --json result.json

All engines of a format are loaded at once and work in turns, in an order that turns with each round, so
that a busy neighbour strikes all alike; see docs/BENCHMARKS.md. With `--perplexity FILE` no speed is
measured but how well each format predicts a text. `--talkoot none` measures the peers alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from peers import convert, environment, perplexity, report, workers
from peers.engines import Engine, EngineFailed, Shape, Talkoot, peer

REST_S = 0.3  # until the threads of whoever worked last are parked
PEER_FORMATS = {"llama.cpp": convert.FORMATS, "llama.cpp-gcc": convert.FORMATS, "transformers": ("bf16",)}
GCC_LIBRARIES = environment.gcc_libraries(Path(sys.prefix))
PEERS = [name for name in PEER_FORMATS if name != "llama.cpp-gcc" or GCC_LIBRARIES.exists()]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure Talkoot and its peers side by side.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, help="Hugging Face directory with bf16 weights")
    add("--formats", default="q8_0,q4_0,q4_0_default,bf16", help=f"of {', '.join(convert.FORMATS)}; "
        "q4_0 has its head in q4_0, q4_0_default is llama.cpp's own mixture")
    add("--peers", default=",".join(PEERS), help="llama.cpp is built with clang, llama.cpp-gcc with gcc; "
        "transformers takes part in bf16 only")
    add("--threads", type=int, default=2)
    add("--pairs", type=int, default=5, help="rounds in which every engine runs once")
    add("--prompt", type=int, default=512, help="tokens of the prefill")
    add("--decode", type=int, default=64, help="tokens decoded after it")
    add("--perplexity", type=Path, metavar="FILE", help="compare perplexities on the lines of FILE instead")
    add("--talkoot", default="target/release/talkoot", help="our program, or `none`")
    add("--cache", type=Path, help="directory for converted files (default: beside the model)")
    add("--json", type=Path, metavar="FILE", help="write everything as one object")
    add("--setup", type=Path, metavar="DIR", help="make a virtual environment with the pinned peers there")
    add("--make-checkpoint", type=Path, metavar="SCRIPT", help="with --setup: make the checkpoint --model with it")
    add("--preset", default="llama-1b", help="shape for --make-checkpoint")
    options = parser.parse_args()
    options.formats, options.peers = options.formats.split(","), options.peers.split(",")
    unknown = set(options.formats) - set(convert.FORMATS) | set(options.peers) - set(PEER_FORMATS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if not options.model and (not options.setup or options.make_checkpoint):
        parser.error("--model is needed")
    if options.model:
        options.model = options.model.resolve()
        options.cache = options.cache or options.model.parent / ".bench-cache"
    return options


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def start(name: str, kind: str, options: argparse.Namespace) -> Engine:
    shape = Shape(options.threads, options.prompt, options.decode)
    if name == "talkoot":
        return Talkoot(Path(options.talkoot), options.model).start(kind, shape)
    if name == "transformers":
        return peer(name, options.model, shape)
    file = convert.gguf_file(options.model, kind, options.cache, options.threads)
    return peer(name, file, shape, GCC_LIBRARIES if name == "llama.cpp-gcc" else None)


def rounds(engines: list[Engine], count: int) -> None:
    """Everybody runs once in a round; who begins changes."""
    for number in range(count):
        turn = number % len(engines)
        for engine in engines[turn:] + engines[:turn]:
            time.sleep(REST_S)
            found = engine.run()
            say(f"  {number + 1}/{count} {engine.name}: prefill {found['prefill_tokens_per_s']:.1f}, "
                f"decode {found['decode_tokens_per_s']:.2f} tokens/s")


def measured(kind: str, options: argparse.Namespace) -> dict:
    """One format: all engines loaded, all rounds run."""
    names = [name for name in options.peers if kind in PEER_FORMATS[name]]
    names = names if options.talkoot == "none" else ["talkoot", *names]
    engines: list[Engine] = []
    try:
        for name in names:
            say(f"{kind}: loading {name}")
            engines.append(start(name, kind, options))
        rounds(engines, options.pairs)
    finally:
        for engine in engines:
            engine.stop()
    records = [engine.record() for engine in engines]
    for record in records:
        record["summary"] = report.summary(record)
    ours = next((record for record in records if record["name"] == "talkoot"), None)
    comparisons = [{"peer": theirs["name"], "ours": ours["summary"] if ours else {}, "theirs": theirs["summary"],
                    "ratios": report.compared(ours, theirs) if ours else {}}
                   for theirs in records if theirs is not ours]
    return {"format": kind, "engines": records, "comparisons": comparisons}


def predicted(kind: str, options: argparse.Namespace) -> dict:
    """One format: the perplexities."""
    positions = json.loads((options.model / "config.json").read_text())["max_position_embeddings"]
    texts = perplexity.documents(options.perplexity, options.model, positions)
    file = convert.gguf_file(options.model, kind, options.cache, options.threads)
    theirs = perplexity.of_llama_cpp(file, texts, options.threads)
    if options.talkoot == "none":
        return {"format": kind, "ours": None, "llama.cpp": theirs, "ratio": None}
    ours = Talkoot(Path(options.talkoot), options.model).perplexity(kind, options.perplexity, options.threads)
    if ours["tokens"] != theirs["tokens"]:
        raise EngineFailed(f"talkoot scored {ours['tokens']} tokens, llama.cpp {theirs['tokens']}: not the same text")
    return {"format": kind, "ours": ours, "llama.cpp": theirs, "ratio": ours["perplexity"] / theirs["perplexity"]}


def header(options: argparse.Namespace) -> dict:
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    return {"machine": report.machine(), "settings": settings,
            "versions": report.versions([*environment.PINNED, "llama-cpp-python"])}


def main() -> int:
    """Set up, or measure and print."""
    if sys.argv[1:2] == ["--worker"]:
        workers.main(sys.argv[2:])
        return 0
    options = arguments()
    if options.setup:
        python = environment.set_up(options.setup)
        if options.make_checkpoint:
            environment.make_checkpoint(python, options.make_checkpoint, options.preset, options.model)
        print(f"run {python} {sys.argv[0]} --model {options.model or 'DIR'}")
        return 0
    found = header(options)
    if options.perplexity:
        found["perplexity"] = [predicted(kind, options) for kind in options.formats]
        print(report.perplexity_table(found["perplexity"]))
    else:
        found["formats"] = [measured(kind, options) for kind in options.formats]
        print(report.speed_table(found["formats"]), report.cost_table(found["formats"]), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (environment.Missing, convert.Unsupported, EngineFailed, OSError) as error:
        sys.exit(f"bench_peers: {error}")
