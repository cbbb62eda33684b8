# SPDX-License-Identifier: Apache-2.0
"""Reads a Whisper model in CTranslate2's format into one of transformers.

The format: version, name and revision of the kind of model, then named arrays: length and text of
the name, rank, sizes, element type, number of bytes, data.
"""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values[0] if len(values) == 1 else values

    def text(self):
        size = self.take("H")
        raw = self.data[self.at:self.at + size]
        self.at += size
        return raw.rstrip(b"\0").decode()


def read_arrays(path):
    """Name to array of everything in the file."""
    reader = _Reader(Path(path).read_bytes())
    version, kind = reader.take("I"), reader.text()
    if version < 6 or kind != "WhisperSpec":
        raise ValueError(f"{path}: version {version} of {kind}; WhisperSpec from 6 on is known")
    reader.take("I")
    arrays = {}
    for _ in range(reader.take("I")):
        name, rank = reader.text(), reader.take("B")
        shape = [reader.take("I") for _ in range(rank)]
        kind, size = TYPES[reader.take("B")], reader.take("I")
        arrays[name] = np.frombuffer(reader.data, kind, size // np.dtype(kind).itemsize,
                                     reader.at).reshape(shape)
        reader.at += size
    return arrays


def _layer_weights(arrays, ours, theirs, decoder):
    """The weights of one layer under transformers' names."""
    def pair(name, source):
        return {f"{theirs}.{name}.weight": arrays[f"{ours}/{source}/weight"],
                f"{theirs}.{name}.bias": arrays[f"{ours}/{source}/bias"]}

    def norm(name, source):
        return {f"{theirs}.{name}.weight": arrays[f"{ours}/{source}/layer_norm/gamma"],
                f"{theirs}.{name}.bias": arrays[f"{ours}/{source}/layer_norm/beta"]}

    def split(name, source, parts):
        """One matrix for several projections; that of keys has no bias."""
        weight = np.split(arrays[f"{ours}/{source}/weight"], len(parts))
        bias = np.split(arrays[f"{ours}/{source}/bias"], len(parts))
        out = {}
        for part, w, b in zip(parts, weight, bias):
            out[f"{theirs}.{name}.{part}_proj.weight"] = w
            if part != "k":
                out[f"{theirs}.{name}.{part}_proj.bias"] = b
        return out

    weights = {
        **norm("self_attn_layer_norm", "self_attention"), **norm("final_layer_norm", "ffn"),
        **split("self_attn", "self_attention/linear_0", "qkv"),
        **pair("self_attn.out_proj", "self_attention/linear_1"),
        **pair("fc1", "ffn/linear_0"), **pair("fc2", "ffn/linear_1"),
    }
    if decoder:
        weights |= {**norm("encoder_attn_layer_norm", "attention"),
                    **pair("encoder_attn.q_proj", "attention/linear_0"),
                    **split("encoder_attn", "attention/linear_1", "kv"),
                    **pair("encoder_attn.out_proj", "attention/linear_2")}
    return weights


def load_whisper(folder):
    """The model in float32. The folder holds model.bin, config.json and tokenizer.json."""
    arrays = read_arrays(Path(folder) / "model.bin")
    width = arrays["encoder/conv1/bias"].shape[0]
    layers = [sum(f"{part}/layer_{i}/ffn/linear_0/bias" in arrays for i in range(64))
              for part in ("encoder", "decoder")]
    words = arrays["decoder/embeddings/weight"].shape[0]
    heads = int(arrays["encoder/num_heads"]) if "encoder/num_heads" in arrays else width // 64
    config = WhisperConfig(
        vocab_size=words, d_model=width, encoder_layers=layers[0], decoder_layers=layers[1],
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width, num_mel_bins=arrays["encoder/conv1/weight"].shape[1],
        pad_token_id=50256, bos_token_id=50256, eos_token_id=50256, decoder_start_token_id=50257)
    weights = {"proj_out.weight": arrays["decoder/embeddings/weight"],
               "model.decoder.embed_tokens.weight": arrays["decoder/embeddings/weight"]}
    for part, count in zip(("encoder", "decoder"), layers):
        top = f"model.{part}"
        weights[f"{top}.embed_positions.weight"] = arrays[f"{part}/position_encodings/encodings"]
        weights[f"{top}.layer_norm.weight"] = arrays[f"{part}/layer_norm/gamma"]
        weights[f"{top}.layer_norm.bias"] = arrays[f"{part}/layer_norm/beta"]
        for i in range(count):
            weights |= _layer_weights(arrays, f"{part}/layer_{i}", f"{top}.layers.{i}",
                                      part == "decoder")
    for name in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            weights[f"model.encoder.{name}.{kind}"] = arrays[f"encoder/{name}/{kind}"]
    model = WhisperForConditionalGeneration(config)
    model.load_state_dict({name: torch.from_numpy(x.astype(np.float32))
                           for name, x in weights.items()})
    suppress = json.loads((Path(folder) / "config.json").read_text())
    settings = model.generation_config
    settings.is_multilingual, settings.no_timestamps_token_id = False, 50362
    settings.suppress_tokens = suppress["suppress_ids"]
    settings.begin_suppress_tokens = suppress["suppress_ids_begin"]
    settings.max_length = 448
    return model.eval()
