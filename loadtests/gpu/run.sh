#!/usr/bin/env bash
# The whole check of the CUDA engine on one GPU; each stage has a time limit, nine minutes in all.
#
# What is needed there: this checkout, and a Python of 3.11 or later with torch, triton, numpy,
# safetensors, sentencepiece, sacrebleu, pyyaml, tqdm, tabulate, pytest and hypothesis;
# pytest-xdist makes the first stage shorter. No network, no Ray, no FastAPI.
#
#     OUT=/tmp/found bash loadtests/gpu/run.sh
#     bash loadtests/gpu/run.sh steps        # some stages only: kernels, agreement, steps, ...
#
# What may be carried there, each named by a variable:
#     WHEELS    a folder with a wheel of CTranslate2 for that machine's Python. It is installed into
#               a folder of its own, and needs no CUDA 12 (see `offer_cublas_12`):
#                   pip download --no-deps --only-binary=:all: --python-version 3.12 \
#                       --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 \
#                       -d wheels ctranslate2
#     TEXT      a test set of `source<TAB>reference` lines: adds BLEU in float32 and bfloat16
#     KERNELS   kernels.tar.gz of an earlier call, or made without a GPU:
#                   TRITON_CACHE_DIR=/tmp/polyhead-kernels \
#                       python -m loadtests.gpu.kernel_cache kernels.tar.gz
#     MEASURED  result.json of an earlier call: stages get the time that their parts took there
#
# SECONDS_AT_MOST (538) bounds everything. $OUT gets three files: result.json, one line with all
# figures; table.txt, for people; kernels.tar.gz, what was compiled and was not carried. The first
# two are whole from the beginning, and are written anew while stages run: whatever breaks, hangs or
# is killed, what is known by then is there. The exit status is 0 when every stage has done what it
# should.
#
# REHEARSAL=1 does all of it without a GPU, small, and within half an hour: agreement and steps take
# some 90 s of one core, which may be busy. BREAK="steps=hang peers=kill" has stages fail (raise,
# exit, kill, hang), to see what becomes of the report.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:-$(mktemp -d)}
python=${PYTHON:-python3}
usual=${REHEARSAL:+1800}
most=${SECONDS_AT_MOST:-${usual:-538}}
export PYTHONUNBUFFERED=1 PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}
# The same wherever kernels are compiled: what is kept there has absolute paths.
export TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-/tmp/polyhead-kernels}

timeout -k 2 10 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader \
    || echo "nvidia-smi does not answer"
"$python" --version
if [ -n "${WHEELS:-}" ]; then
    carried=$(mktemp -d)
    if timeout -k 2 60 "$python" -m pip install -q --no-index --no-deps --no-compile \
        --target "$carried" "$WHEELS"/*.whl; then
        export PYTHONPATH="$PYTHONPATH:$carried"
    else
        echo "the wheels of $WHEELS could not be installed: going on without them"
    fi
fi
broken=()
for fault in ${BREAK:-}; do
    broken+=(--break "$fault")
done
exec timeout -k 5 $((most - SECONDS)) "$python" -m loadtests.gpu "$@" --output "$out" \
    --seconds $((most - SECONDS - 5)) "${broken[@]}" ${REHEARSAL:+--rehearsal} \
    ${TEXT:+--text "$TEXT"} ${KERNELS:+--kernels "$KERNELS"} ${MEASURED:+--measured "$MEASURED"}
