#!/usr/bin/env python3
"""Write the GGUF files of inference/tests/fixtures/gguf with the package `gguf`.

    pip install torch transformers tokenizers safetensors numpy gguf
    python scripts/make_fixtures.py && python scripts/make_gguf_fixtures.py LLAMA_CPP

LLAMA_CPP is the source of llama.cpp (the source distribution of llama-cpp-python has it in
vendor/llama.cpp). Its own converter writes the files named *-bf16; the others are
written here with the same names, order of rows, stacks of experts and metadata, because
it makes no q4_0 and no K-quants and leaves out windows. Beside each lies

    NAME.safetensors    logits of transformers in float32 for the values that the file
                        holds: "prefill" [prompt, vocabulary], "decode" [steps, vocabulary]
    NAME.json           the prompt's ids and the greedy tokens

and besides them blocks.safetensors: random blocks of every format ("q4_k.blocks")
and the values that the package makes of them ("q4_k.values"). Models of a few kilobytes
go to fuzz/corpus.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import quants
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import make_fixtures

FAMILIES = make_fixtures.OUT
OUT = FAMILIES.parent / "gguf"
STORIES = FAMILIES.parent / "stories260k"
CORPUS = make_fixtures.OUT.parents[3] / "fuzz/corpus"

LAYER_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
STACKS = {"w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps",
          "gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2",
                 "qwen3": "qwen3", "qwen3_moe": "qwen3moe"}


def name_of(published):
    """The name in the file, and which expert of a stack it is."""
    ends = {"model.embed_tokens.weight": "token_embd.weight",
            "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if published in ends:
        return ends[published], None
    _, _, layer, part = published.split(".", 3)
    part, end = part.rsplit(".", 1)
    if ".experts." in part:
        expert, matrix = part.split(".experts.")[1].split(".")
        return f"blk.{layer}.{STACKS[matrix]}.{end}", int(expert)
    return f"blk.{layer}.{LAYER_NAMES[part]}.{end}", None


def in_pairs(rows, heads):
    """Rows that are turned together side by side, as llama.cpp's rotation wants them."""
    count, width = rows.shape
    return rows.reshape(heads, 2, count // heads // 2, width).swapaxes(1, 2).reshape(count, width)


def add_metadata(writer, config, architecture):
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    if config.get("head_dim"):
        writer.add_key_length(width)
        writer.add_value_length(width)
    if architecture == "llama":
        writer.add_rope_dimension_count(width)
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    if "num_experts_per_tok" in config:
        writer.add_expert_count(config.get("num_local_experts") or config["num_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
        writer.add_expert_weights_norm(config["norm_topk_prob"])


def add_byte_level(writer, folder, words="gpt-2"):
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    vocabulary = {**tokenizer["model"]["vocab"], **added}
    tokens = sorted(vocabulary, key=vocabulary.get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in added else 1 for token in tokens])
    writer.add_token_merges(merges)


def add_sentence_piece(writer, folder):
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    rank = {}
    for index, merge in enumerate(model["merges"]):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        rank.setdefault("".join(pair), index)
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3}
    is_byte = lambda token: len(token) == 6 and token.startswith("<0x")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([float(-rank.get(token, 10000 + i)) for i, token in enumerate(tokens)])
    writer.add_token_types([6 if is_byte(t) else kinds.get(t, 1) for t in tokens])


def llama3_factors(config):
    rope, width = config["rope_scaling"], config["hidden_size"] // config["num_attention_heads"]
    speeds = config["rope_theta"] ** -(np.arange(0, width, 2, dtype=np.float64) / width)
    turns = rope["original_max_position_embeddings"] * speeds / (2 * np.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    share = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - share) / rope["factor"] + share)).astype(np.float32)


def stored(values, kind):
    """The bytes of a tensor in a format, and the values that they are."""
    if kind == Kind.F32:
        return values.astype(np.float32), values.astype(np.float32)
    data = quants.quantize(values, kind)
    return data, quants.dequantize(data, kind).reshape(values.shape)


