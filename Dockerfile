# Two images from one file.
#   review: the review application without torch.         docker build --target review --tag pixelsieve-review .
#   full:   the same plus training and ONNX export.       docker build --target full --tag pixelsieve .
#
# Build arguments of `full`:
#   COMPUTE=cpu (default) or cuda, which adds the CUDA libraries that ONNX Runtime needs on a machine with a GPU.
#   TORCH_INDEX_URL, empty by default: where else to look for torch. With an empty one pip takes torch from its usual
#   index, and on x86-64 Linux that build carries CUDA and runs on CPUs too (about 7 GB). The address of an index of CPU
#   builds makes the image several times smaller.
#
# Without accounts the app listens on loopback only. So run it in the host's network:
#   docker run --init --network host --volume pixelsieve:/workspace pixelsieve-review
# With accounts (the README says how) it may be published, for example behind a proxy that speaks https:
#   docker run --init --publish 127.0.0.1:7860:7860 --volume pixelsieve:/workspace pixelsieve-review \
#       pixelsieve review --workspace /workspace --host 0.0.0.0 --allowed-host review.example.org --https-proxy 172.17.0.1
# compose.yaml does that, and runs training beside it.

FROM python:3.11-slim AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    ORT_DISABLE_TELEMETRY=1 \
    OMP_WAIT_POLICY=PASSIVE
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin pixelsieve \
    && install --directory --owner=pixelsieve --group=pixelsieve /workspace
# Not /app: a folder of that name in the working directory's place would be our package `app`.
WORKDIR /srv/pixelsieve
# Dependencies first: they change seldom, and an editable install needs no source to be there yet.
COPY pyproject.toml README.md LICENSE ./
VOLUME ["/workspace"]

FROM base AS review
RUN pip install --editable '.[redis]'
COPY datasets ./datasets
COPY export ./export
COPY app ./app
# The number, so that an orchestrator can see that it is not root.
USER 10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["pixelsieve", "review", "--workspace", "/workspace", "--no-worker"]

FROM base AS full
ARG COMPUTE=cpu
ARG TORCH_INDEX_URL=
RUN case "$COMPUTE" in \
        cpu) extras=train,redis ;; \
        cuda) extras=train,redis,cuda ;; \
        *) echo "COMPUTE must be cpu or cuda, got '$COMPUTE'" >&2; exit 1 ;; \
    esac \
    && export PIP_EXTRA_INDEX_URL="$TORCH_INDEX_URL" \
    && pip install --editable ".[$extras]"
COPY reliability ./reliability
COPY datasets ./datasets
COPY training ./training
COPY export ./export
COPY app ./app
USER 10001
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["pixelsieve", "review", "--workspace", "/workspace"]
