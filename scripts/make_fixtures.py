#!/usr/bin/env python3
"""Write the small models of inference/tests/fixtures/families.

    pip install torch transformers tokenizers safetensors numpy gguf
    python scripts/make_fixtures.py [FAMILY ...]

For each family a Hugging Face directory with random weights, and what transformers
computes with them in float32:

    reference.json            prompts, their token ids, greedy continuations
    reference.safetensors     logits: "<name>.prefill" [prompt, vocabulary] and
                              "<name>.decode" [steps, vocabulary]

The weights come from numpy's PCG64, one stream for each tensor name, rounded to
bf16; so they can be made again bit for bit, whatever the version of torch. The files
in GGUF are written by make_gguf_fixtures.py from these directories.
"""

import argparse
import hashlib
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM

OUT = pathlib.Path(__file__).resolve().parent.parent / "inference/tests/fixtures/families"
SEED = 1
STEPS = 8
BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
PROMPTS = {
    "short": "Once upon a time",
    "long": "The node keeps its own part of the cache, Zürich pays 3.50 €. ",
}
SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "tie_word_embeddings": False, "hidden_act": "silu",
}
FAMILIES = {
    # Tied, with the rotary frequencies of Llama 3.1 and later.
    "llama": {
        "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True,
        "attention_bias": False, "mlp_bias": False, "rope_theta": 500000.0,
        "max_position_embeddings": 16384,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        },
    },
    # A window shorter than the prompts.
    "mistral": {"architectures": ["MistralForCausalLM"], "sliding_window": 7},
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"], "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True, "use_sliding_window": False,
    },
    # Heads wider than the hidden size has room for.
    "qwen3": {
        "architectures": ["Qwen3ForCausalLM"], "rms_norm_eps": 1e-6, "head_dim": 16,
        "attention_bias": False, "use_sliding_window": False,
    },
    "mixtral": {
        "architectures": ["MixtralForCausalLM"], "intermediate_size": 32,
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None,
    },
    # Weights of experts that are not scaled to sum to one.
    "qwen3_moe": {
        "architectures": ["Qwen3MoeForCausalLM"], "rms_norm_eps": 1e-6, "head_dim": 16,
        "attention_bias": False, "use_sliding_window": False, "moe_intermediate_size": 32,
        "num_experts": 4, "num_experts_per_tok": 3, "norm_topk_prob": False,
        "decoder_sparse_step": 1, "mlp_only_layers": [],
    },
}


def make_tokenizer(vocabulary):
    """Byte-level BPE trained on a few sentences, padded with reserved tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 8, special_tokens=[], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator([text * 4 for text in PROMPTS.values()], trainer)
    count = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([BOS, EOS])
    tokenizer.add_special_tokens([f"<|reserved_{i}|>" for i in range(vocabulary - count - 2)])
    assert tokenizer.get_vocab_size() == vocabulary
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos)])
    return tokenizer, bos, eos


def feed_forward(config, prefix):
    """The tensors of the second half of a block, as published checkpoints name them."""
    hidden = config["hidden_size"]
    family = config["model_type"]
    if family in ("mixtral", "qwen3_moe"):
        mixtral = family == "mixtral"
        inner = config["intermediate_size" if mixtral else "moe_intermediate_size"]
        count = config["num_local_experts" if mixtral else "num_experts"]
        part = "block_sparse_moe" if mixtral else "mlp"
        names = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
        yield f"{prefix}{part}.gate.weight", (count, hidden)
        for expert in range(count):
            for name, shape in zip(names, ((inner, hidden), (inner, hidden), (hidden, inner))):
                yield f"{prefix}{part}.experts.{expert}.{name}.weight", shape
    else:
        inner = config["intermediate_size"]
        yield f"{prefix}mlp.gate_proj.weight", (inner, hidden)
        yield f"{prefix}mlp.up_proj.weight", (inner, hidden)
        yield f"{prefix}mlp.down_proj.weight", (hidden, inner)


def shapes(config):
    """Names and shapes of all tensors."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("head_dim") or hidden // heads
    family = config["model_type"]
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (hidden,)
        yield prefix + "post_attention_layernorm.weight", (hidden,)
        for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            yield f"{prefix}self_attn.{name}_proj.weight", (count * width, hidden)
            if family == "qwen2":
                yield f"{prefix}self_attn.{name}_proj.bias", (count * width,)
        if family.startswith("qwen3"):
            yield prefix + "self_attn.q_norm.weight", (width,)
            yield prefix + "self_attn.k_norm.weight", (width,)
        yield prefix + "self_attn.o_proj.weight", (hidden, heads * width)
        yield from feed_forward(config, prefix)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocabulary, hidden)


