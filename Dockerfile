# syntax=docker/dockerfile:1
# docker build -t polyhead .                       on CPUs, in several processes, with Ray
# docker build -t polyhead:slim --target slim .    on CPUs, in one process, without Ray
# docker build -t polyhead:cuda --target cuda .    on GPUs, with PyTorch and its CUDA libraries
# docker run --rm --init -p 8000:8000 --shm-size 256m polyhead
# docker run --rm --init -p 8000:8000 polyhead:slim
# docker run --rm --init -p 8000:8000 --shm-size 256m --gpus all polyhead:cuda

# The same Python in both, at the same path. A digest pins them:
# --build-arg BASE=python:3.13-slim-bookworm@sha256:...
ARG BUILD_BASE=python:3.13-bookworm
ARG BASE=python:3.13-slim-bookworm

# ---- Stages that build. An image has of them what is copied below ----------------------------------

# With a C++ compiler. pip and what else builds is in /opt/build, what is to run in /opt/polyhead.
FROM ${BUILD_BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_CONSTRAINT=/source/requirements.lock
WORKDIR /source
COPY requirements.lock ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install setuptools cyclonedx-bom \
    && python3 -m venv --without-pip /opt/polyhead

# Each has what the one before it has, and more.
FROM build AS slim-dependencies
COPY deploy/trim.sh /opt/build/bin/
COPY requirements-slim.txt ./
RUN /opt/build/bin/pip --python /opt/polyhead/bin/python install -r requirements-slim.txt \
    && /opt/build/bin/trim.sh /opt/polyhead
FROM slim-dependencies AS cpu-dependencies
COPY requirements-cpu.txt ./
RUN /opt/build/bin/pip --python /opt/polyhead/bin/python install -r requirements-cpu.txt \
    && /opt/build/bin/trim.sh /opt/polyhead
FROM cpu-dependencies AS cuda-dependencies
RUN /opt/build/bin/pip --python /opt/polyhead/bin/python install torch sacrebleu

# The engine for every CPU of this architecture: an image runs on other machines than this one.
FROM build AS engine
COPY model/__init__.py model/errors.py model/
COPY model/engine/__init__.py model/engine/
COPY model/engine/native model/engine/native
RUN /opt/polyhead/bin/python -c '\
from pathlib import Path; \
from platform import machine; \
from sysconfig import get_path; \
from model.engine.native.build import build_portable; \
build_portable(machine(), Path("/engine" + get_path("purelib"), "model/engine/native/build"))'

# The models that come with the project: large, and rarely changed.
FROM build AS models
COPY model/pretrained pretrained
RUN site=$(/opt/polyhead/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && mkdir -p "/models$site/model" \
    && mv pretrained "/models$site/model/"

FROM build AS code
COPY pyproject.toml README.md LICENSE NOTICE polyhead.py ./
COPY model model
COPY service service
COPY loadtests loadtests
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir wheels . \
    && /opt/build/bin/pip --python /opt/polyhead/bin/python install --no-deps --root /code wheels/*.whl \
    && rm -r /code/opt/polyhead/lib/python*/site-packages/model/pretrained

# Lists of what is inside, with licences, in CycloneDX's form.
FROM slim-dependencies AS slim-sbom
COPY --from=code /code /
RUN /opt/build/bin/cyclonedx-py environment --gather-license-texts --output-reproducible \
    --output-file /sbom.cdx.json /opt/polyhead/bin/python
FROM cpu-dependencies AS cpu-sbom
COPY --from=code /code /
RUN /opt/build/bin/cyclonedx-py environment --gather-license-texts --output-reproducible \
    --output-file /sbom.cdx.json /opt/polyhead/bin/python
FROM cuda-dependencies AS cuda-sbom
COPY --from=code /code /
RUN /opt/build/bin/cyclonedx-py environment --gather-license-texts --output-reproducible \
    --output-file /sbom.cdx.json /opt/polyhead/bin/python

# ---- The images. What changes least comes first, so that a change of the code moves little ---------

FROM ${BASE} AS runtime
ARG BASE
# A login shell, which is what KubeRay starts Ray with, sets a PATH of its own.
RUN useradd --create-home --uid 10001 polyhead \
    && echo "PATH=/opt/polyhead/bin:\$PATH" > /etc/profile.d/polyhead.sh
ENV PATH=/opt/polyhead/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/polyhead
EXPOSE 8000
# Not urllib, which would ask the proxy that http_proxy names.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 CMD ["python", "-c", "\
import http.client, sys; \
service = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); \
service.request('GET', '/health'); \
sys.exit(service.getresponse().status != 200)"]
ENTRYPOINT ["polyhead"]
CMD ["serve", "--host", "0.0.0.0"]
# Who builds adds org.opencontainers.image.revision, .created and .source with --label.
LABEL org.opencontainers.image.title="Polyhead" \
      org.opencontainers.image.description="A translation service to run yourself" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"

FROM runtime AS slim
ENV POLYHEAD_SINGLE_PROCESS=true
COPY --from=slim-dependencies /opt/polyhead /opt/polyhead
COPY --from=models /models /
COPY --from=engine /engine /
COPY --from=code /code /
COPY --from=slim-sbom /sbom.cdx.json /opt/polyhead/

FROM runtime AS cuda
COPY --from=cuda-dependencies /opt/polyhead /opt/polyhead
COPY --from=models /models /
COPY --from=engine /engine /
COPY --from=code /code /
COPY --from=cuda-sbom /sbom.cdx.json /opt/polyhead/

# The last one is what is built without --target.
FROM runtime AS cpu
COPY --from=cpu-dependencies /opt/polyhead /opt/polyhead
COPY --from=models /models /
COPY --from=engine /engine /
COPY --from=code /code /
COPY --from=cpu-sbom /sbom.cdx.json /opt/polyhead/
