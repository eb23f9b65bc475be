#!/usr/bin/env python3
"""Measures what cutting a model into a pipeline of processes costs and gives.

    cargo build --release
    ./scripts/bench_pipeline.py --model DIR [--quantize q8_0] [--workers 4] [--pairs 5] [--json]

Two local networks run side by side: one worker with the whole model, and
--workers workers with an equal part of the layers each; every worker computes
with one thread. Both are asked the same, in turns: one prompt of about
--prompt tokens answered with --decode tokens, then --streams short prompts at
once. Whole jobs are measured, as a user sees them: routing, transport, sampling,
attestations and books included.

Printed are medians and, for each measure, the median of the ratios of the pairs
(pipeline over single process) with its spread. Everything that is started is
stopped. Decode of several streams is counted from the first token of any of
them to the last of all.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

FILLER = "the small fox keeps a drum under the old oak and waits for rain "
HOME = re.compile(r"export TALKOOT_HOME=(\S+)")


class Network:
    """A local network that stays up until it is closed."""

    def __init__(self, arguments, workers):
        self.talkoot = arguments.talkoot
        command = [self.talkoot, "testnet", "--keep", "--workers", str(workers)]
        command += ["--line", "100000000GFT", "--max-tokens", "16", "--quantize", arguments.quantize]
        if arguments.model:
            command += ["--model", arguments.model]
        began = time.monotonic()
        done = subprocess.run(command + ["hello"], capture_output=True, text=True)
        self.homes = HOME.findall(done.stderr)
        if done.returncode != 0 or not self.homes:
            self.close()
            sys.exit(f"bench_pipeline: {' '.join(command)} failed:\n{done.stderr}")
        self.start_s = time.monotonic() - began

    def ask(self, prompt, tokens):
        """What the receipt of one answered question says."""
        command = [self.talkoot, "ask", "--raw", "--json", "--max-tokens", str(tokens), prompt]
        environment = os.environ | {"TALKOOT_HOME": self.homes[0]}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"ask failed: {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])["receipt"]

    def single(self, prompt, tokens):
        answer = self.ask(prompt, tokens)
        prefill = answer["prompt_tokens"] / (answer["time_to_first_token_us"] / 1e6)
        return {"prefill": prefill, "decode": answer["tokens_per_second"]}

    def many(self, streams, tokens):
        """Tokens per second of several jobs together, from the first token of any on."""
        prompts = [f"{number} {FILLER}" for number in range(streams)]
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(streams) as pool:
            answers = list(pool.map(lambda prompt: self.ask(prompt, tokens), prompts))
        seconds = time.monotonic() - began
        seconds -= min(answer["time_to_first_token_us"] for answer in answers) / 1e6
        return sum(answer["completion_tokens"] - 1 for answer in answers) / seconds

    def close(self):
        for home in self.homes:
            environment = os.environ | {"TALKOOT_HOME": home}
            subprocess.run([self.talkoot, "down"], capture_output=True, env=environment)
        if self.homes:
            shutil.rmtree(os.path.dirname(self.homes[0]), ignore_errors=True)


def measure(network, prompt, arguments):
    result = network.single(prompt, arguments.decode)
    result["one stream"] = network.many(1, arguments.decode)
    result[f"{arguments.streams} streams"] = network.many(arguments.streams, arguments.decode)
    return result


def summary(values):
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="directory of the model [default: the demo model]")
    parser.add_argument("--quantize", default="q8_0")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=512, help="tokens of the prompt, about")
    parser.add_argument("--decode", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--streams", type=int, default=8, help="jobs at once")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--talkoot", default="target/release/talkoot")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()

    networks = []
    try:
        # One by one, so that the first is stopped when the second does not start.
        for workers in (1, arguments.workers):
            networks.append(Network(arguments, workers))
        single, pipeline = networks
        # As many words as make the wanted number of tokens with this tokenizer.
        words = 32
        tokens = single.ask(FILLER * words, 1)["prompt_tokens"]
        prompt = FILLER * max(1, round(words * arguments.prompt / tokens))
        for network in networks:
            measure(network, prompt, argparse.Namespace(decode=4, streams=2))
        runs = {"single": [], "pipeline": []}
        for pair in range(arguments.pairs):
            order = [("single", single), ("pipeline", pipeline)]
            for name, network in order if pair % 2 == 0 else reversed(order):
                runs[name].append(measure(network, prompt, arguments))
    finally:
        for network in networks:
            network.close()

    result = {"workers": arguments.workers, "quantize": arguments.quantize, "measures": {}}
    for key in runs["single"][0]:
        ours = [run[key] for run in runs["pipeline"]]
        base = [run[key] for run in runs["single"]]
        result["measures"][key] = {
            "single": summary(base),
            "pipeline": summary(ours),
            "ratio": summary([a / b for a, b in zip(ours, base)]),
        }
    many = f"{arguments.streams} streams"
    for name in runs:
        gains = [run[many] / run["one stream"] for run in runs[name]]
        result[f"{name}: {many} over one"] = summary(gains)
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.quantize}, tokens/s, medians of {arguments.pairs}; one thread for each worker")
    print(f"{'':12} {'1 process':>10} {f'{arguments.workers} processes':>12} {'ratio':>7}  spread")
    for key, value in result["measures"].items():
        ratio = value["ratio"]
        print(
            f"{key:12} {value['single']['median']:10.2f} {value['pipeline']['median']:12.2f} "
            f"{ratio['median']:7.2f}  {ratio['least']:.2f}..{ratio['greatest']:.2f}"
        )
    for name in runs:
        gain = result[f"{name}: {many} over one"]
        print(f"{name}: {many} over one: {gain['median']:.2f}  {gain['least']:.2f}..{gain['greatest']:.2f}")


if __name__ == "__main__":
    main()
