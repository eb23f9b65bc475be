"""A Hugging Face directory as the GGUF files that llama.cpp reads, cached beside each other.

The weights are copied as they are stored (bf16; vectors as f32, as llama.cpp's own converter does)
and llama.cpp itself quantises them. The files carry no vocabulary: whoever uses them feeds token ids,
and so nothing of a tokenizer can differ. Not a general converter: Llama and Qwen2 only, and whatever
it does not know it refuses.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from peers.environment import need
from peers.llama_backend import capture_log

# What the files hold; another number here makes all cached files anew.
LAYOUT = 1

# name: (file type of llama.cpp, every matrix in that format)
# "q4_0" has its head in q4_0 too; "q4_0_default" is what llama-quantize makes when nothing is said,
# with a q6_K head (and token embedding, where they are one matrix).
QUANTISED = {"q8_0": ("Q8_0", True), "q4_0": ("Q4_0", True), "q4_0_default": ("Q4_0", False)}
FORMATS = ("bf16", *QUANTISED)


class Unsupported(Exception):
    """The checkpoint is of a kind this script cannot hand to llama.cpp."""


class SafeTensors:
    """The tensors of one safetensors file, mapped, as raw little-endian arrays."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            self.header = json.loads(file.read(length))
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.header.pop("__metadata__", None)
        self.begin = 8 + length

    def names(self) -> list[str]:
        return list(self.header)

    def tensor(self, name: str):
        """(dtype, array): uint16 bit patterns for BF16, the numbers themselves else."""
        numpy = need("numpy")
        entry = self.header[name]
        kinds = {"BF16": numpy.uint16, "F16": numpy.float16, "F32": numpy.float32}
        if entry["dtype"] not in kinds:
            raise Unsupported(f"{name} is stored as {entry['dtype']}")
        first, end = entry["data_offsets"]
        kind = numpy.dtype(kinds[entry["dtype"]])
        array = numpy.frombuffer(self.map, kind, (end - first) // kind.itemsize, self.begin + first)
        return entry["dtype"], array.reshape(entry["shape"])


def tensors(model: Path) -> Iterator[tuple[str, str, object]]:
    """(name, dtype, array) of every tensor of a model directory."""
    files = sorted(model.glob("model*.safetensors"))
    if not files:
        raise Unsupported(f"{model} has no model*.safetensors")
    for path in files:
        file = SafeTensors(path)
        for name in sorted(file.names()):
            yield (name, *file.tensor(name))


def head_dimension(config: dict) -> int:
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def rope_factors(config: dict) -> list[float] | None:
    """What each frequency is divided by under the llama3 scaling, None where nothing is scaled."""
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = scaling.get("rope_type", "default")
    if kind == "default":
        return None
    if kind != "llama3":
        raise Unsupported(f"rope scaling {kind}")
    base = config.get("rope_theta", scaling.get("rope_theta", 10000.0))
    dimension, factor = head_dimension(config), scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    positions = scaling["original_max_position_embeddings"]
    factors = []
    for i in range(0, dimension, 2):
        wavelength = 2 * math.pi * base ** (i / dimension)
        if wavelength < positions / high:
            factors.append(1.0)
        elif wavelength > positions / low:
            factors.append(factor)
        else:
            smooth = (positions / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name: str) -> str:
    """The name llama.cpp gives a tensor."""
    stem, _, kind = name.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{kind}"
    prefix, _, rest = stem.partition("model.layers.")
    index, _, part = rest.partition(".")
    if prefix or part not in NAMES:
        raise Unsupported(f"unknown tensor {name}")
    return f"blk.{index}.{NAMES[part]}.{kind}"


def interleaved(array, heads: int):
    """Rows of each head in the order llama.cpp rotates them: pairs of neighbours, not of halves."""
    rows = array.shape[0] // heads
    return array.reshape(heads, 2, rows // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def metadata(writer, config: dict) -> None:
    head = head_dimension(config)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config.get("num_key_value_heads", config["num_attention_heads"]))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    rope = config.get("rope_parameters") or {}
    writer.add_rope_freq_base(config.get("rope_theta", rope.get("rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("no_vocab")


def write_bf16(model: Path, out: Path) -> None:
    """The checkpoint, not quantised."""
    numpy, gguf = need("numpy"), need("gguf")
    config = json.loads((model / "config.json").read_text())
    family = config.get("model_type")
    if family not in ("llama", "qwen2"):
        raise Unsupported(f"model_type {family}")
    heads = config["num_attention_heads"]
    rotated = {"attn_q": heads, "attn_k": config.get("num_key_value_heads", heads)}
    writer = gguf.GGUFWriter(str(out), family)
    metadata(writer, config)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    factors = rope_factors(config)
    if factors:
        writer.add_tensor("rope_freqs.weight", numpy.array(factors, numpy.float32))
    for name, dtype, array in tensors(model):
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        name = gguf_name(name)
        part = name.split(".")[2] if name.startswith("blk.") else ""
        if family == "llama" and part in rotated:
            array = interleaved(array, rotated[part])
        if array.ndim == 1:
            wide = array.astype(numpy.uint32) << 16 if dtype == "BF16" else array.astype(numpy.float32)
            writer.add_tensor(name, wide.view(numpy.float32))
        elif dtype == "BF16":
            raw = numpy.ascontiguousarray(array).view(numpy.uint8)
            writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            raise Unsupported(f"{name} is stored as {dtype}; only bf16 checkpoints are compared")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source: Path, out: Path, kind: str, threads: int) -> None:
    """llama.cpp's own quantiser."""
    llama = need("llama_cpp")
    log: list[str] = []
    callback = capture_log(llama, log)
    file_type, pure = QUANTISED[kind]
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{file_type}")
    parameters.nthread, parameters.pure = threads, pure
    code = llama.llama_model_quantize(str(source).encode(), str(out).encode(), parameters)
    del callback
    if code != 0:
        raise Unsupported(f"llama.cpp does not quantise {source.name} to {kind}:\n{''.join(log[-5:])}")


def fingerprint(model: Path) -> str:
    """Changes when the checkpoint or this file's layout does; reads no weights."""
    digest = hashlib.sha256(f"{LAYOUT}".encode())
    digest.update((model / "config.json").read_bytes())
    for path in sorted(model.glob("model*.safetensors")):
        stat = path.stat()
        digest.update(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:12]


def gguf_file(model: Path, kind: str, cache: Path, threads: int) -> Path:
    """The file of `kind`, made now or before."""
    out = cache / f"{model.name}-{fingerprint(model)}-{kind}.gguf"
    if out.exists():
        return out
    cache.mkdir(parents=True, exist_ok=True)
    part = out.with_suffix(f".{os.getpid()}.part")
    try:
        if kind == "bf16":
            write_bf16(model, part)
        else:
            quantise(gguf_file(model, "bf16", cache, threads), part, kind, threads)
        part.rename(out)
    finally:
        part.unlink(missing_ok=True)
    return out
