"""What the checks of all Python clients share: a list of functions, run in turn.

A check is a function of one argument, the base address of a node; it fails by
an exception. A file of checks ends with `main()`.
"""

import argparse
import json
import sys
import time
import traceback
import urllib.request

STORY = "Tell me a story about a fox who lost a drum."
MESSAGES = [{"role": "user", "content": STORY}]
CHECKS = []


def check(function):
    """Marks a function as a check."""
    CHECKS.append(function)
    return function


def call(base, path, body=None, headers=None):
    """A plain request; returns (status, headers, JSON)."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, headers=headers or {})
    request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def until(what, seconds, condition):
    """Waits until the condition holds and returns what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def stop_id(base):
    """The id that ends an answer of the demo model."""
    return call(base, "/tokenizer_info")[2]["stop_token_ids"][0]


def endless(base):
    """Keys of a request whose answer does not end by itself for a while."""
    return {"logit_bias": {str(stop_id(base)): -100}, "max_tokens": 900}


def main(lost=None):
    """Runs all checks, or `lost`: a stream that a lost worker cuts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base", help="address of a node, such as http://127.0.0.1:7472")
    parser.add_argument("--lost", action="store_true", help="stream until a worker is gone")
    args = parser.parse_args()
    if args.lost:
        # Imports take seconds and answers do not: all clients begin together.
        print("ready", flush=True)
        sys.stdin.readline()
        error = lost(args.base, lambda: print("streaming", flush=True))
        if error is None:
            sys.exit("the stream ended without an error")
        print(f"error: {error}")
        return
    failed = 0
    for function in CHECKS:
        name = function.__name__
        try:
            function(args.base)
            print(f"PASS {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    sys.exit(1 if failed else 0)
