"""Many chats at the same time: none fails, none stands still, memory stays flat.

Usage: load.py BASE [--streams 50] [--seconds 120] [--max-tokens 64] [--pid PID ...]

Standard library only. Each stream asks again as soon as its answer has ended. A
stall is the longest time between two bytes of an answer, the wait for its first
included. With --pid, memory of these processes after a fifth of the time and at
the end is compared. Every answer leaves entries in the books, which each node
holds in memory: what they may take is allowed for, and nothing else.
"""

import argparse
import asyncio
import json
import pathlib
import statistics
import sys
import time
import urllib.parse
import urllib.request

STALL_SECONDS_MAX = 10
ENTRY_KIB_MAX = 4
"""Memory of an entry of the books: 2.8 KB by the ledger's own bench, and some for spikes."""
MEMORY_SLACK_KIB = 48 * 1024
"""For all processes together: buffers and allocators settle."""


async def answer(host, port, body):
    """One streamed answer; returns (status, tokens' chunks, ended well, longest stall)."""
    began = last = time.monotonic()
    stall = 0.0
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        text = b""
        while part := await reader.read(65536):
            now = time.monotonic()
            stall, last = max(stall, now - last), now
            text += part
        status = int(text.split(b" ", 2)[1])
        chunks = text.count(b'"delta"')
        return status, chunks, b"data: [DONE]" in text, stall, text, last - began
    finally:
        writer.close()


def entries(base):
    """How many entries the books have."""
    with urllib.request.urlopen(f"{base}/api/v1/status", timeout=30) as answer:
        return json.load(answer)["chain"]["length"]


def memory_kib(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


async def stream(number, place, args, end, seen):
    body = {
        "model": "demo",
        "stream": True,
        "max_tokens": args.max_tokens,
        "seed": number,
        "messages": [{"role": "user", "content": "Tell me a story about a fox who lost a drum."}],
    }
    while time.monotonic() < end:
        try:
            status, chunks, ended, stall, text, took = await answer(*place, json.dumps(body).encode())
        except OSError as error:
            seen["errors"].append(str(error))
            continue
        seen["stall"] = max(seen["stall"], stall)
        seen["answers"] += 1
        seen["chunks"] += chunks
        seen["took"].append(took)
        if status != 200 or not ended:
            seen["errors"].append(f"{status}: {text[-300:].decode(errors='replace')}")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--pid", type=int, nargs="*", default=[])
    args = parser.parse_args()
    url = urllib.parse.urlparse(args.base)
    place = (url.hostname, url.port)
    seen = {"answers": 0, "chunks": 0, "errors": [], "stall": 0.0, "took": []}
    begun = time.monotonic()
    end = begun + args.seconds
    streams = [asyncio.create_task(stream(i, place, args, end, seen)) for i in range(args.streams)]
    await asyncio.sleep(args.seconds / 5)
    early_kib, early_entries = memory_kib(args.pid), entries(args.base)
    await asyncio.gather(*streams)
    late_kib, more_entries = memory_kib(args.pid), entries(args.base) - early_entries
    took = time.monotonic() - begun
    print(
        f"{args.streams} streams, {took:.0f} s: {seen['answers']} answers, {seen['chunks'] / took:.0f} "
        f"chunks/s, {len(seen['errors'])} errors, longest stall {seen['stall']:.1f} s, median answer "
        f"{statistics.median(seen['took'] or [0]):.1f} s, memory {early_kib // 1024} -> {late_kib // 1024} MiB with {more_entries} more entries in the books"
    )
    for error in seen["errors"][:5]:
        print(f"  error: {error}")
    for_books_kib = more_entries * ENTRY_KIB_MAX * len(args.pid)
    flat = late_kib <= early_kib + for_books_kib + MEMORY_SLACK_KIB
    well = not seen["errors"] and seen["stall"] <= STALL_SECONDS_MAX and flat and seen["answers"]
    print(f"{'PASS' if well else 'FAIL'} {args.streams} chats at the same time")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    asyncio.run(main())
