#!/bin/sh
# `sh docker/docker.sh build`: the image of this host's stack. `… bench`: `make bench` in a container of it.
# STACK=cpu|cuda  SUITE=configs/….yaml  ARGS="…"  BASE=image  IMAGE=name  DOCKER=docker|podman|buildah
# BUILD_ARGS="…", RUN_ARGS="…": more options for the engine's `build` and `run`  GPUS=all  SHM_SIZE=8g
# CACHE=folder: what buildah, which has no named volumes, mounts as /cache
set -eu
cd "$(dirname "$0")/.."

driver() { nvidia-smi -L 2>/dev/null | grep -q '^GPU 0'; }

fail() {
    echo "docker: $1
  fix: $2" >&2
    exit 2
}

if [ -z "${STACK:-}" ]; then
    STACK=cpu
    if driver; then STACK=cuda; fi
fi
case $STACK in
cpu | cuda) ;;
*) fail "STACK: no stack '$STACK'" "STACK=cpu or STACK=cuda, or leave it unset" ;;
esac
image=${IMAGE:-training-backend-bench}:$STACK

engine=${DOCKER:-}
for found in docker podman buildah; do
    if [ -z "$engine" ] && command -v "$found" >/dev/null; then engine=$found; fi
done
if [ -z "$engine" ]; then
    fail "no container engine: docker, podman and buildah are not on PATH" \
        "install one of them, or name one by DOCKER=…; without a container, use make bench"
fi
command -v "$engine" >/dev/null || fail "DOCKER: there is no program '$engine'" "DOCKER=docker, podman or buildah"
kind=${engine##*/}

build() {
    set -- build --file docker/Dockerfile --build-arg "STACK=$STACK" --tag "$image"
    if [ -n "${BASE:-}" ]; then set -- "$@" --build-arg "BASE=$BASE"; fi
    # shellcheck disable=SC2086 # several options, split on purpose
    DOCKER_BUILDKIT=1 exec "$engine" "$@" ${BUILD_ARGS:-} .
}

bench() {
    mkdir -p results
    gpus=no
    if [ "$STACK" = cuda ] && driver; then gpus=yes; fi
    # A run is resumed on the host it began on only: containers would have another host name each time.
    set -- run --hostname "$(uname -n)" --volume "$PWD/results:/app/results"
    # By name, so that no value is seen in the list of processes; those not set here stay unset there.
    for name in HF_TOKEN HF_ENDPOINT HF_HUB_OFFLINE CUDA_VISIBLE_DEVICES http_proxy https_proxy no_proxy; do
        if [ "$kind" != buildah ] || eval "[ -n \"\${$name+set}\" ]"; then set -- "$@" --env "$name"; fi
    done
    if [ -t 0 ] && [ -t 1 ]; then set -- "$@" -t; fi
    if [ "$kind" = buildah ]; then
        bench_with_buildah "$@"
        return
    fi
    # Files are written as the owner of results/; group 0 may write what belongs to the image's user.
    set -- "$@" --rm --init --stop-timeout 60 --shm-size "${SHM_SIZE:-8g}" \
        --user "$(stat -c %u:%g results)" --group-add 0 --volume training-backend-bench-cache:/cache
    if [ -t 0 ] && [ -t 1 ]; then set -- "$@" --interactive; fi
    # Without root, podman's container has other user ids than the host unless it is told to keep them.
    if [ "$kind" = podman ] && [ "$(id -u)" != 0 ]; then set -- "$@" --userns keep-id; fi
    case $kind$gpus in
    podmanyes) set -- "$@" --device "nvidia.com/gpu=${GPUS:-all}" ;;
    *yes) set -- "$@" --gpus "${GPUS:-all}" ;;
    esac
    # shellcheck disable=SC2086
    exec "$engine" "$@" ${RUN_ARGS:-} "$image" make bench "SUITE=${SUITE:-}" "ARGS=${ARGS:-}"
}

# buildah has no `run` of an image, no named volumes, and runs no ENTRYPOINT.
bench_with_buildah() {
    [ "$gpus" = no ] || fail "buildah gives a container no GPU" "use docker or podman, or STACK=cpu for the CPU alone"
    owner=$(stat -c %u results)
    cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/training-backend-bench-container}
    if [ ! -d "$cache" ]; then
        mkdir -p "$cache"
        chmod 2775 "$cache"
        if [ "$(id -u)" = 0 ]; then chown "$owner:0" "$cache"; fi
    fi
    container=$("$engine" from --shm-size "${SHM_SIZE:-8g}" "$image")
    trap '"$engine" rm "$container" >/dev/null' EXIT
    # shellcheck disable=SC2086
    "$engine" "$@" --user "$owner:0" --volume "$cache:/cache" ${RUN_ARGS:-} "$container" -- \
        /bin/sh /app/docker/entrypoint.sh make bench "SUITE=${SUITE:-}" "ARGS=${ARGS:-}"
}

case ${1:-} in
build) build ;;
bench) bench ;;
*)
    echo "usage: sh docker/docker.sh build|bench" >&2
    exit 2
    ;;
esac
