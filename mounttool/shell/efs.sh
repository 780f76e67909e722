#!/bin/sh
# shellcheck disable=SC2154 # scratch is the prelude's
# What the backends on amazon-efs-utils and NFS test and do. Set: PROGRAM, URL, SHA256, PACKAGED (empty: AWS has no package
# for this distribution); or HOST, PORT, NAME and CA of a server with TLS.

efs_utils_are_there() { command -v "$PROGRAM"; }

efs_utils_install() {
    if [ -z "$PACKAGED" ]; then
        hint "build amazon-efs-utils on this distribution (its INSTALL.md) and install it; or, for EFS, set helper = \"none\""
        refuse "AWS has no package of amazon-efs-utils for this distribution"
        return 1
    fi
    fetch "$URL" "$scratch/installer" || return 1
    if [ -n "$SHA256" ]; then
        sum=$(sha256sum "$scratch/installer")
        if [ "${sum%% *}" != "$SHA256" ]; then
            hint "the installer has changed, or installer.sha256 is of another file; nothing was run"
            refuse "$URL has SHA-256 ${sum%% *}, expected $SHA256"
            return 1
        fi
    fi
    run sh "$scratch/installer" --install
}

efs_tls_said() {
    timeout 10 openssl s_client -connect "$HOST:$PORT" -servername "$NAME" -verify_hostname "$NAME" -CAfile "$CA" \
        -verify_return_error </dev/null 2>&1
}

efs_tls_is() { efs_tls_said >/dev/null; }

efs_tls_explain() {
    said=$(efs_tls_said)
    printf '%s\n' "$said" | grep -iE 'error|refused|timed out|mismatch' | tail -n 3
    subject=$(printf '%s\n' "$said" | sed -n 's/^subject=//p' | head -n 1)
    case $said in
        *"ostname mismatch"*) hint "set certificate_name to the name in it" ;;
        *"erif"*) hint "set ca to a PEM file with the CA that signed the server's certificate" ;;
        *) hint "is there TLS at that port? set tls = false for plain NFS" ;;
    esac
    refuse "$HOST:$PORT does not prove to be $NAME with the CA in $CA${subject:+: its certificate is of $subject}"
}
