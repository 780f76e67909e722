#!/bin/sh
# What install.sh looks at: which of the plans that follow it is for this node. Sets recipe_plan.
# shellcheck disable=SC2034
recipe_fatal() {
    printf 'mounttool\tfatal\t%s\n' "$*"
    exit 1
}

[ "$(id -u)" = 0 ] || recipe_fatal "install.sh: run it as root"
# shellcheck disable=SC1091
recipe_like=$(
    . /etc/os-release 2>/dev/null
    printf ' %s %s %s-%s ' "${ID-}" "${ID_LIKE-}" "${ID-}" "${VERSION_ID-}"
)
case $recipe_like in
    *" amzn-2023 "*) recipe_plan=0 ;;
    *" debian "* | *" ubuntu "*) recipe_plan=1 ;;
    *" rhel "* | *" fedora "* | *" centos "* | *" amzn "* | *" rocky "*) recipe_plan=3 ;;
    *) recipe_fatal "install.sh: this distribution is not supported: expected Debian, Ubuntu, Amazon Linux, RHEL or Rocky" ;;
esac
case $(uname -m) in
    x86_64) ;;
    aarch64 | arm64) [ "$recipe_plan" = 0 ] || recipe_plan=$((recipe_plan + 1)) ;;
    *) recipe_fatal "install.sh: machine type $(uname -m) is not supported: expected x86_64 or aarch64" ;;
esac
