#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libmonarch.transformers on small random models of several families.

    test_module_transformers.py [--library FILE] [unittest's options]
"""

import os
import sys
import unittest
import warnings
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import torch  # noqa: E402
from transformers import (AlbertConfig, AlbertModel, BertConfig, BertModel,  # noqa: E402
                          GPT2Config, GPT2Model, ModernBertConfig, ModernBertModel, ViTConfig,
                          ViTModel, WhisperConfig, WhisperModel)

import libmonarch  # noqa: E402
import libmonarch.transformers as monarch  # noqa: E402
from libmonarch.transformers import Settings  # noqa: E402

SMALL = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64)
WORDS = dict(vocab_size=60, pad_token_id=0, bos_token_id=1, eos_token_id=2)


def text(mask=True):
    generator = torch.Generator().manual_seed(0)
    kept = torch.ones(2, 33, dtype=torch.long)
    if mask:
        kept[1, 20:] = 0
    return dict(input_ids=torch.randint(3, 50, (2, 33), generator=generator), attention_mask=kept)


def image():
    return dict(pixel_values=torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0)))


def model(kind, config):
    torch.manual_seed(0)
    result = kind(config).eval()
    for parameter in result.parameters():  # random weights are too small to show a difference
        if parameter.dim() > 1:
            parameter.data *= 4
    return result


def bert():
    return model(BertModel, BertConfig(**SMALL, vocab_size=60))


def albert():
    return model(AlbertModel, AlbertConfig(**SMALL, embedding_size=32, vocab_size=60))


def vit():
    return model(ViTModel, ViTConfig(**SMALL, image_size=56, patch_size=8))


@torch.no_grad()
def hidden(network, inputs):
    out = network(**inputs).last_hidden_state
    return out[inputs["attention_mask"].bool()] if "attention_mask" in inputs else out


def difference(a, b):
    return ((a - b).norm() / b.norm()).item()


class Transformers(unittest.TestCase):
    FAMILIES = [(bert, text), (albert, text), (vit, image)]

    def test_whole_block_is_exact(self):
        """A block of all tokens is exact attention, padding mask included."""
        for family, inputs in self.FAMILIES:
            with self.subTest(family=family.__name__):
                network = family()
                wanted = hidden(network, inputs())
                monarch.convert(network, block_size=1000)
                self.assertLess(difference(hidden(network, inputs()), wanted), 1e-5)

    def test_layers(self):
        """Each choice of layers gives another result, none the exact one, bit for bit."""
        for family, inputs in self.FAMILIES:
            with self.subTest(family=family.__name__):
                network = family()
                self.assertEqual(monarch.layer_count(network), 3)
                exact = hidden(network, inputs())
                seen = [exact]
                for layers in ([0], [1], [2], [0, 2], None):
                    monarch.convert(network, layers=layers, block_size=6)
                    out = hidden(network, inputs())
                    self.assertTrue(torch.equal(out, hidden(network, inputs())))
                    for other in seen:
                        self.assertGreater(difference(out, other), 1e-4)
                    seen.append(out)
                monarch.convert(network, layers=[])
                self.assertTrue(torch.equal(hidden(network, inputs()), exact))
                monarch.restore(network)
                self.assertTrue(torch.equal(hidden(network, inputs()), exact))

    def test_settings_by_layer(self):
        network = bert()
        exact = hidden(network, text())
        monarch.convert(network, layers={1: Settings(block_size=1), 2: Settings(block_size=100)})
        self.assertLess(difference(hidden(network, text()), exact), 1e-5)

    def test_one_line(self):
        """attn_implementation="monarch" alone is all layers with the default settings."""
        network = monarch.convert(bert(), steps=Settings().steps)
        other = BertModel._from_config(network.config, attn_implementation="monarch").eval()
        other.load_state_dict(network.state_dict())
        self.assertTrue(torch.equal(hidden(other, text()), hidden(network, text())))

    def test_grid(self):
        """Blocks by columns of a grid: as many columns as tokens is exact, rows are not columns."""
        network = model(ViTModel, ViTConfig(**SMALL, image_size=56, patch_size=8))
        exact = hidden(network, image())
        results = []
        for grid in ((1, 50), (50, 1), (5, 10), (10, 5)):
            monarch.convert(network, grid=grid)
            results.append(hidden(network, image()))
        self.assertLess(difference(results[0], exact), 1e-5)
        self.assertLess(difference(results[1], exact), 1e-5)
        self.assertGreater(difference(results[2], results[3]), 1e-4)

    def test_mask_is_used(self):
        network = monarch.convert(bert(), block_size=6)
        inputs = text()
        wanted = hidden(network, inputs)
        inputs["input_ids"][1, 20:] = 7
        self.assertTrue(torch.equal(hidden(network, inputs), wanted))

    def test_decoder_stays_exact(self):
        network = model(WhisperModel, WhisperConfig(
            d_model=64, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64,
            max_source_positions=100, decoder_start_token_id=1, **WORDS))
        names = [name for name, _ in monarch.attention_modules(network)]
        self.assertEqual(names, [f"encoder.layers.{i}.self_attn" for i in range(3)])
        inputs = dict(input_features=torch.randn(2, 80, 200), decoder_input_ids=torch.ones(
            2, 7, dtype=torch.long))
        exact = hidden(network, inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            monarch.convert(network, block_size=1000)
            self.assertLess(difference(hidden(network, inputs), exact), 1e-5)

    def test_local_layers_stay_exact(self):
        """ModernBERT: every third layer sees all tokens, the others a window."""
        network = model(ModernBertModel, ModernBertConfig(
            **{**SMALL, "num_hidden_layers": 4}, global_attn_every_n_layers=3, local_attention=8,
            cls_token_id=1, sep_token_id=2, **WORDS))
        names = [name for name, _ in monarch.attention_modules(network)]
        self.assertEqual(names, ["layers.0.attn", "layers.3.attn"])
        exact = hidden(network, text())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            monarch.convert(network, block_size=1000)
            self.assertLess(difference(hidden(network, text()), exact), 1e-5)

    def test_causal_is_refused(self):
        network = model(GPT2Model, GPT2Config(n_embd=64, n_layer=2, n_head=4, **WORDS))
        with self.assertRaisesRegex(ValueError, "no self-attention that is not causal"):
            monarch.convert(network)
        exact = hidden(network, text())
        network.set_attn_implementation("monarch")
        with self.assertWarnsRegex(UserWarning, "GPT2Attention keeps exact .*: it is causal"):
            again = hidden(network, text())
        self.assertLess(difference(again, exact), 1e-5)

    def test_wrong_layer(self):
        with self.assertRaisesRegex(ValueError, "layer 3: BertModel has layers 0 to 2"):
            monarch.convert(bert(), layers=[3])

    def test_training_is_refused(self):
        network = monarch.convert(bert())
        with self.assertRaisesRegex(ValueError, "dropout is 0.1"):
            network.train()(**text())
        with self.assertRaisesRegex(NotImplementedError, "no gradient"):
            network.eval()(**text()).last_hidden_state.sum().backward()

    def test_compile(self):
        for family, inputs in ((bert, lambda: text(mask=False)), (vit, image)):
            with self.subTest(family=family.__name__):
                network = monarch.convert(family(), block_size=6)
                wanted = hidden(network, inputs())
                compiled = torch.compile(network)
                self.assertLess(difference(hidden(compiled, inputs()), wanted), 1e-5)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--library"]:
        libmonarch.load(arguments[1])
        arguments = arguments[2:]
    unittest.main(argv=[sys.argv[0], *arguments])