def write(name, family, kind, *, config=None, tensors=None, data=None, pieces=False):
    """Writes a file and returns what it holds, by published names. `data` has the
    tensors whose bytes are made already: name -> (format, bytes)."""
    folder = FAMILIES / family
    config = config or json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = tensors or {n: t.float().numpy() for n, t in
                          load_file(str(folder / "model.safetensors")).items()}
    architecture = ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(str(OUT / f"{name}.gguf"), architecture)
    add_metadata(writer, config, architecture)
    if pieces:
        add_sentence_piece(writer, STORIES)
    else:
        add_byte_level(writer, folder)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(True)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n"
                             "{% endfor %}assistant:")
    held, stacks = {}, {}
    for published, values in tensors.items():
        own, expert = name_of(published)
        if published in (data or {}):
            own_kind, raw = data[published]
            held[published] = quants.dequantize(raw, own_kind).reshape(values.shape)
            # Its rows are random: stored in pairs they are other rows.
            heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(
                own.split(".")[-2])
            writer.add_tensor(own, in_pairs(raw, config[heads]) if heads else raw,
                              raw_dtype=own_kind)
            continue
        is_matrix = values.ndim == 2 and "ffn_gate_inp" not in own
        raw, held[published] = stored(values, kind if is_matrix else Kind.F32)
        if architecture == "llama" and own.endswith(("attn_q.weight", "attn_k.weight")):
            heads = "num_attention_heads" if "attn_q" in own else "num_key_value_heads"
            raw = in_pairs(raw, config[heads])
        if expert is None:
            writer.add_tensor(own, raw, raw_dtype=kind if is_matrix else Kind.F32)
        else:
            stacks.setdefault(own, {})[expert] = raw
    for own, experts in stacks.items():
        writer.add_tensor(own, np.stack([experts[e] for e in sorted(experts)]), raw_dtype=kind)
    if config.get("rope_scaling"):
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return config, held


def write_answers(name, config, held, tokenizer):
    with tempfile.TemporaryDirectory() as folder:
        make_fixtures.dump(pathlib.Path(folder) / "config.json", config)
        tensors = {n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in held.items()}
        save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").eval()
        ids = Tokenizer.from_file(str(tokenizer)).encode(make_fixtures.PROMPTS["short"]).ids
        prefill, greedy, decode = make_fixtures.answers(model, ids)
    save_file({"prefill": prefill, "decode": decode}, str(OUT / f"{name}.safetensors"))
    make_fixtures.dump(OUT / f"{name}.json", {"ids": ids, "greedy": greedy})


# The converter knows tokenizers by a hash; the one of the fixtures cuts like GPT-2's.
CONVERT = """
import runpy, sys
root, sys.argv = sys.argv[1], sys.argv[1:]
sys.path[:0] = [root, root + "/gguf-py"]
import conversion.base as base
for own in vars(base).values():
    if isinstance(own, type) and "get_vocab_base_pre" in vars(own):
        own.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
runpy.run_path(root + "/convert_hf_to_gguf.py", run_name="__main__")
"""


