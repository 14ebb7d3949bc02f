# Which PyTorch is compared with. Sourced.
# shellcheck shell=bash

# The virtual environment that `./install.sh bench` makes, some 5 GB.
pytorch_home() {
    echo "${NBSGD_PYTORCH:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nbsgd/pytorch}"
}

# Sets `python`, and `torch` to its version (none: PyTorch is not there): $PYTHON if that is set,
# else the environment of install.sh, else Debian's.
# shellcheck disable=SC2034 # for who sources this
pytorch_find() {
    local tried=("$(pytorch_home)/bin/python" /usr/bin/python3)
    if [ -n "${PYTHON:-}" ]; then tried=("$PYTHON"); fi
    for python in "${tried[@]}"; do
        torch=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null) && return
    done
    torch=none
}
