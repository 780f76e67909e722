#!/bin/sh
# User-data whose script is too large for EC2: it lies in S3. Uses aws.sh.
# shellcheck disable=SC2034
export LC_ALL=C
PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
umask 077

bootstrap_fails() {
    printf 'mounttool\tfatal\t%s; nothing was done\n' "$(printf '%s' "$1" | tr '\t\n' '  ')"
    exit 1
}

# fetch_and_run BUCKET KEY REGION SHA256
fetch_and_run() {
    scratch=$(mktemp -d "$([ -w /run ] && echo /run || echo "${TMPDIR:-/tmp}")/mounttool.XXXXXX") || exit 1
    trap 'rm -rf "$scratch"' EXIT
    aws_patiently 120 aws_object "$1" "$2" "$3" "$scratch/script" 2>"$scratch/why" ||
        bootstrap_fails "s3://$1/$2 cannot be read: $(cat "$scratch/why")"
    found=$(sha256sum "$scratch/script")
    [ "${found%% *}" = "$4" ] || bootstrap_fails "s3://$1/$2 has SHA-256 ${found%% *}, expected $4"
    sh "$scratch/script"
}
