#!/usr/bin/env python3
"""Real clients against a real network: four workers and an asker on this machine.

    ./scripts/clients.py                     install what is missing, run all
    ./scripts/clients.py --program PATH      use this talkoot instead of building one
    ./scripts/clients.py --only openai lost  some of the checks
    ./scripts/clients.py --seconds 120       how long the load lasts

Checks: openai, litellm, langchain, node (OpenAI's Node client and the AI SDK),
schema (schemathesis on /openapi.json), evaluation (lm-evaluation-harness: the same
log-probabilities from the route and from one node), tools (a model whose template
knows them), first (the first token on an
empty home), load (50 chats at the same time), lost (a worker is killed: every
client sees an error).

Needs Python 3.10, npm, and PyPI and npm's registry for the first run; without
them (or with TALKOOT_SKIP_CLIENTS=1) it says so and skips. What does not install is
skipped, too: a registry's bad hour says nothing about this project. Packages lie in
target/clients. Exit 0 only if every check that could run has passed.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from live_network import ROOT, Network, Node, build, quiet, say

HERE = ROOT / "scripts" / "clients"
PLACE = ROOT / "target" / "clients"
PYTHON = PLACE / "venv" / "bin" / "python"
LOST_WAIT_SECONDS = 90


def has_registries():
    """Whether both registries answer, asked as their own clients would."""
    if os.environ.get("TALKOOT_SKIP_CLIENTS") == "1":
        return False
    if not shutil.which("npm"):
        return False
    asks = (
        [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", tempfile.mkdtemp(), "six"],
        ["npm", "view", "is-number", "version"],
    )
    return all(subprocess.run(ask, capture_output=True, timeout=120).returncode == 0 for ask in asks)


def install():
    """Installs the pinned clients unless just these are there."""
    wanted = (HERE / "requirements.txt").read_text() + (HERE / "package.json").read_text()
    mark = PLACE / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    say("installing clients from PyPI and npm (a minute or two) …")
    quiet([sys.executable, "-m", "venv", str(PLACE / "venv")])
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    quiet([*pip, "-r", str(HERE / "requirements.txt")])
    shutil.copy(HERE / "package.json", PLACE / "package.json")
    quiet(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=PLACE)
    mark.write_text(wanted)


class Alone:
    """One node on an empty home, with the whole demo model or that of a directory."""

    def __init__(self, program, directory, model=None):
        name = model.name if model else "alone"
        self.home = pathlib.Path(directory) / f"home-{name}"
        environment = os.environ | {"TALKOOT_HOME": str(self.home)}
        ports = ["--p2p-port", "0", "--data-port", "0", "--http-port", "0", "--no-mdns"]
        self.begun = time.monotonic()
        self.log = open(pathlib.Path(directory) / f"{name}.log", "w")
        command = [str(program), "up", *ports]
        if model:
            command += ["--model", str(model)]
        self.process = subprocess.Popen(command, env=environment, stderr=self.log, stdout=self.log)

    def base(self):
        """Waits until the node is ready."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                base = Node(self.home).base
                urllib.request.urlopen(f"{base}/readyz", timeout=5)
                return base
            except (OSError, ValueError):
                time.sleep(0.02)
        raise RuntimeError("the node alone is not ready after 60 s")

    def first_token_seconds(self):
        """From the start of the process to the first text of an answer."""
        base = self.base()
        wish = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"content-type": "application/json"}
        body = json.dumps(wish).encode()
        request = urllib.request.Request(f"{base}/v1/chat/completions", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            for line in answer:
                if b'"content":"' in line and b'"content":""' not in line:
                    return time.monotonic() - self.begun
        raise RuntimeError("the answer has no text")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


TOOLS_TEMPLATE = """{{ bos_token }}{% if tools %}<|system|>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}Call as <tool_call>
{"name": ..., "arguments": ...}
</tool_call>{% endif %}{% for message in messages %}<|{{ 'user' if message.role == 'tool' else message.role }}|>\
{{ message.content }}{% for call in message.tool_calls %}<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""


def model_with_tools(directory):
    """The demo model with a template that knows tools."""
    place = pathlib.Path(directory) / "tools"
    shutil.copytree(ROOT / "models" / "demo", place)
    file = place / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | {"chat_template": TOOLS_TEMPLATE}
    file.write_text(json.dumps(settings))
    return place


class Checks:
    def __init__(self, program, directory, args):
        self.program, self.directory, self.args = program, directory, args
        self.results = []
        self.network = self.alone = None

    def wants(self, name):
        return not self.args.only or name in self.args.only

    def note(self, name, passed):
        self.results.append((name, passed))
        print(f"{'PASS' if passed else 'FAIL'} {name}", flush=True)

    def run(self, name, command, **more):
        """A check that is a program: what it prints is shown, its code counts."""
        if not self.wants(name):
            return
        say(f"== {name}")
        done = subprocess.run([str(part) for part in command], **more)
        self.note(name, done.returncode == 0)

    def all(self):
        base = self.network.asker.base
        for name in ("openai", "litellm", "langchain"):
            self.run(name, [PYTHON, HERE / f"check_{name}.py", base])
        shutil.copy(HERE / "check_node.mjs", PLACE / "check_node.mjs")
        self.run("node", ["node", PLACE / "check_node.mjs", base])
        self.schema(base)
        if self.wants("first") or self.wants("evaluation"):
            self.beside_one_node(base)
        if self.wants("tools"):
            self.alone = Alone(self.program, self.directory, model_with_tools(self.directory))
            self.run("tools", [PYTHON, HERE / "check_tools.py", self.alone.base()])
            self.alone.stop()
            self.alone = None
        pids = [str(node.pid) for node in self.network.nodes]
        load = [sys.executable, HERE / "load.py", base, "--seconds", self.args.seconds, "--pid", *pids]
        self.run("load", load)
        if self.wants("lost"):
            self.lost(base)

    def schema(self, base):
        checks = "not_a_server_error,status_code_conformance,content_type_conformance"
        checks += ",response_schema_conformance,unsupported_method"
        command = [PYTHON, "-m", "schemathesis.cli", "run", f"{base}/openapi.json", "--checks", checks]
        command += ["--max-examples", "12", "--seed", "1", "--request-timeout", "60", "--no-color"]
        # A stream without an end: the tests of HTTP read it.
        command += ["--exclude-path", "/api/v1/events"]
        self.run("schema", command, cwd=self.directory)

    def beside_one_node(self, base):
        self.alone = Alone(self.program, self.directory)
        seconds = self.alone.first_token_seconds()
        print(f"first token {seconds:.2f} s after the start of the process", flush=True)
        if self.wants("first"):
            self.note("first", seconds < 3)
        self.run("evaluation", [PYTHON, HERE / "check_evaluation.py", base, self.alone.base()])
        self.alone.stop()
        self.alone = None

    def lost(self, base):
        """All clients stream; when each has begun, one worker is killed."""
        say("== lost")
        node = ["node", str(PLACE / "check_node.mjs"), base, "--lost"]
        python = {name: [str(PYTHON), str(HERE / f"check_{name}.py"), base, "--lost"]
                  for name in ("openai", "litellm", "langchain")}
        clients = python | {"node": [*node, "openai"], "ai": [*node, "ai"]}
        ready, streaming = threading.Semaphore(0), threading.Semaphore(0)
        outcomes, inputs = {}, []

        def follow(name, command):
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
            )
            inputs.append(process.stdin)
            lines = []
            for line in process.stdout:
                lines.append(line)
                for word, reached in (("ready", ready), ("streaming", streaming)):
                    if line.strip() == word:
                        reached.release()
            outcomes[name] = (process.wait(), "".join(lines))
            # Whoever ends early must not keep the others waiting.
            ready.release()
            streaming.release()

        threads = [threading.Thread(target=follow, args=item) for item in clients.items()]
        for thread in threads:
            thread.start()
        for _ in threads:
            ready.acquire(timeout=LOST_WAIT_SECONDS)
        for stdin in inputs:
            stdin.write("go\n")
            stdin.flush()
        for _ in threads:
            streaming.acquire(timeout=LOST_WAIT_SECONDS)
        os.kill(self.network.workers[2].pid, signal.SIGKILL)
        for thread in threads:
            thread.join(LOST_WAIT_SECONDS)
        for name in clients:
            code, text = outcomes.get(name, (1, "it did not end"))
            print(f"  {name}: {text.strip()[-300:]}")
            self.note(f"lost: {name} sees an error", code == 0 and "streaming" in text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=pathlib.Path, help="default: built now, without optimisation")
    parser.add_argument("--only", nargs="+", default=[], metavar="CHECK")
    parser.add_argument("--seconds", default="20", help="of load (default 20)")
    args = parser.parse_args()
    if not has_registries():
        print("clients skipped: PyPI or npm's registry cannot be reached (or TALKOOT_SKIP_CLIENTS=1)")
        return
    try:
        install()
    except RuntimeError as error:
        # A registry's bad hour is not this project's fault.
        print(f"clients skipped: they could not be installed: {error}")
        return
    program = (args.program or build()).resolve()
    with tempfile.TemporaryDirectory(prefix="talkoot-clients-") as directory:
        checks = Checks(program, directory, args)
        try:
            checks.network = Network(program, directory)
            checks.all()
        finally:
            for running in (checks.network, checks.alone):
                if running:
                    running.stop()
    failed = sum(1 for _, passed in checks.results if not passed)
    print(f"{len(checks.results) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
