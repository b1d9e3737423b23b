#!/usr/bin/env bash
# The whole check of the CUDA engine on one GPU; each stage has a time limit, nine minutes in all.
#
# What is needed there: this checkout, and a Python of 3.11 or later with torch, triton, numpy,
# safetensors, sentencepiece, sacrebleu, pyyaml, tqdm, pytest and hypothesis;
# pytest-xdist makes the first stage shorter. No network, no Ray, no FastAPI.
#
# CTranslate2 may be carried as a wheel for that machine's Python, in a folder named by WHEELS:
#     pip download --no-deps --only-binary=:all: --python-version 3.12 \
#         --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 -d wheels ctranslate2
# It is installed into a folder of its own, and needs no CUDA 12: see `offer_cublas_12`.
#
# A test set of `source<TAB>reference` lines, named by TEXT, adds BLEU in float32 and bfloat16.
#
#     OUT=/tmp/found WHEELS=wheels TEXT=test.tsv bash loadtests/gpu/run.sh
#     bash loadtests/gpu/run.sh steps        # one stage alone: agreement, steps, throughput, ...
#
# Stages print as they go, have a time of their own, and fail on their own: what one breaks, others
# do not notice. Last come a table and one line of JSON. All figures are in $OUT as well. The exit
# status is 0 when every stage has done what it should.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-$(mktemp -d)}
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
export TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$(mktemp -d)}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
"$python" --version
if [ -n "${WHEELS:-}" ]; then
    carried=$(mktemp -d)
    if "$python" -m pip install -q --no-index --no-deps --no-compile --target "$carried" \
        "$WHEELS"/*.whl; then
        export PYTHONPATH="$PYTHONPATH:$carried"
    else
        echo "the wheels of $WHEELS could not be installed: going on without them"
    fi
fi
exec timeout 538 "$python" -m loadtests.gpu "$@" --output "$out" ${TEXT:+--text "$TEXT"}
