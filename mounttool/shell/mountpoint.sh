#!/bin/sh
# shellcheck disable=SC2154 # scratch is the prelude's
# How Mountpoint's package is installed. Set: VERSION (or latest), PACKAGE and KEYS (addresses), FINGERPRINTS.

mountpoint_is_installed() {
    found=$(mount-s3 --version) || return 1
    [ "$VERSION" = latest ] || case "$found " in "mount-s3 $VERSION"[-\ ]*) ;; *) return 1 ;; esac
}

# The package is installed only when a key with one of the fingerprints has signed it; the keyring is of this step alone.
mountpoint_install() {
    file=$scratch/${PACKAGE##*/}
    fetch "$PACKAGE" "$file" && fetch "$PACKAGE.asc" "$file.asc" && fetch "$KEYS" "$scratch/KEYS" || return 1
    GNUPGHOME=$scratch/gnupg
    export GNUPGHOME
    mkdir -m 0700 "$GNUPGHOME" || return 1
    # Without an agent, which public keys do not need, it complains but imports; what counts is the verification.
    gpg --batch --quiet --import "$scratch/KEYS"
    said=$(gpg --batch --status-fd 1 --verify "$file.asc" "$file")
    # The last word of this line is the primary key's fingerprint, whichever of its keys has signed.
    signer=$(printf '%s\n' "$said" | sed -n 's/^\[GNUPG:\] VALIDSIG .* \([0-9A-F]*\)$/\1/p')
    if command -v gpgconf >/dev/null; then gpgconf --kill all; fi
    case " $FINGERPRINTS " in
        *" ${signer:-none} "*) ;;
        *)
            hint "the download is damaged, or not from whom it says; or AWS has a new key: set release.fingerprints; nothing was installed"
            printf '%s\n' "$said" | sed -n 's/^\[GNUPG:\] //p' | grep -E '^(BADSIG|ERRSIG|NO_PUBKEY|VALIDSIG|NODATA)'
            refuse "$PACKAGE is signed by ${signer:-nobody whose key is known}, expected one of $FINGERPRINTS"
            return 1
            ;;
    esac
    case $file in
        *.deb)
            export DEBIAN_FRONTEND=noninteractive
            # Its dependencies are named anew in each release of Ubuntu; and fuse would push out fuse3.
            run apt-get -o DPkg::Lock::Timeout=120 update || note "apt-get update failed; went on with the lists that are there"
            run apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$file"
            ;;
        *) if command -v dnf >/dev/null; then run dnf install -y "$file"; else run yum install -y "$file"; fi ;;
    esac
}
