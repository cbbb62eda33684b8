# SPDX-License-Identifier: Apache-2.0
"""MonarchAttention as an attention implementation of Hugging Face transformers (5.0 or newer).

Importing this module registers it:

    import libmonarch.transformers
    model = AutoModel.from_pretrained(path, attn_implementation="monarch")

replaces every self-attention layer that is not causal, with the default settings. `convert` chooses
layers and settings:

    libmonarch.transformers.convert(model, layers=[1, 2, 3], block_size=32, steps=2)

Layers that MonarchAttention cannot stand in for keep exact attention (PyTorch's): causal ones,
cross-attention, those with a position bias or a mask of more than padding. `convert` refuses to be
asked for them; the one-line form warns once.
"""

import dataclasses
import re
import warnings

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import (AttentionMaskInterface, bidirectional_mask_function,
                                        sdpa_mask)

from .op import monarch_attention

NAME = "monarch"
_ATTENTION = re.compile(r"Attention$")
_warned = set()


@dataclasses.dataclass(frozen=True)
class Settings:
    """How one layer computes its attention.

    grid: None, or (rows, columns) of the tokens: then each block is one column of the grid
    (block_size is not used). device, variant: as of monarch_attention.
    """

    block_size: int = 0
    steps: int = 2
    pad: str = "end"
    grid: tuple[int, int] | None = None
    device: str = ""
    variant: str = ""


EXACT = None  # in place of Settings: this layer keeps exact attention


class _Layers:
    """The settings of the layers that one module stands for: one, or, where the layers share their
    weights, as many as it is called times in a forward of the model."""

    def __init__(self, settings):
        self.settings, self.call = settings, 0

    def next(self):
        if len(self.settings) == 1:
            return self.settings[0]
        self.call += 1
        return self.settings[(self.call - 1) % len(self.settings)]


def attention_modules(model):
    """The self-attention modules of a model in the order of its layers, with their names."""
    found = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        if not _ATTENTION.search(kind) or "Cross" in kind:
            continue
        if any(_ATTENTION.search(type(m).__name__) for m in module.modules() if m is not module):
            continue  # a wrapper around the one that attends
        if getattr(module, "is_decoder", False) or getattr(module, "is_causal", False):
            continue
        if (getattr(module, "sliding_window", None) or 0) > 0:
            continue  # it looks at its neighbours only
        found.append((name, module))
    return found


def layer_count(model):
    """How many attention layers `convert` can replace."""
    modules = attention_modules(model)
    return len(modules) * _calls(model, modules)


def _calls(model, modules):
    """How often a forward of the model calls each of them: layers may share their weights."""
    layers = getattr(model.config, "num_hidden_layers", None)
    return layers if len(modules) == 1 and layers else 1


def convert(model, layers=None, block_size=0, steps=2, pad="end", grid=None, device="",
            variant=""):
    """Replaces the self-attention of `model` in place and returns the model.

    layers: None = all, or the numbers of those to replace (0 is the first), or a dict from number
    to Settings; the others keep exact attention. For the rest see Settings. Calling it again
    replaces the choice. Layers are numbered as attention_modules lists them; where they share one
    module (ALBERT), by the order of its calls.
    """
    modules = attention_modules(model)
    count = layer_count(model)
    if not count:
        raise ValueError(f"{type(model).__name__} has no self-attention that is not causal")
    chosen = Settings(block_size, steps, pad, grid, device, variant)
    plan = layers if isinstance(layers, dict) else dict.fromkeys(
        range(count) if layers is None else layers, chosen)
    for number in plan:
        if not 0 <= number < count:
            raise ValueError(f"layer {number}: {type(model).__name__} has layers 0 to {count - 1}")
    settings = [plan.get(number, EXACT) for number in range(count)]
    calls = _calls(model, modules)
    for index, (_, module) in enumerate(modules):
        module._monarch = _Layers(settings[index * calls:(index + 1) * calls])
    model.set_attn_implementation(NAME)
    return model


