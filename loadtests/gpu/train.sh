#!/usr/bin/env bash
# Trains by recipes on a machine with GPUs, in runs of limited length that go on where the last stopped.
#
# What is needed there: this checkout, and a Python of 3.11 or later with torch, numpy, safetensors,
# sentencepiece, sacrebleu, pyyaml and tqdm; what is missing may be carried as wheels in a folder named
# by WHEELS (see run.sh). No network, no Ray, no FastAPI. DATA names the folder with the recipes' text.
#
#     OUT=/tmp/found DATA=text/en-de bash loadtests/gpu/train.sh en-de-gpu de-en-gpu
#
# One recipe after the other, on all GPUs there are. What is not finished after SECONDS_AT_MOST (540) is
# kept under RUNS, and the exit status is 75: call again on the same machine and it goes on. $OUT gets
# the metrics of each run and, of a finished one, the model in parts of less than 16 MiB:
#
#     cat model.tar.?? | tar -x
set -uo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
out=${OUT:-$(mktemp -d)}
runs=${RUNS:-/tmp/polyhead-runs}
until=$((SECONDS + ${SECONDS_AT_MOST:-540}))
export PYTHONUNBUFFERED=1 PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
# What torch.compile made is found again by the next call.
export TORCHINDUCTOR_CACHE_DIR=$runs/compiled TRITON_CACHE_DIR=$runs/compiled

if [ $# -eq 0 ] || [ -z "${DATA:-}" ]; then
    echo "usage: DATA=FOLDER [OUT=FOLDER] [RUNS=FOLDER] $0 RECIPE..." >&2
    exit 2
fi
if [ -n "${WHEELS:-}" ]; then
    carried=$(mktemp -d)
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$carried" "$WHEELS"/*.whl \
        || exit
    export PYTHONPATH="$PYTHONPATH:$carried"
fi
gpus=$("$python" -c 'import torch; print(torch.cuda.device_count())') || exit
launcher=(-m)
if [ "$gpus" -gt 1 ]; then
    launcher=(-m torch.distributed.run --standalone --nproc-per-node "$gpus" -m)
fi

for recipe in "$@"; do
    file=$recipe
    [ -e "$file" ] || file=model/training/recipes/$recipe.yaml
    run=$runs/$(basename "$file" .yaml)
    found=$out/$(basename "$file" .yaml)
    mkdir -p "$found"
    left=$((until - SECONDS))
    if [ "$left" -lt 30 ]; then
        echo "$recipe: no time left in this call"
        exit 75
    fi
    "$python" "${launcher[@]}" model.training "$file" \
        --run-dir "$run" --data-root "$DATA" --stop-after "$left"
    status=$?
    cp "$run/metrics.jsonl" "$found/" 2>/dev/null
    if [ ! -e "$run/model/config.json" ] || [ $status -ne 0 ]; then
        echo "$recipe: not finished, status $status"
        exit $((status ? status : 75))  # torchrun says 0 of a run that was interrupted
    fi
    tar -C "$run" -c model | split -b 15M - "$found/model.tar."
done
