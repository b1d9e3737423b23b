#!/usr/bin/env bash
# Trains by recipes on a machine with GPUs, in runs of limited length that go on where the last stopped.
#
# What is needed there: this checkout (`python -m loadtests.gpu.carry tree train` makes a small one),
# and a Python of 3.11 or later with torch, numpy, safetensors, sentencepiece, sacrebleu, pyyaml and
# tqdm; what is missing may be carried as wheels in a folder named by WHEELS (see run.sh). No network,
# no Ray, no FastAPI. DATA names the folder with the recipes' text; TOKENIZER, if it is given, a
# vocabulary that need not be learned any more.
#
#     OUT=/tmp/found DATA=text/en-de TOKENIZER=tokenizer.model bash loadtests/gpu/train.sh en-de-gpu
#
# One recipe after the other, on all GPUs there are. What is not finished after SECONDS_AT_MOST (540) is
# kept under RUNS, and the exit status is 75: call again on the same machine and it goes on. All the
# time $OUT has, for each recipe, its metrics and the best weights so far (in the end: the model) as a
# model directory in parts of less than 16 MiB, at most a minute old, however the call ends:
#
#     cat NAME.tar.?? | tar -x
#
# What does not fit into MIB_AT_MOST (64) and FILES_AT_MOST (8) of $OUT is said, and stays under RUNS:
# as a rule, one recipe a call.
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
    echo "usage: DATA=FOLDER [OUT=FOLDER] [RUNS=FOLDER] [TOKENIZER=FILE] $0 RECIPE..." >&2
    exit 2
fi
if [ -n "${WHEELS:-}" ]; then
    carried=$(mktemp -d)
    timeout -k 2 60 "$python" -m pip install -q --no-index --no-deps --no-compile \
        --target "$carried" "$WHEELS"/*.whl || exit
    export PYTHONPATH="$PYTHONPATH:$carried"
fi
gpus=$(timeout -k 2 60 "$python" -c 'import torch; print(torch.cuda.device_count())') || exit
launcher=(-m)
if [ "$gpus" -gt 1 ]; then
    launcher=(-m torch.distributed.run --standalone --nproc-per-node "$gpus" -m)
fi

# Into $OUT: the metrics, and the model directory $2 of recipe $1 if it is there and has changed.
bring() {
    cp "$runs/$1/metrics.jsonl" "$out/$1.jsonl" 2>/dev/null
    [ -e "$runs/$1/$2/config.json" ] || return 0
    [ "$runs/$1/$2/config.json" -nt "$runs/$1/brought" ] || return 0
    touch -r "$runs/$1/$2/config.json" "$runs/$1/brought.new"
    # Under the name of its recipe, whole while the next one is written.
    rm -rf "$runs/$1/copy" && mkdir "$runs/$1/copy" && cp -r "$runs/$1/$2" "$runs/$1/copy/$1" \
        && timeout -k 2 60 "$python" -m loadtests.gpu.carry --most-mib "${MIB_AT_MOST:-64}" \
            --most-files "${FILES_AT_MOST:-8}" pack "$runs/$1/copy/$1" --to "$out" >/dev/null \
        && mv "$runs/$1/brought.new" "$runs/$1/brought"
    rm -rf "$runs/$1/copy"
}

# For a call that is ended from outside: the run saves its state, and is brought below.
child=
trap '[ -n "$child" ] && kill -TERM "$child" 2>/dev/null' TERM INT

mkdir -p "$out"
for recipe in "$@"; do
    file=$recipe
    [ -e "$file" ] || file=model/training/recipes/$recipe.yaml
    name=$(basename "$file" .yaml)
    mkdir -p "$runs/$name"
    if [ -n "${TOKENIZER:-}" ] && [ ! -e "$runs/$name/tokenizer.model" ]; then
        cp "$TOKENIZER" "$runs/$name/tokenizer.model" || exit
    fi
    rm -f "$runs/$name/brought" # this $OUT may be another one
    left=$((until - SECONDS))
    if [ "$left" -lt 30 ]; then
        echo "$recipe: no time left in this call"
        exit 75
    fi
    "$python" "${launcher[@]}" model.training "$file" --run-dir "$runs/$name" \
        --data-root "$DATA" --stop-after "$((left - 15))" --usable-every 45 &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        sleep 5 &
        wait $! 2>/dev/null
        bring "$name" usable
    done
    wait "$child"
    status=$?
    child=
    if [ ! -e "$runs/$name/model/config.json" ] || [ $status -ne 0 ]; then
        bring "$name" usable
        echo "$recipe: not finished, status $status"
        exit $((status ? status : 75)) # torchrun says 0 of a run that was interrupted
    fi
    rm -f "$runs/$name/brought"
    bring "$name" model
done
