# syntax=docker/dockerfile:1
# docker build -t polyhead --build-arg CPU_WHEELS=INDEX .    for machines without a GPU
# docker build -t polyhead:cuda --build-arg DEVICE=cuda .
# docker run --rm --init -p 8000:8000 --shm-size 256m polyhead
# docker run --rm --init -p 8000:8000 --shm-size 256m --gpus all polyhead:cuda

ARG PYTHON_VERSION=3.13

# Not the slim one: it has the compiler for the engine, and nothing else of it stays.
FROM python:${PYTHON_VERSION}-bookworm AS build
# cpu or cuda: which build of torch is taken. The CUDA one brings its own CUDA libraries, so that
# both images stand on the same base. Without CPU_WHEELS, an index that has CPU builds of torch
# (PyTorch's installation page names one), pip takes the CUDA build here too: larger, but it works.
ARG DEVICE=cpu
ARG CPU_WHEELS=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_CONSTRAINT=/source/requirements.lock
WORKDIR /source
# The steps of `make serve`. Dependencies first: they change less often than the code.
COPY pyproject.toml requirements.lock README.md LICENSE NOTICE ./
RUN python -m venv /opt/polyhead \
    && case "$DEVICE" in \
         cpu) export PIP_EXTRA_INDEX_URL="$CPU_WHEELS" ;; \
         cuda) ;; \
         *) echo "DEVICE must be cpu or cuda, but is $DEVICE" >&2; exit 1 ;; \
       esac \
    && /opt/polyhead/bin/pip install setuptools \
    && /opt/polyhead/bin/pip install --no-build-isolation .
COPY polyhead.py ./
COPY model model
COPY service service
COPY loadtests loadtests
RUN /opt/polyhead/bin/pip install --no-build-isolation --no-deps --force-reinstall .
# The engine is compiled for every CPU of this architecture, for the image runs on others than this
# machine's. Not from /source, whose modules would be taken before the installed ones.
WORKDIR /
RUN /opt/polyhead/bin/python -m model.engine.native.build \
    && /opt/polyhead/bin/python -c 'import polyhead' \
    && /opt/polyhead/bin/polyhead --version

FROM python:${PYTHON_VERSION}-slim-bookworm
# A login shell, which is what KubeRay starts Ray with, sets a PATH of its own.
RUN useradd --create-home --uid 10001 polyhead \
    && echo "PATH=/opt/polyhead/bin:\$PATH" > /etc/profile.d/polyhead.sh
COPY --from=build /opt/polyhead /opt/polyhead
ENV PATH=/opt/polyhead/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/polyhead
EXPOSE 8000
# Not with urllib, which would ask a proxy of the environment for this address, too.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["polyhead"]
CMD ["serve", "--host", "0.0.0.0"]
