#!/usr/bin/env python3
"""Measures that a worker's memory is its share of a model, and what an answer takes.

    cargo build --release
    ./scripts/bench_share.py --model DIR [--quantize q8_0] [--workers 4] [--decode 64] [--json]

Starts an asker and --workers workers with an equal number of layers each on this
machine, one thread for each worker, asks --runs times for --decode tokens, and
prints for every worker the bytes of its weights, the most memory that its process
had in use at any time since its start (VmHWM, Linux: hashing, packing, loading and
answering included) and its part of what all weights take; below, the same of the
asker, which holds no layers, tokens per second and the price. Everything that is
started is stopped. Any directory will do; random_checkpoint.py makes one of a
shape's size.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from bench_pipeline import FILLER, Network

MIB = 1 << 20


def asked(network, home, *verb):
    """What a verb that reads says in one home."""
    environment = os.environ | {"TALKOOT_HOME": home}
    done = subprocess.run(
        [network.talkoot, *verb, "--json"], capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(verb)} failed: {done.stderr}")
    return json.loads(done.stdout)


def peak_bytes(home):
    """The most memory that the node of a home has had in use."""
    with open(os.path.join(home, "state", "api.json"), encoding="utf-8") as file:
        pid = json.load(file)["pid"]
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmHWM"].split()[0]) * 1024


def homes_of(network):
    """The homes of all nodes; a network that is kept tells the asker's."""
    beside = os.path.dirname(network.homes[0])
    names = sorted(name for name in os.listdir(beside) if name.startswith("worker"))
    return [os.path.join(beside, name) for name in names]


def look(network):
    """Every worker: layers, bytes of the weights, peak."""
    workers = []
    for home in homes_of(network):
        status = asked(network, home, "status")
        served = status["serving"][0]
        workers.append(
            {
                "layers": served["layers"],
                "weight_bytes": served["bytes"],
                "peak_bytes": peak_bytes(home),
                "arithmetic": served["arithmetic"],
            }
        )
    return workers


def measure(arguments):
    network = Network(arguments, arguments.workers)
    try:
        answers = [network.ask(FILLER, arguments.decode) for _ in range(arguments.runs)]
        known = asked(network, network.homes[0], "models")["models"]
        workers = look(network)
        return {
            "model": known[0]["name"],
            "layers": known[0]["layers"],
            "quantize": arguments.quantize,
            "workers": workers,
            "asker_peak_bytes": peak_bytes(network.homes[0]),
            "weight_bytes": sum(worker["weight_bytes"] for worker in workers),
            "price_ugft_per_token": known[0]["price_ugft_per_token"],
            "completion_tokens": [answer["completion_tokens"] for answer in answers],
            "tokens_per_second": [answer["tokens_per_second"] for answer in answers],
            "burned_ugft": [answer["burned_ugft"] for answer in answers],
        }
    finally:
        network.close()


def page(result):
    total = result["weight_bytes"]
    print(f"{result['model']}, {result['layers']} layers, {total / MIB:.1f} MiB of weights in all workers")
    print(f"{'worker':8} {'layers':>8} {'weights MiB':>12} {'peak MiB':>9} {'peak / all weights':>19}")
    for number, worker in enumerate(result["workers"], 1):
        first, end = worker["layers"]
        print(
            f"{number:<8} {f'{first}..{end}':>8} {worker['weight_bytes'] / MIB:12.1f} "
            f"{worker['peak_bytes'] / MIB:9.1f} {worker['peak_bytes'] / total:19.2f}"
        )
    print(f"{'asker':8} {'-':>8} {'-':>12} {result['asker_peak_bytes'] / MIB:9.1f}")
    speeds = result["tokens_per_second"]
    print(
        f"answers: {result['completion_tokens']} tokens, {statistics.median(speeds):.2f} tokens/s "
        f"({min(speeds):.2f} to {max(speeds):.2f}), {result['price_ugft_per_token'] / 1e6:.6f} GFT a token"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="name or directory of the model [default: the demo model]")
    parser.add_argument("--quantize", default="none")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--decode", type=int, default=64, help="tokens of each answer at most")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--talkoot", default="target/release/talkoot")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    if not os.path.exists("/proc/self/status"):
        sys.exit("bench_share: without /proc nothing says how much memory a process has used")
    result = measure(arguments)
    if arguments.json:
        print(json.dumps(result))
    else:
        page(result)


if __name__ == "__main__":
    main()
