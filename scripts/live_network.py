"""A network of an asker and four workers for the checks that need one, and what they
share: building the program, running a command, saying what happens. It checks nothing.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def say(text):
    print(text, file=sys.stderr, flush=True)


def quiet(command, **more):
    """Runs a command whose output only matters when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def build():
    """Builds the program without optimisation. Returns its path."""
    say("building talkoot …")
    subprocess.run(["cargo", "build", "--locked", "-p", "talkoot"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "debug" / "talkoot"


class Node:
    """A running node, by its home."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.api = json.loads((self.home / "state" / "api.json").read_text())
        self.base, self.pid = self.api["url"], self.api["pid"]

    def is_there(self):
        return pathlib.Path(f"/proc/{self.pid}").exists()


class Network:
    """An asker and four workers, started by `talkoot testnet --keep`."""

    def __init__(self, program, directory):
        self.program = program
        say("starting an asker and four workers …")
        command = [str(program), "testnet", "--keep", "--line", "1000000GFT", "--json"]
        done = quiet(command, env=os.environ | {"TMPDIR": str(directory)})
        homes = re.findall(r"TALKOOT_HOME=(\S+)\s+#", done.stderr)
        self.nodes = [Node(home) for home in homes]
        self.asker, self.workers = self.nodes[0], self.nodes[1:]
        assert len(self.workers) == 4, done.stderr

    def stop(self):
        """Stops all nodes; those that do not listen are killed."""
        for node in self.nodes:
            if node.is_there():
                environment = os.environ | {"TALKOOT_HOME": str(node.home)}
                subprocess.run([str(self.program), "down"], env=environment, capture_output=True)
        for node in self.nodes:
            if node.is_there():
                os.kill(node.pid, signal.SIGKILL)
