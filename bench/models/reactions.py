# SPDX-License-Identifier: Apache-2.0
"""rxnmapper's ALBERT, a chemistry model whose attention is the product.

Trained to fill in masked tokens of reactions, it turned out to follow atoms from the reactants to
the product: head 5 of layer 10 is what rxnmapper reads atom mappings from. Two scores: how many
product atoms that head maps to the right reactant atom, and how many masked tokens are filled in
rightly. The mapping is read from the attention matrix itself, also when it is a Monarch matrix: by
attending with a V of unit vectors.
"""

import importlib.util
import re
from pathlib import Path

import torch
from transformers import AlbertConfig, AlbertForMaskedLM, AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from task import Task, load_weights, plain, monarch

LAYER, HEAD = 10, 5
TOKEN = re.compile(r"\[[^\]]+\]|Br|Cl|>>|%\d\d|.")
ATOM = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFIbcnops]$")
MODEL = "models/transformers/albert_heads_8_uspto_all_1310k"


def tokenize(items, words):
    """(tokens of each, ids, mask) of some reactions."""
    rows = [["[CLS]", *TOKEN.findall(item["text"]), "[SEP]"] for item in items]
    for row in rows:
        unknown = [t for t in row if t not in words]
        if unknown:
            raise ValueError(f"the model knows no {unknown} in {''.join(row)}")
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor([words[t] for t in row])
        mask[i, :len(row)] = 1
    return rows, ids, mask


def element(token):
    """The symbol of an atom's token, in lower case: [nH] and n are both nitrogen."""
    inner = re.match(r"\[?\d*(Br|Cl|Na|Cs|[A-Za-z])", token).group(1)
    return inner.lower()


class Reactions(Task):
    name = "reactions"
    title = "rxnmapper's ALBERT (12 layers of shared weights, 8 heads of 32), reactions in SMILES"
    blocks = (0, 8, 16)
    metrics = ("mapping_accuracy", "masked_accuracy")

    def __init__(self, folder):
        data = torch.load(Path(folder) / "reactions.pt", weights_only=True)
        self.model = AlbertForMaskedLM(AlbertConfig(**data["config"])).eval()
        load_weights(self.model, data["weights"])
        self.words, self.batches, self.tokens = data["words"], data["batches"], data["tokens"]

    @classmethod
    def prepare(cls, folder, count=300, batch=25, seed=0):
        """Writes reactions.pt: weights in f16, reactions with their mapping, batches of ids."""
        from reactions_data import reactions  # needs RDKit
        source = Path(importlib.util.find_spec("rxnmapper").origin).parent / MODEL
        config = AlbertConfig.from_pretrained(source)
        weights = torch.load(source / "pytorch_model.bin", weights_only=True, map_location="cpu")
        names = AlbertForMaskedLM(config).state_dict()
        words = {w: i for i, w in enumerate((source / "vocab.txt").read_text().split("\n"))}
        items = sorted(reactions(count, seed), key=lambda item: len(item["text"]))
        parts = [items[i:i + batch] for i in range(0, len(items), batch)]
        torch.save({"config": plain(config.to_diff_dict()), "words": words, "batches": parts,
                    "weights": {name: x.half() for name, x in weights.items() if name in names},
                    "tokens": [tokenize(part, words) for part in parts]},
                   Path(folder) / "reactions.pt")

    def encoder(self):
        return self.model.albert

    @torch.no_grad()
    def _attention(self, ids, mask):
        """Weights of that layer and head, [batch, tokens, tokens], whatever computes them."""
        taken = []

        def take(module, query, key, value, attention_mask, scaling=None, **options):
            layers = module._monarch
            number = layers.call  # before this call
            settings = layers.settings[number % len(layers.settings)]
            if number % len(layers.settings) == LAYER:
                q, k = (x[:, HEAD:HEAD + 1] for x in (query, key))
                unit = torch.eye(q.shape[2], device=q.device, dtype=q.dtype)
                unit = unit.expand(q.shape[0], 1, -1, -1)
                if settings is monarch.EXACT:
                    out = monarch._exact(module, q, k, unit, attention_mask, scaling=scaling)[0]
                    taken.append(out.transpose(1, 2)[:, 0])
                else:
                    taken.append(monarch.monarch_attention(
                        q, k, unit, attention_mask, settings.block_size, settings.steps,
                        settings.pad, scaling, settings.device, settings.variant)[:, 0])
            return monarch.monarch_attention_forward(module, query, key, value, attention_mask,
                                                     scaling=scaling, **options)

        AttentionInterface.register("monarch_take", take)
        AttentionMaskInterface.register("monarch_take", monarch.monarch_mask)
        encoder = self.encoder()
        before = encoder.config._attn_implementation
        if before != monarch.NAME:
            monarch.convert(encoder, layers=[])
        encoder.set_attn_implementation("monarch_take")
        for _, module in monarch.attention_modules(encoder):
            module._monarch.call = 0
        encoder(input_ids=ids, attention_mask=mask)
        encoder.set_attn_implementation(before)
        if before != monarch.NAME:
            monarch.restore(encoder)
        return taken[0].float().cpu()

    def _mapped(self, weights, row, item):
        """How many product atoms the weights map rightly, and how many there are."""
        split = row.index(">>")
        atoms = [i for i, token in enumerate(row) if ATOM.fullmatch(token) and
                 token not in ("[CLS]", "[SEP]")]
        before = [i for i in atoms if i < split]
        after = [i for i in atoms if i > split]
        if len(after) != len(item["product_allowed"]):
            raise ValueError(f"atoms and tokens differ in number: {item['text']}")
        both = weights[after][:, before] + weights[before][:, after].T
        kinds = [[element(row[i]) for i in part] for part in (after, before)]
        right = 0
        for p, allowed in enumerate(item["product_allowed"]):
            same = torch.tensor([kind == kinds[0][p] for kind in kinds[1]])
            best = both[p].masked_fill(~same, -1).argmax().item()
            classes = item["reactant_classes"]
            right += best < len(classes) and classes[best] in allowed
        return right, len(after)

    @torch.no_grad()
    def _masked(self, ids, mask, generator):
        """Masked tokens filled in rightly, and how many were masked: 15 % of them."""
        chosen = (torch.rand(ids.shape, generator=generator) < 0.15) & (mask == 1)
        chosen[:, 0] = False
        asked = ids.masked_fill(chosen, self.words["[MASK]"])
        logits = self.model(input_ids=asked.to(self.device),
                            attention_mask=mask.to(self.device)).logits
        return (logits.argmax(-1).cpu() == ids)[chosen].sum().item(), chosen.sum().item()

    def score(self):
        generator = torch.Generator().manual_seed(0)
        mapped, filled = [0, 0], [0, 0]
        for items, (rows, ids, mask) in zip(self.batches, self.tokens):
            weights = self._attention(ids.to(self.device), mask.to(self.device))
            for row, item, matrix in zip(rows, items, weights):
                right, count = self._mapped(matrix, row, item)
                mapped[0] += right
                mapped[1] += count
            right, count = self._masked(ids, mask, generator)
            filled[0] += right
            filled[1] += count
        return {"mapping_accuracy": mapped[0] / mapped[1],
                "masked_accuracy": filled[0] / filled[1]}

    def probe(self):
        for _, ids, mask in self.tokens[-2:]:
            self.encoder()(input_ids=ids.to(self.device), attention_mask=mask.to(self.device))