def convert(llama_cpp, name, family, split):
    """Lets the converter write a file of bf16."""
    folder = FAMILIES / family
    command = [sys.executable, "-c", CONVERT, str(llama_cpp), str(folder), "--outtype", "bf16",
               "--outfile", str(OUT / f"{name}.gguf")]
    subprocess.run(command + (["--split-max-tensors", str(split)] if split else []), check=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config, {name: values.float().numpy()
                    for name, values in load_file(str(folder / "model.safetensors")).items()}


def random_blocks(kind, shape, random):
    """Blocks of random bits, their scales such that values are small numbers."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, inner = shape
    blocks = random.integers(0, 256, (rows * inner // block, size), dtype=np.uint8)
    half = lambda value: np.frombuffer(np.float16(value).tobytes(), dtype=np.uint8)
    if kind == Kind.Q6_K:
        blocks[:, 192:208] = random.integers(0, 60, blocks[:, 192:208].shape).astype(np.uint8)
        blocks[:, 208:210] = half(1e-4)
    else:
        number = 7.5 if kind == Kind.Q4_K else 15.5
        blocks[:, 0:2] = half(3e-3 / number)
        blocks[:, 2:4] = half(3e-3)
    return blocks.reshape(rows, -1)


def write_k_model():
    """One layer whose matrices are mostly K-quants, as llama.cpp mixes them."""
    config = json.loads((FAMILIES / "llama/config.json").read_text(encoding="utf-8"))
    config.update(hidden_size=256, intermediate_size=256, num_hidden_layers=1, head_dim=16,
                  num_attention_heads=1, num_key_value_heads=1, rope_scaling=None)
    tensors = {name: make_fixtures.make_tensor(name, shape).float().numpy()
               for name, shape in make_fixtures.shapes(config)}
    random = np.random.Generator(np.random.PCG64(3))
    kinds = {"embed_tokens": Kind.Q4_K, "q_proj": Kind.Q4_K, "k_proj": Kind.Q4_K,
             "v_proj": Kind.Q6_K, "gate_proj": Kind.Q4_K, "up_proj": Kind.Q5_K,
             "down_proj": Kind.Q4_K}
    data = {}
    for name, values in tensors.items():
        kind = next((kind for part, kind in kinds.items() if part in name), None)
        if kind is not None:
            data[name] = (kind, random_blocks(kind, values.shape, random))
    config, held = write("llama-q4_k_m", "llama", Kind.BF16, config=config, tensors=tensors,
                         data=data)
    write_answers("llama-q4_k_m", config, held, FAMILIES / "llama/tokenizer.json")


def write_blocks():
    """Blocks of any bits; only scales that are no numbers are left out."""
    random = np.random.Generator(np.random.PCG64(5))
    scales = {Kind.Q8_0: (0,), Kind.Q4_0: (0,), Kind.Q4_K: (0, 2), Kind.Q5_K: (0, 2),
              Kind.Q6_K: (208,), Kind.Q4_1: (0, 2), Kind.Q5_0: (0,), Kind.Q5_1: (0, 2)}
    out = {}
    for kind, places in scales.items():
        blocks = random.integers(0, 256, (8, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        for place in places:
            halves = random.standard_normal(8).astype(np.float16)
            blocks[:, place:place + 2] = halves.view(np.uint8).reshape(8, 2)
        name = kind.name.lower()
        out[f"{name}.blocks"] = blocks
        out[f"{name}.values"] = quants.dequantize(blocks, kind).astype(np.float32)
    save_numpy(out, str(OUT / "blocks.safetensors"))


def write_seeds():
    """Whole models of a few hundred bytes, for the fuzz targets to begin with."""
    config = {**make_fixtures.SIZES, "model_type": "llama", "hidden_size": 32, "vocab_size": 4,
              "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "num_key_value_heads": 1, "tie_word_embeddings": True, "bos_token_id": 0,
              "eos_token_id": 1, "num_local_experts": 2, "num_experts_per_tok": 1}
    for name, family, kind in (("dense", "llama", Kind.F16), ("blocks", "qwen3", Kind.Q8_0),
                               ("experts", "mixtral", Kind.Q4_0)):
        own = {**config, "model_type": family}
        if family != "mixtral":
            own = {key: value for key, value in own.items() if "expert" not in key}
        folder = CORPUS / "gguf"
        folder.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(str(folder / name), ARCHITECTURES[family])
        add_metadata(writer, own, ARCHITECTURES[family])
        writer.add_tokenizer_model("llama" if name == "blocks" else "gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(["<s>", "</s>", "a", "aa"])
        writer.add_token_types([3, 3, 1, 1])
        writer.add_token_scores([0.0, 0.0, 0.0, -1.0])
        writer.add_token_merges(["a a"])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        stacks = {}
        for published, shape in make_fixtures.shapes(own):
            values = make_fixtures.make_tensor(published, shape).float().numpy()
            tensor, expert = name_of(published)
            is_matrix = len(shape) == 2 and "gate_inp" not in tensor
            raw, _ = stored(values, kind if is_matrix else Kind.F32)
            if expert is None:
                writer.add_tensor(tensor, raw, raw_dtype=kind if is_matrix else Kind.F32)
            else:
                stacks.setdefault(tensor, []).append(raw)
        for tensor, experts in stacks.items():
            writer.add_tensor(tensor, np.stack(experts), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    own = {**config, "model_type": "llama", "hidden_size": 4, "intermediate_size": 4}
    folder = CORPUS / "safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: make_fixtures.make_tensor(name, shape)
               for name, shape in make_fixtures.shapes(own)}
    save_file(tensors, str(folder / "dense"), metadata={"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("llama_cpp", type=pathlib.Path, help="the source of llama.cpp")
    llama_cpp = parser.parse_args().llama_cpp
    OUT.mkdir(parents=True, exist_ok=True)
    for name, family, split in (("llama-bf16", "llama", 0), ("qwen3-bf16", "qwen3", 0),
                                ("mixtral-bf16", "mixtral", 30)):
        config, held = convert(llama_cpp, name, family, split)
        write_answers(name, config, held, FAMILIES / family / "tokenizer.json")
    for name, family, kind in (("qwen2-f16", "qwen2", Kind.F16), ("qwen3-q4_0", "qwen3", Kind.Q4_0),
                               ("mistral-q8_0", "mistral", Kind.Q8_0),
                               ("qwen3_moe-q8_0", "qwen3_moe", Kind.Q8_0)):
        config, held = write(name, family, kind)
        write_answers(name, config, held, FAMILIES / family / "tokenizer.json")
    write_k_model()
    config = json.loads((FAMILIES / "llama/config.json").read_text(encoding="utf-8"))
    config.update(vocab_size=512, num_hidden_layers=1, rope_scaling=None, bos_token_id=1,
                  eos_token_id=2)
    tensors = {n: make_fixtures.make_tensor(n, shape).float().numpy()
               for n, shape in make_fixtures.shapes(config)}
    write("pieces-q8_0", "llama", Kind.Q8_0, config=config, tensors=tensors, pieces=True)
    write_blocks()
    write_seeds()


if __name__ == "__main__":
    main()
