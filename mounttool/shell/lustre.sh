#!/bin/sh
# shellcheck disable=SC2154 # scratch and state are the prelude's
# What the fsx_lustre backend tests and does. Set: KEY and URL; KERNEL; or WHERE (mount point), FOLDER, STRIPES.

lustre_is_installed() { rpm -q lustre-client; }
lustre_from_extras() { run amazon-linux-extras install -y lustre; }

lustre_key_is_there() { grep -q 'BEGIN PGP PUBLIC KEY' "$KEY"; }
lustre_fetch_key() {
    fetch "$URL" "$scratch/key" || return 1
    if ! grep -q 'BEGIN PGP PUBLIC KEY' "$scratch/key"; then
        refuse "$URL is not a public key"
        return 1
    fi
    put "$KEY" "$(cat "$scratch/key")" root root 0644
}

lustre_modules_are_there() { dpkg-query -W -f '${Status}' "lustre-client-modules-$KERNEL" | grep -q 'ok installed'; }
# A fresh kernel may have no module yet: ask before installing, and say which there are.
lustre_install_modules() {
    export DEBIAN_FRONTEND=noninteractive
    run apt-get -o DPkg::Lock::Timeout=120 update || return 1
    if ! apt-cache show "lustre-client-modules-$KERNEL" >/dev/null 2>&1; then
        hint "boot a kernel that AWS has a module for (apt-cache search lustre-client-modules), or wait until it is published"
        refuse "the package lustre-client-modules-$KERNEL does not exist: AWS has no Lustre module for the running kernel $KERNEL"
        return 1
    fi
    run apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "lustre-client-modules-$KERNEL"
}

# If Lustre's modules are loaded before AWS' script has run, only some of the interfaces are used, silently.
lustre_efa_is_ready() { systemctl -q is-enabled configure-efa-fsx-lustre-client.service; }
lustre_efa_explain() {
    hint "install it as https://docs.aws.amazon.com/fsx/latest/LustreGuide/configure-efa-clients.html says, or set efa = false"
    refuse "configure-efa-fsx-lustre-client.service is not enabled on this node"
}

lustre_is_striped() {
    [ -n "$(mounts_at "$WHERE")" ] && [ -d "$FOLDER" ] && [ "$(cat "$state/striped$(flat "$FOLDER")")" = "$STRIPES $(stat -c %i "$FOLDER")" ]
}
lustre_stripe() {
    if [ -z "$(mounts_at "$WHERE")" ]; then
        refuse "$FOLDER is not striped: nothing is mounted at $WHERE"
        return 1
    fi
    run mkdir -p "$FOLDER" || return 1
    # shellcheck disable=SC2086 # options, as the configuration has them
    run lfs setstripe $STRIPES "$FOLDER" || return 1
    is_empty "$FOLDER" || note "what is in $FOLDER already keeps its layout"
    printf '%s' "$STRIPES $(stat -c %i "$FOLDER")" >"$state/striped$(flat "$FOLDER")"
}
