#!/usr/bin/env python3
"""The dashboard in a real browser, against a real network of an asker and four workers.

    ./scripts/browser.py                     install what is missing, run all
    ./scripts/browser.py --program PATH      use this talkoot instead of building one
    ./scripts/browser.py --url URL           use a node that runs already
    ./scripts/browser.py --only chat speed   some of the checks
    ./scripts/browser.py --screenshots docs/images
                                             also make the README's pictures

Checks (tests/browser): unit (hashes, amounts, JSON), live (every view, keys, 360
pixels, colours, contrast), ledger (entries computed again, altered bytes noticed),
chat (quote, stream, stop, receipt), worlds (made-up networks: empty, lost, old,
hostile), speed (frame times with 200 peers and 10,000 entries).

Needs Node 20 or later, npm and its registry for the first run, and Chromium as
chromium, chromium-browser, google-chrome or $TALKOOT_CHROMIUM; without them (or with
TALKOOT_SKIP_BROWSER=1) it says so and skips. Packages lie in target/browser. The
browser can reach nothing but the node. Exit 0 only if every check that could run has
passed.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from live_network import ROOT, Network, build, quiet, say

HERE = ROOT / "tests" / "browser"
PLACE = ROOT / "target" / "browser"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
NODE_MAJOR_MIN = 20
PICTURE_BYTES_MAX = 150_000
CHECKS = {
    "unit": ["unit/blake3.test.mjs", "unit/text.test.mjs", "unit/views.test.mjs"],
    "live": ["live.test.mjs"],
    "ledger": ["ledger.test.mjs"],
    "chat": ["chat.test.mjs"],
    "worlds": ["worlds.test.mjs"],
    "speed": ["speed.test.mjs"],
}
# These make their own network up, so they need no node.
ALONE = {"unit", "worlds", "speed"}


def chromium():
    asked = os.environ.get("TALKOOT_CHROMIUM")
    return asked or next(filter(None, map(shutil.which, CHROMIUM)), None)


def what_is_missing():
    """Why the checks cannot run here, or None."""
    if os.environ.get("TALKOOT_SKIP_BROWSER") == "1":
        return "TALKOOT_SKIP_BROWSER=1"
    if not chromium():
        return "there is no Chromium; on Debian: apt-get install chromium"
    if not shutil.which("node") or not shutil.which("npm"):
        return "there is no Node.js with npm"
    version = quiet(["node", "--version"]).stdout
    if int(re.match(r"v(\d+)", version).group(1)) < NODE_MAJOR_MIN:
        return f"Node.js is {version.strip()}, and {NODE_MAJOR_MIN} is needed"
    return None


def install():
    """Installs just what the lock file says, unless it is there."""
    wanted = (HERE / "package-lock.json").read_text()
    mark = PLACE / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    say("installing playwright-core from npm …")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, PLACE / name)
    quiet(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=PLACE)
    mark.write_text(wanted)


def squeeze(place):
    """Pictures of a README should be small: fewer colours where a tool for it is here."""
    for picture in sorted(place.glob("dashboard-*.png")):
        if shutil.which("pngquant"):
            subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "64", str(picture)], check=False)
        size = picture.stat().st_size
        note = "" if size <= PICTURE_BYTES_MAX else f": more than {PICTURE_BYTES_MAX}; install pngquant"
        say(f"{picture}: {size} bytes{note}")


def run(names, url, screenshots, worker=""):
    """The checks, one after another: frame times want the machine for themselves."""
    environment = os.environ | {"TALKOOT_URL": url, "TALKOOT_CHROMIUM": chromium()}
    environment["TALKOOT_WORKER_URL"] = worker
    if screenshots:
        screenshots.mkdir(parents=True, exist_ok=True)
        environment["TALKOOT_SCREENSHOTS"] = str(screenshots.resolve())
    failed = []
    for name in names:
        say(f"== {name}")
        files = [str(HERE / file) for file in CHECKS[name]]
        command = ["node", "--test", "--test-reporter=spec", *files]
        if subprocess.run(command, env=environment).returncode != 0:
            failed.append(name)
    if screenshots:
        squeeze(screenshots)
    print(f"{len(names) - len(failed)} passed, {len(failed)} failed {' '.join(failed)}".rstrip())
    return not failed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", type=pathlib.Path, help="default: built now, without optimisation")
    parser.add_argument("--url", help="of a node that runs already, with a model that can be asked")
    parser.add_argument("--only", nargs="+", default=[], choices=CHECKS, metavar="CHECK")
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="DIR", help="also make pictures there")
    args = parser.parse_args()
    missing = what_is_missing()
    if missing:
        print(f"browser checks skipped: {missing}")
        return
    try:
        install()
    except RuntimeError as error:
        # A registry's bad hour is not this project's fault.
        print(f"browser checks skipped: playwright-core could not be installed: {error}")
        return
    names = args.only or list(CHECKS)
    if args.url or ALONE.issuperset(names):
        sys.exit(0 if run(names, args.url or "", args.screenshots) else 1)
    program = (args.program or build()).resolve()
    with tempfile.TemporaryDirectory(prefix="talkoot-browser-") as directory:
        network = Network(program, directory)
        try:
            passed = run(names, network.asker.base, args.screenshots, network.workers[0].base)
        finally:
            network.stop()
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
