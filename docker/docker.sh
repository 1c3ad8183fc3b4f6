#!/bin/sh
# `sh docker/docker.sh build`: the image of this host's stack. `… bench`: `make bench` in a container of it.
# STACK=cpu|cuda  SUITE=configs/….yaml  ARGS="…"  BASE=image  IMAGE=name  DOCKER=docker|podman
# BUILD_ARGS="…", RUN_ARGS="…": more options for `docker build` and `docker run`  GPUS=all  SHM_SIZE=8g
set -eu
cd "$(dirname "$0")/.."
docker=${DOCKER:-docker}

driver() { nvidia-smi -L 2>/dev/null | grep -q '^GPU 0'; }

if [ -z "${STACK:-}" ]; then
    STACK=cpu
    if driver; then STACK=cuda; fi
fi
case $STACK in
cpu | cuda) ;;
*)
    echo "docker: STACK: no stack '$STACK'
  fix: STACK=cpu or STACK=cuda, or leave it unset" >&2
    exit 2
    ;;
esac
image=${IMAGE:-training-backend-bench}:$STACK

case ${1:-} in
build)
    set -- build --file docker/Dockerfile --build-arg "STACK=$STACK" --tag "$image"
    if [ -n "${BASE:-}" ]; then set -- "$@" --build-arg "BASE=$BASE"; fi
    # shellcheck disable=SC2086 # several options, split on purpose
    DOCKER_BUILDKIT=1 exec "$docker" "$@" ${BUILD_ARGS:-} .
    ;;
bench)
    mkdir -p results
    # Files are written as the owner of results/; group 0 may write what belongs to the image's user. A run is resumed
    # on the host it began on only: containers would have another host name each time.
    set -- run --rm --init --stop-timeout 60 --hostname "$(uname -n)" --shm-size "${SHM_SIZE:-8g}" \
        --user "$(stat -c %u:%g results)" --group-add 0 \
        --volume "$PWD/results:/app/results" --volume training-backend-bench-cache:/cache
    # By name, so that no value is seen in the list of processes; those not set here stay unset there.
    for name in HF_TOKEN HF_ENDPOINT HF_HUB_OFFLINE CUDA_VISIBLE_DEVICES http_proxy https_proxy no_proxy; do
        set -- "$@" --env "$name"
    done
    if [ -t 0 ] && [ -t 1 ]; then set -- "$@" --interactive --tty; fi
    if [ "$STACK" = cuda ] && driver; then set -- "$@" --gpus "${GPUS:-all}"; fi
    # shellcheck disable=SC2086
    exec "$docker" "$@" ${RUN_ARGS:-} "$image" make bench "SUITE=${SUITE:-}" "ARGS=${ARGS:-}"
    ;;
*)
    echo "usage: sh docker/docker.sh build|bench" >&2
    exit 2
    ;;
esac