def make_tensor(name, shape):
    key = hashlib.sha256(f"{SEED}:{name}".encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))
    values = random.standard_normal(shape, dtype=np.float32)
    if "norm" in name:
        values = 1.0 + 0.1 * values        # around one, as in trained models
    elif name.endswith(".bias"):
        values *= 0.3
    elif "embed_tokens" in name:
        values *= 4.0 / np.sqrt(shape[1])
    elif name.endswith("gate.weight"):
        values *= 2.0 / np.sqrt(shape[1])  # a router that decides
    else:
        values *= 1.0 / np.sqrt(shape[1])
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(torch.bfloat16)


def dump(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_checkpoint(family, out):
    out.mkdir(parents=True, exist_ok=True)
    config = {**SIZES, "model_type": family, **FAMILIES[family]}
    tokenizer, bos, eos = make_tokenizer(config["vocab_size"])
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    config.update(bos_token_id=bos, eos_token_id=eos, torch_dtype="bfloat16")
    dump(out / "config.json", config)
    dump(out / "generation_config.json", {"bos_token_id": bos, "eos_token_id": eos})
    dump(out / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "eos_token": EOS,
        "chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n"
                         "{% endfor %}assistant:"})
    tensors = {name: make_tensor(name, shape) for name, shape in shapes(config)}
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})


@torch.no_grad()
def answers(model, ids):
    """Logits of every prompt row, then greedy tokens and the logits after each."""
    result = model(torch.tensor([ids]), use_cache=True)
    prefill, last, cache = result.logits[0].float(), result.logits[0, -1], result.past_key_values
    greedy, rows = [], []
    for _ in range(STEPS):
        greedy.append(int(last.argmax()))
        result = model(torch.tensor([[greedy[-1]]]), past_key_values=cache, use_cache=True)
        cache, last = result.past_key_values, result.logits[0, -1]
        rows.append(last.float().clone())
    return prefill.contiguous().clone(), greedy, torch.stack(rows)


def write_reference(out):
    model, info = AutoModelForCausalLM.from_pretrained(
        str(out), dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    model.eval()
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    report, logits = {"dtype": "float32", "steps": STEPS, "prompts": {}}, {}
    for name, text in PROMPTS.items():
        ids = tokenizer.encode(text).ids
        prefill, greedy, decode = answers(model, ids)
        logits[f"{name}.prefill"], logits[f"{name}.decode"] = prefill, decode
        top = torch.cat([prefill[-1:], decode[:-1]]).topk(2).values
        report["prompts"][name] = {
            "text": text, "ids": ids, "greedy": greedy,
            "greedy_text": tokenizer.decode(greedy, skip_special_tokens=False),
            "smallest_top1_margin": float((top[:, 0] - top[:, 1]).min())}
    dump(out / "reference.json", report)
    save_file(logits, str(out / "reference.safetensors"))
    return min(prompt["smallest_top1_margin"] for prompt in report["prompts"].values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", default=sorted(FAMILIES))
    for family in parser.parse_args().families:
        out = OUT / family
        write_checkpoint(family, out)
        print(f"{family}: smallest margin of a greedy token {write_reference(out):.4f}")


if __name__ == "__main__":
    main()
