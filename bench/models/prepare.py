#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the models and data of the evaluation to one folder: prepare.py FOLDER [TASK...]

Needs the packages that install.sh brings; what it writes needs only PyTorch and transformers.
Weights are stored in f16 (two of the three models have more digits; all tasks use the stored ones).
"""

import sys
from pathlib import Path

from reactions import Reactions
from speech import Speech
from text import Text

TASKS = {task.name: task for task in (Text, Reactions, Speech)}


def main():
    if len(sys.argv) < 2 or set(sys.argv[2:]) - set(TASKS):
        sys.exit(__doc__.splitlines()[0] + f"; tasks: {', '.join(TASKS)}")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or TASKS:
        TASKS[name].prepare(folder)
        print(f"{folder / name}.pt: {(folder / f'{name}.pt').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
