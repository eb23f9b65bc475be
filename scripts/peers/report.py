"""What the runs come to: medians, ratios of runs made side by side, a description of the machine.

A ratio is formed inside a round, where both engines met the same moment of the machine; the median of
those ratios is the result and their least and greatest the spread. Nothing here measures.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from pathlib import Path

MEASURES = {"prefill_tokens_per_s": "prefill", "decode_tokens_per_s": "decode"}
FLAGS = ("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx_vnni",
         "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16")


def machine() -> dict:
    """What the figures were measured on."""
    found: dict = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines())
        fields = {name.strip(): value.strip() for name, value in fields.items()}
        flags = fields.get("flags", fields.get("Features", "")).split()
        found["cpu"] = fields.get("model name", platform.machine())
        found["flags"] = [flag for flag in FLAGS if flag in flags]
        found["huge_pages"] = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().strip()
        total = Path("/proc/meminfo").read_text().split()[1]
        found["memory_bytes"] = int(total) * 1024
    except OSError:
        found["cpu"] = platform.processor() or platform.machine()
    return found


def versions(names: list[str]) -> dict:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def middle(runs: list[dict], measure: str) -> float | None:
    values = [run[measure] for run in runs if run.get(measure) is not None]
    return statistics.median(values) if values else None


def summary(engine: dict) -> dict:
    """The medians of one engine's runs, its memory and its load time."""
    runs, ready = engine["runs"], engine["ready"]
    peaks = [run["peak_resident_bytes"] for run in runs if "peak_resident_bytes" in run]
    found = {measure: middle(runs, measure) for measure in (*MEASURES, "read_bandwidth_share")}
    found.update(resident_bytes=runs[-1].get("resident_bytes"), anonymous_bytes=runs[-1].get("anonymous_bytes"),
                 peak_resident_bytes=max(peaks, default=None), load_s=ready.get("load_s"),
                 first_load_s=ready.get("first_load", {}).get("load_s"))
    return found


def compared(ours: dict, theirs: dict) -> dict:
    """Ratios of each round, ours through theirs."""
    found = {}
    for measure in MEASURES:
        ratios = [a[measure] / b[measure] for a, b in zip(ours["runs"], theirs["runs"], strict=True)]
        found[measure] = {"median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios),
                          "ratios": ratios}
    return found


def number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def mebibytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 2**20:.0f}"


def speed_table(results: list[dict]) -> str:
    """One line for each format, peer and measure."""
    head = ("format", "peer", "measure", "ours", "peer's", "ratio", "least..greatest", "bandwidth share")
    rows = [head]
    for result in results:
        for comparison in result["comparisons"]:
            for measure, word in MEASURES.items():
                ours, theirs = comparison["ours"], comparison["theirs"]
                ratio = comparison["ratios"].get(measure)
                spread = f"{ratio['least']:.2f}..{ratio['greatest']:.2f}" if ratio else "-"
                share = ours.get("read_bandwidth_share") if word == "decode" else None
                median = number(ratio["median"] if ratio else None)
                rows.append((result["format"], comparison["peer"], word, number(ours.get(measure)),
                             number(theirs[measure]), median, spread, number(share)))
    return aligned(rows)


def cost_table(results: list[dict]) -> str:
    """One line for each format and engine: memory and load time."""
    rows = [("format", "engine", "peak MiB", "resident MiB", "anonymous MiB", "load s", "first load s")]
    for result in results:
        for engine in result["engines"]:
            found = engine["summary"]
            rows.append((result["format"], engine["name"], mebibytes(found["peak_resident_bytes"]),
                         mebibytes(found["resident_bytes"]), mebibytes(found["anonymous_bytes"]),
                         number(found["load_s"]), number(found["first_load_s"])))
    return aligned(rows)


def perplexity_table(results: list[dict]) -> str:
    rows = [("format", "ours", "llama.cpp", "ratio", "tokens")]
    for found in results:
        ours = found["ours"]["perplexity"] if found["ours"] else None
        rows.append((found["format"], number(ours, 5), number(found["llama.cpp"]["perplexity"], 5),
                     number(found["ratio"], 5), str(found["llama.cpp"]["tokens"])))
    return aligned(rows)


def aligned(rows: list[tuple[str, ...]]) -> str:
    """A Markdown table whose columns line up in a terminal."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
