# What every stub begins with: it writes down how it was called, then does what a test has put into hooks/.
# shellcheck shell=sh disable=SC2034 # the stubs use them
there=/stub-state
name=${0##*/}
record() {
    printf '%s' "$name" >>"$there/log"
    printf ' %s' "$@" >>"$there/log"
    printf '\n' >>"$there/log"
}
# hook VERB ARGUMENT...: run hooks/NAME-VERB with these arguments when a test has made one; it may end the stub.
hook() {
    hooked=$there/hooks/$name-$1
    shift
    # shellcheck disable=SC1090 # made by the test
    [ ! -f "$hooked" ] || . "$hooked"
}
