"""lm-evaluation-harness on two nodes: the same log-probability for every option.

Usage: check_evaluation.py ROUTE ALONE, the addresses of a node whose model
several workers hold and of one that holds it whole.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent / "evaluation"


def scores(base, directory):
    """What the harness saw: for each question, (log-probability, is greedy) of each option."""
    directory.mkdir()
    tasks = directory / "tasks"
    tasks.mkdir()
    task = (HERE / "talkoot_stories.yaml").read_text()
    data = json.dumps(str(HERE / "stories.jsonl"))
    (tasks / "talkoot_stories.yaml").write_text(task.replace("DATA_FILE", data))
    arguments = {
        "model": "demo",
        "base_url": f"{base}/v1/completions",
        "tokenizer_backend": "remote",
        "tokenized_requests": "True",
        "num_concurrent": "1",
        "max_retries": "1",
    }
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions"]
    command += ["--model_args", ",".join(f"{key}={value}" for key, value in arguments.items())]
    command += ["--tasks", "talkoot_stories", "--include_path", str(tasks)]
    command += ["--log_samples", "--output_path", str(directory / "out")]
    environment = os.environ | {
        "HF_HOME": str(directory / "cache"),
        "HF_DATASETS_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": "none",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"lm_eval failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    (log,) = (directory / "out").rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in log.read_text().splitlines()]
    samples.sort(key=lambda sample: sample["doc_id"])
    return [sample["filtered_resps"] for sample in samples]


def main():
    route, alone = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        seen = [scores(base, pathlib.Path(directory) / str(i)) for i, base in enumerate((route, alone))]
    options = sum(len(sample) for sample in seen[0])
    assert options == 24, seen[0]
    if seen[0] != seen[1]:
        sys.exit(f"FAIL the route and the node alone differ:\n{seen[0]}\n{seen[1]}")
    print(f"PASS {options} options have the same log-probabilities from the route and from one node")


if __name__ == "__main__":
    main()
