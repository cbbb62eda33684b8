# SPDX-License-Identifier: Apache-2.0
"""What every task of the evaluation shares: a pretrained model, data, a score, and the attention
of its layers laid open."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from transformers import AttentionInterface  # noqa: E402
from transformers.masking_utils import AttentionMaskInterface  # noqa: E402

import libmonarch.transformers as monarch  # noqa: E402


def plain(config):
    """What of a configuration can be stored and given to its class again."""
    kept = (int, float, str, bool)
    return {name: x for name, x in config.items()
            if isinstance(x, kept) and name not in ("model_type", "transformers_version", "dtype")}


def load_weights(model, weights):
    """Weights stored in f16 into a model in f32; tied ones may be missing, nothing else."""
    missing, unknown = model.load_state_dict({k: x.float() for k, x in weights.items()}, False)
    model.tie_weights()
    wrong = [name for name in missing if "position_ids" not in name and "token_type" not in name
             and "decoder" not in name] + unknown
    if wrong:
        raise ValueError(f"{type(model).__name__}: weights that do not fit: {wrong}")


class Task:
    """A model and what it is good for.

    name: of the task; title: model and data in words; model: of transformers, in eval mode;
    blocks: block sizes worth a try; pads: those worth a try.
    """

    name = title = ""
    blocks, pads = (0,), ("end",)
    model = None
    metrics = ()  # names in the order of importance; larger is better unless in `smaller_better`
    smaller_better = ()

    def score(self):
        """{metric: value} of the model as it is now, over all data."""
        raise NotImplementedError

    def probe(self):
        """Runs the model on enough data to judge its layers; no value."""
        raise NotImplementedError

    def encoder(self):
        """The part of the model whose layers are counted and replaced."""
        return self.model

    def layers(self):
        return monarch.layer_count(self.encoder())

    def convert(self, layers=None, **settings):
        monarch.convert(self.encoder(), layers=layers, **settings)

    def restore(self):
        monarch.restore(self.encoder())

    def to(self, device, dtype=torch.float32):
        self.model.to(device=device, dtype=dtype)
        return self

    @property
    def device(self):
        return next(self.model.parameters()).device


class Probe:
    """Calls `see(layer, query, key, value, mask, scaling, exact)` at every replaceable layer while
    the model runs with exact attention. Layers are numbered as libmonarch.transformers does."""

    def __init__(self, task, see):
        self.task, self.see = task, see
        names = monarch.attention_modules(task.encoder())
        self.index = {id(module): i for i, (_, module) in enumerate(names)}
        self.shared = task.layers() != len(names)
        self.calls = 0

    def __call__(self, module, query, key, value, mask, scaling=None, **options):
        out = monarch._exact(module, query, key, value, mask, scaling=scaling, **options)
        if id(module) in self.index:
            layer = self.calls % self.task.layers() if self.shared else self.index[id(module)]
            self.calls += 1
            self.see(layer, query, key, value, mask, scaling, out[0].transpose(1, 2))
        return out

    def run(self):
        AttentionInterface.register("monarch_probe", self)
        AttentionMaskInterface.register("monarch_probe", monarch.monarch_mask)
        self.task.restore()
        model = self.task.encoder()
        model.set_attn_implementation("monarch_probe")
        try:
            with torch.no_grad():
                self.task.probe()
        finally:
            self.task.restore()


def layer_errors(task, choices):
    """Relative Frobenius error of the attention output of each layer, over the kept tokens, for
    each of `choices` (dicts of block_size, steps, pad): every layer by itself, on the activations
    of the exact model. Returns {(layer, index of choice): error}."""
    sums = {}

    def see(layer, query, key, value, mask, scaling, exact):
        keep = 1.0 if mask is None else mask[:, None, :, None].to(exact.dtype)
        norm = ((exact * keep).double() ** 2).sum()
        for index, choice in enumerate(choices):
            ours = monarch.monarch_attention(query, key, value, mask, scale=scaling, **choice)
            entry = sums.setdefault((layer, index), [0.0, 0.0])
            entry[0] += (((ours - exact) * keep).double() ** 2).sum()
            entry[1] += norm

    Probe(task, see).run()
    return {key: (error / norm).sqrt().item() for key, (error, norm) in sums.items()}