def restore(model):
    """Gives a converted model PyTorch's exact attention back; returns the model."""
    for _, module in attention_modules(model):
        if hasattr(module, "_monarch"):
            del module._monarch
    model.set_attn_implementation("sdpa")
    return model


def _obstacle(module, query, key, mask, options):
    """Why this call cannot be MonarchAttention, or None."""
    if getattr(module, "is_causal", False) or options.get("is_causal"):
        return "it is causal"
    if getattr(module, "is_decoder", False):
        return "it belongs to a decoder"
    if query.shape[2] != key.shape[2]:
        return "queries and keys differ in number"
    if mask is not None and mask.dim() != 2:
        return "its mask is more than padding"
    for name in ("position_bias", "softcap", "sliding_window", "s_aux"):
        if options.get(name) is not None:
            return f"it uses {name}"
    return None


def _exact(module, query, key, value, mask, **options):
    if mask is not None and mask.dim() == 2:
        mask = mask[:, None, None, :].expand(-1, -1, query.shape[2], -1)
    return sdpa_attention_forward(module, query, key, value, mask, **options)


def _on_grid(query, key, value, mask, settings, scaling):
    """A block is a column: the grid's two axes change places by strides alone."""
    grid = settings.grid

    def columns(x, at):
        return x.unflatten(at, grid).transpose(at, at + 1)

    out = monarch_attention(columns(query, 2), columns(key, 2), columns(value, 2),
                            None if mask is None else columns(mask, 1), steps=settings.steps,
                            pad=settings.pad, scale=scaling, device=settings.device,
                            variant=settings.variant)
    return out.transpose(2, 3).flatten(2, 3)


def monarch_attention_forward(module, query, key, value, attention_mask, scaling=None, dropout=0.0,
                              **options):
    """The attention implementation "monarch"; transformers calls it for every layer."""
    layers = getattr(module, "_monarch", None)
    settings = layers.next() if layers is not None else Settings()
    obstacle = _obstacle(module, query, key, attention_mask, options)
    if obstacle is not None:
        if layers is not None and settings is not EXACT:
            raise ValueError(f"{type(module).__name__} cannot be converted: {obstacle}")
        _warn(module, obstacle)
    if settings is EXACT or obstacle is not None:
        return _exact(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout,
                      **options)
    if dropout:
        raise ValueError(f"dropout is {dropout}; MonarchAttention has none: call model.eval()")
    if settings.grid is not None:
        out = _on_grid(query, key, value, attention_mask, settings, scaling)
    else:
        out = monarch_attention(query, key, value, attention_mask, settings.block_size,
                                settings.steps, settings.pad, scaling, settings.device,
                                settings.variant)
    return out.transpose(1, 2), None


def _warn(module, obstacle):
    kind = type(module).__name__
    if not torch.compiler.is_compiling() and (kind, obstacle) not in _warned:
        _warned.add((kind, obstacle))
        warnings.warn(f"{kind} keeps exact attention: {obstacle}", stacklevel=3)


def monarch_mask(batch_size, q_length, kv_length, mask_function=bidirectional_mask_function,
                 attention_mask=None, **options):
    """Padding as [batch, tokens], what the library takes; any other mask as for exact attention."""
    if mask_function is not bidirectional_mask_function or q_length != kv_length:
        return sdpa_mask(batch_size=batch_size, q_length=q_length, kv_length=kv_length,
                         mask_function=mask_function, attention_mask=attention_mask, **options)
    if attention_mask is None or attention_mask.dim() != 2:
        return attention_mask
    # On the CPU it costs nothing to see that nothing is masked; elsewhere it would wait.
    if attention_mask.device.type == "cpu" and not torch.compiler.is_compiling():
        if bool(attention_mask.all()):
            return None
    return attention_mask.to(torch.bool)


AttentionInterface.register(NAME, monarch_attention_forward)
AttentionMaskInterface.register(NAME, monarch_mask)
