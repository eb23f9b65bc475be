#!/usr/bin/env python3
"""Writes a checkpoint of random weights in the shape of a config.json.

    pip install numpy
    ./scripts/random_checkpoint.py models/shapes/Qwen2.5-0.5B.json /tmp/Qwen2.5-0.5B

For measurements of memory and speed, which do not depend on what the weights are;
its answers are noise. Weights are bf16, normally distributed, one stream of
numbers for each tensor, so that the same configuration gives the same bytes. The
tokenizer is that of the demo model: ids above its vocabulary have no text. Dense
models of the Llama kind only (llama, mistral, qwen2, qwen3).
"""

import argparse
import json
import os
import shutil
import sys
import zlib

import numpy

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models", "demo")
DEVIATION = 0.02


def tensors(config):
    """Names and sizes of all tensors, outermost size first."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads, kind = config["num_attention_heads"], config["model_type"]
    width = config.get("head_dim") or hidden // heads
    query, key = heads * width, config["num_key_value_heads"] * width
    yield "model.embed_tokens.weight", [config["vocab_size"], hidden]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        yield f"{at}.input_layernorm.weight", [hidden]
        yield f"{at}.post_attention_layernorm.weight", [hidden]
        for part, rows in (("q", query), ("k", key), ("v", key)):
            yield f"{at}.self_attn.{part}_proj.weight", [rows, hidden]
            if kind == "qwen2":
                yield f"{at}.self_attn.{part}_proj.bias", [rows]
        if kind == "qwen3":
            yield f"{at}.self_attn.q_norm.weight", [width]
            yield f"{at}.self_attn.k_norm.weight", [width]
        yield f"{at}.self_attn.o_proj.weight", [hidden, query]
        yield f"{at}.mlp.gate_proj.weight", [inner, hidden]
        yield f"{at}.mlp.up_proj.weight", [inner, hidden]
        yield f"{at}.mlp.down_proj.weight", [hidden, inner]
    yield "model.norm.weight", [hidden]
    if not config.get("tie_word_embeddings"):
        yield "lm_head.weight", [config["vocab_size"], hidden]


def values(name, sizes):
    """bf16 as 16-bit words, by cutting floats off."""
    count = int(numpy.prod(sizes))
    if name.endswith("norm.weight"):
        floats = numpy.ones(count, numpy.float32)
    else:
        stream = numpy.random.Generator(numpy.random.PCG64(zlib.crc32(name.encode())))
        floats = stream.standard_normal(count, numpy.float32) * numpy.float32(DEVIATION)
    return (floats.view(numpy.uint32) >> 16).astype("<u2")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="a config.json")
    parser.add_argument("out", help="the directory to write")
    arguments = parser.parse_args()
    with open(arguments.config, encoding="utf-8") as file:
        config = json.load(file)
    if config["model_type"] not in ("llama", "mistral", "qwen2", "qwen3"):
        sys.exit(f"random_checkpoint: {config['model_type']} is no dense model of the Llama kind")
    os.makedirs(arguments.out, exist_ok=True)
    shutil.copy(arguments.config, os.path.join(arguments.out, "config.json"))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(os.path.join(DEMO, name), arguments.out)

    header, place = {}, 0
    for name, sizes in tensors(config):
        end = place + 2 * int(numpy.prod(sizes))
        header[name] = {"dtype": "BF16", "shape": sizes, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    weights = os.path.join(arguments.out, "model.safetensors")
    with open(weights + ".part", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, sizes in tensors(config):
            file.write(values(name, sizes).tobytes())
    os.replace(weights + ".part", weights)
    print(f"{arguments.out}: {place / 2e9:.3f} * 10^9 weights, {place / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
