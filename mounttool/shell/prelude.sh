#!/bin/sh
# What every rendered script begins with: for each kind of step, what it means that it is so (KIND_is), how it is brought
# about (KIND_make), what it means that it is gone (KIND_gone) and how it is taken away (KIND_remove). Every function
# may be run again after it was interrupted anywhere. POSIX sh, equal under dash, bash and busybox.
#
# Set by the caller: act (apply|remove), dry (0|1), adopt (0|1); their defaults change nothing.
# Each line for the caller is: mounttool TAB event TAB fields; what commands print goes to a log, of which a failed step
# shows the last ten lines.
export LC_ALL=C
umask 022
PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
state=/var/lib/mounttool
units=/etc/systemd/system
act=${act:-apply} dry=${dry:-1} adopt=${adopt:-0}

# --- talking to the caller

tab='	' newline='
'
# A process less for each field counts: a fleet waits for this many times.
say() {
    line=mounttool
    for part; do
        case $part in *"$tab"* | *"$newline"*) part=$(printf '%s' "$part" | tr '\t\n' '  ') ;; esac
        line=$line$tab$part
    done
    printf '%s\n' "$line"
}

# What a step wants to be known beside its status.
note() { printf '%s' "$*" >"$scratch/note"; }
hint() { printf '%s' "$*" >"$scratch/hint"; }
warn() { printf '%s\n' "$*" >>"$scratch/warnings"; }

# A reason to fail, in words.
refuse() {
    printf '%s\n' "$*" >&2
    return 1
}

# Run a command that people should see when it fails. Never give it a secret: it is shown.
run() {
    printf '%s' "$*" >"$scratch/command"
    "$@"
}

start_script() {
    scratch=$(mktemp -d "$([ -w /run ] && echo /run || echo "${TMPDIR:-/tmp}")/mounttool.XXXXXX") || exit 1
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ "$dry" = 0 ]; then
        [ -d "$state" ] || (umask 077 && mkdir -p "$state") || exit 1
        # Two runs on one node take turns.
        exec 9>"$state/lock"
        if command -v flock >/dev/null && ! flock -w 60 9; then
            say fatal "another mounttool run holds $state/lock on this node"
            exit 1
        fi
    fi
    worst=0 touched=0
}

begin_plan() {
    number=0 failed=0 unread=
    say begin "$1" "$2"
}

end_plan() {
    say end "$1" "$failed"
    [ "$failed" = 0 ] || worst=1
}

# A power cut must not take back what was told. Bounded: before coreutils 8.24 sync knows only all file systems at once.
finish_script() {
    [ "$touched" = 0 ] || timeout 20 sync -f "$units" 2>/dev/null || :
    exit "$worst"
}

# step KIND TITLE ARGUMENT...
step() {
    number=$((number + 1))
    kind=$1 title=$2
    shift 2
    [ -z "$unread" ] || kind=unread # secrets.sh: it lacks a secret
    if [ "$failed" = 1 ]; then
        say step skipped "$number" "$title" ""
        return
    fi
    for word in note hint command warnings; do [ ! -e "$scratch/$word" ] || rm -f "$scratch/$word"; done
    if [ "$act" = apply ]; then test_so="${kind}_is" make_so="${kind}_make"; else test_so="${kind}_gone" make_so="${kind}_remove"; fi
    if ("$test_so" "$@") >"$scratch/log" 2>&1 9>&-; then
        outcome ok
    elif [ "$dry" = 1 ] && ! only_looks "$kind"; then
        outcome would
    else
        say start "$number" "$title"
        : >"$scratch/command"
        : >"$scratch/again"
        # The action's own word is not enough: the test must hold afterwards.
        if ("$make_so" "$@") >>"$scratch/log" 2>&1 9>&- && ("$test_so" "$@") >"$scratch/again" 2>&1 9>&-; then
            touched=1
            outcome changed
        else
            failed=1
            outcome failed
            [ ! -s "$scratch/command" ] || say command "$number" "$(cat "$scratch/command")"
            [ ! -s "$scratch/hint" ] || say hint "$number" "$(cat "$scratch/hint")"
            cat "$scratch/log" "$scratch/again" | grep . | tail -n 10 | while IFS= read -r text; do say log "$number" "$text"; done
        fi
    fi
}

# Kinds whose action is to say what is wrong; a dry run says it too.
only_looks() { case $1 in idle | reachable | unread) ;; *) return 1 ;; esac; }

outcome() {
    [ ! -f "$scratch/warnings" ] || sort -u "$scratch/warnings" | while IFS= read -r text; do say warning "$text"; done
    told=
    [ ! -e "$scratch/note" ] || told=$(cat "$scratch/note")
    say step "$1" "$number" "$title" "$told"
}

# --- looking

# A file name that stands for a path.
flat() {
    rest=$1
    while part=${rest%%[%/]*} && [ "$part" != "$rest" ]; do
        rest=${rest#"$part"}
        case $rest in %*) printf '%s%%25' "$part" ;; *) printf '%s%%2F' "$part" ;; esac
        rest=${rest#?}
    done
    printf '%s' "$rest"
}

# Names and numbers both count.
owned() {
    case " $(stat -c '%U:%G:%a %u:%G:%a %U:%g:%a %u:%g:%a' "$1") " in *" $2:$3:${4#0} "*) ;; *) return 1 ;; esac
}

own() { run chown "$2:$3" "$1" && run chmod "$4" "$1"; }

# The x keeps the newlines at the end, which a command substitution would drop.
holds() { [ -f "$1" ] && [ ! -L "$1" ] && [ "$(cat "$1" && echo x)" = "$2"x ]; }

is_empty() { [ -z "$(ls -A "$1")" ]; }

# What a directory holds, for a message.
contents() {
    find "$1" -mindepth 1 -maxdepth 1 | sort | awk -F/ 'NR == 1 {first = $NF} END {printf "%d entries such as \047%s\047", NR, first}'
}

# Put content into a file, whole or not at all.
put() {
    [ -d "${1%/*}" ] || run mkdir -p "${1%/*}" || return 1
    (umask 077 && printf '%s' "$2" >"$1.mounttool-new") || return 1
    own "$1.mounttool-new" "$3" "$4" "$5" && run mv -f "$1.mounttool-new" "$1"
}

# A path as mountinfo and fstab spell it.
as_in_mountinfo() {
    case $1 in *[\\\ ]*) printf '%s\n' "$1" | sed 's/\\/\\134/g; s/ /\\040/g' ;; *) printf '%s\n' "$1" ;; esac
}

# "PATH is a mount": the node helper's way to read the mount table, without touching the path.
mounts_at() {
    at=$(as_in_mountinfo "$1") awk '$5 == ENVIRON["at"] {
        for (i = 7; $i != "-"; i++);
        print $(i + 1), $(i + 2)
    }' /proc/self/mountinfo
}

helper=/usr/local/lib/mounttool/node

refuse_when_busy() {
    [ -n "$1" ] && [ -x "$helper" ] || return 0
    inner=$(at=$(as_in_mountinfo "$1") awk 'index($5, ENVIRON["at"] "/") == 1 {print $5}' /proc/self/mountinfo)
    if [ -n "$inner" ]; then
        hint "unmount what is mounted inside first"
        refuse "$1 is in use: $(printf '%s\n' "$inner" | head -n 3 | tr '\n' ' ')lies in it"
        return 1
    fi
    if users=$("$helper" busy "$1"); then
        printf '%s\n' "$users"
        hint "let these processes end, or stop them, then run this again"
        refuse "$1 is in use: $(printf '%s\n' "$users" | head -n 3 | awk '{printf "%s%s (pid %s)", sep, $2, $1; sep = ", "}')"
    fi
}

# A unit with a pending mark must be restarted, also by a later run when this one is cut off in between.
pend() {
    [ -d "$state/pending" ] || mkdir -p "$state/pending" || return 1
    for unit; do : >"$state/pending/$unit" || return 1; done
}

# --- package PROVIDES NAME...

package_is() {
    provides=$1
    shift
    [ -z "$provides" ] || ! command -v "$provides" || return 0
    for name; do
        if command -v dpkg-query >/dev/null; then
            dpkg-query -W -f '${Status}' "$name" | grep -q 'ok installed' || return 1
        else
            rpm -q "$name" || return 1
        fi
    done
}

package_make() {
    shift
    if command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        run apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" && return 0
        run apt-get -o DPkg::Lock::Timeout=120 update && run apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
    elif command -v dnf >/dev/null; then
        run dnf install -y "$@"
    elif command -v yum >/dev/null; then
        run yum install -y "$@"
    else
        refuse "no package manager found (apt-get, dnf or yum) to install: $*"
    fi
}

package_gone() { note "packages are left installed"; }

# --- release PATH URL SHA256 MEMBER UNIT...

release_mark() { echo "$3 $(stat -c '%s %Y' "$1")"; }

release_is() {
    [ -x "$1" ] && read -r mark <"$state/release$(flat "$1")" && [ "$mark" = "$(release_mark "$@")" ]
}

fetch() {
    case $1 in
        file://*) run cp "${1#file://}" "$2" ;;
        *)
            if command -v curl >/dev/null; then
                run curl -fsSL --retry 3 --connect-timeout 10 --max-time 600 -o "$2" "$1"
            elif command -v wget >/dev/null; then
                run wget -q -T 10 -O "$2" "$1"
            else
                refuse "neither curl nor wget is there to fetch $1"
            fi
            ;;
    esac
}

release_make() {
    path=$1 url=$2 sum=$3 member=$4
    shift 4
    pend "$@" || return 1
    set -- "$path" "$url" "$sum" "$member"
    place=${1%/*}/.mounttool-${1##*/}
    rm -rf "$place"
    run mkdir -p "$place" && release_unpack "$@"
    status=$?
    rm -rf "$place"
    return "$status"
}

release_unpack() {
    fetch "$2" "$place/download" || return 1
    sum=$(sha256sum "$place/download")
    if [ "${sum%% *}" != "$3" ]; then
        hint "the release or its mirror has changed, or the configured sha256 is of another file; nothing was installed"
        refuse "$2 has SHA-256 ${sum%% *}, expected $3"
        return 1
    fi
    if [ -n "$4" ]; then
        run tar -xzf "$place/download" -C "$place" "$4" || return 1
        run mv -f "$place/$4" "$place/download" || return 1
    fi
    own "$place/download" root root 0755 && run mv -f "$place/download" "$1" || return 1
    release_mark "$@" >"$state/release$(flat "$1")"
    note "installed from $2"
}

release_gone() { note "the program is left installed"; }

# --- directory PATH OWNER GROUP MODE INSIDE

directory_is() { { [ -z "$5" ] || [ -n "$(mounts_at "$5")" ]; } && [ -d "$1" ] && owned "$1" "$2" "$3" "$4"; }

directory_make() {
    if [ -n "$5" ] && [ -z "$(mounts_at "$5")" ]; then
        refuse "$1 is not made: nothing is mounted at $5"
        return 1
    fi
    run mkdir -p "$1" && own "$1" "$2" "$3" "$4"
}

directory_gone() {
    [ -n "$5" ] && note "data is left as it is" && return 0
    [ ! -d "$1" ] || ! is_empty "$1"
}

directory_remove() { run rmdir "$1"; }

# --- mountpoint PATH FSTYPE SOURCE UNIT OWNER

# is_from FOUND FSTYPE SOURCE: "FSTYPE SOURCE" of the mount table is what is expected; empty: any, *END: what ends so.
is_from() {
    [ -z "$2" ] || [ "${1%% *}" = "$2" ] || return 1
    case $3 in
        '') ;;
        '*'*) case ${1#* } in *"${3#?}") ;; *) return 1 ;; esac ;;
        *) [ "${1#* }" = "$3" ] ;;
    esac
}

in_fstab() {
    at=$(as_in_mountinfo "$1") awk '$1 !~ /^#/ && $2 == ENVIRON["at"] {found = 1} END {exit !found}' /etc/fstab 2>/dev/null
}

# The flags are the first word.
is_immutable() {
    flags=$(lsattr -d "$1" 2>/dev/null) || return 1
    case ${flags%% *} in *i*) ;; *) return 1 ;; esac
}

is_guarded() {
    if [ -n "$2" ]; then owned "$1" "$2" root 0700; else is_immutable "$1" || [ -e "$state/mutable$(flat "$1")" ]; fi
}

mountpoint_is() {
    if in_fstab "$1"; then warn "/etc/fstab has a line for $1 too: take it out, the unit $4 is what mounts it"; fi
    found=$(mounts_at "$1")
    found=${found##*"$newline"}
    if [ -n "$found" ]; then
        { [ -n "$2$3" ] && is_from "$found" "$2" "$3"; } || systemctl -q is-active "$4"
        return
    fi
    [ -d "$1" ] && is_empty "$1" && is_guarded "$1" "$5"
}

mountpoint_make() {
    found=$(mounts_at "$1")
    found=${found##*"$newline"}
    if [ -n "$found" ]; then
        hint "choose another mount_point, or unmount it yourself when it is no longer needed"
        refuse "$1 is in use: ${found%% *} from ${found#* } is mounted there"
        return 1
    fi
    if [ -e "$1" ] && [ ! -d "$1" ]; then
        refuse "$1 is not a directory"
        return 1
    fi
    if [ -d "$1" ] && ! is_empty "$1"; then
        hint "move what is in $1 elsewhere first"
        refuse "$1 is not empty (it holds $(contents "$1")); mounting would hide that"
        return 1
    fi
    if [ ! -d "$1" ]; then
        run mkdir -p "$1" && run chmod 0755 "$1" || return 1
        : >"$state/made$(flat "$1")"
    fi
    if [ -n "$5" ]; then
        chattr -i "$1"
        own "$1" "$5" root 0700
        return
    fi
    mutable=$state/mutable$(flat "$1")
    # Not every file system has the attribute; the mount works without it.
    if chattr +i "$1"; then
        [ ! -e "$mutable" ] || rm -f "$mutable"
    else
        : >"$mutable" && note "the file system below cannot make it immutable"
    fi
}

mountpoint_gone() { [ ! -d "$1" ] || { [ ! -e "$state/made$(flat "$1")" ] && ! is_immutable "$1"; }; }

mountpoint_remove() {
    if [ -n "$(mounts_at "$1")" ]; then
        refuse "$1 is still mounted"
        return 1
    fi
    rm -f "$state/mutable$(flat "$1")"
    chattr -i "$1"
    if [ -e "$state/made$(flat "$1")" ]; then
        run rmdir "$1" && rm -f "$state/made$(flat "$1")"
    fi
}

# --- kernelmodule NAME FSTYPE ADVICE

kernelmodule_is() { grep -qw "$2" /proc/filesystems || [ -d "/sys/module/$1" ] || modprobe -n -q "$1"; }
kernelmodule_make() {
    hint "$3"
    refuse "the running kernel $(uname -r) has no module $1"
}
kernelmodule_gone() { :; }

# --- file PATH CONTENT OWNER GROUP MODE UNIT...

file_is() { holds "$1" "$2" && owned "$1" "$3" "$4" "$5"; }

file_make() {
    path=$1 content=$2 owner=$3 group=$4 mode=$5
    shift 5
    pend "$@" && put "$path" "$content" "$owner" "$group" "$mode"
}

file_gone() { [ ! -e "$1" ]; }
file_remove() { run rm -f "$1"; }

# --- program PATH CONTENT UNIT...

program_is() { file_is "$1" "$2" root root 0755; }
program_make() {
    path=$1 content=$2
    shift 2
    file_make "$path" "$content" root root 0755 "$@"
}
program_gone() {
    if grep -qsF "$1" "$units"/*.service "$units"/*.mount; then note "other units still need it"; else [ ! -e "$1" ]; fi
}
program_remove() { run rm -f "$1" && { rmdir "${1%/*}" 2>/dev/null || :; }; }

# --- unit NAME CONTENT MOUNT_POINT WAIT_S

unit_is() {
    holds "$units/$1" "$2" && [ ! -e "$state/pending/$1" ] || return 1
    look_at_unit "$1"
    shown ActiveState=active UnitFileState=enabled NeedDaemonReload=no
}

# What systemd says of a unit, for shown PROPERTY=VALUE...: all of these are so.
look_at_unit() {
    properties=$newline$(systemctl show -p ActiveState -p LoadState -p UnitFileState -p NeedDaemonReload "$1" || :)$newline
}

shown() {
    for line; do
        case $properties in *"$newline$line$newline"*) ;; *) return 1 ;; esac
    done
}

unit_make() {
    verb=start limit=$4
    if [ -n "$3" ] && [ -n "$(mounts_at "$3")" ]; then refuse_when_busy "$3" || return 1; fi
    # systemd reads a unit when it first needs it; to read all anew takes longer than anything else here. When systemd itself
    # enables one, it takes all for outdated until then; --root has the link made without it.
    pend "$1" && put "$units/$1" "$2" root root 0644 && run systemctl --root=/ enable "$1" || return 1
    look_at_unit "$1"
    shown LoadState=loaded UnitFileState=enabled NeedDaemonReload=no || run systemctl daemon-reload || return 1
    if shown ActiveState=active; then verb=restart limit=$((2 * $4)); fi # the stop is bounded like the start
    since=$(date '+%Y-%m-%d %H:%M:%S')
    if ! run timeout "$limit" systemctl "$verb" "$1"; then
        journalctl -u "$1" --since "$since" -o cat --no-pager 2>/dev/null | tail -n 10
        # systemctl show --value would print only the value, but not on Amazon Linux 2: systemd 219 does not know it.
        result=$(systemctl show -p Result "$1")
        systemctl -q is-active "$1" || refuse "$1 did not start: ${result#Result=}"
        return 1
    fi
    rm -f "$state/pending/$1"
}

unit_gone() { [ ! -e "$units/$1" ] && ! systemctl -q is-active "$1" && look_at_unit "$1" && ! shown LoadState=loaded; }

unit_remove() {
    if [ -n "$3" ]; then refuse_when_busy "$3" || return 1; fi
    if [ "$(systemctl show -p ActiveState "$1")" != ActiveState=inactive ]; then run systemctl stop "$1" || return 1; fi
    if [ -n "$3" ] && [ -n "$(mounts_at "$3")" ]; then
        refuse "$3 is still mounted after $1 was stopped"
        return 1
    fi
    # Nothing to disable once an earlier run got as far as removing the file.
    [ ! -e "$units/$1" ] || run systemctl --no-reload disable "$1" || return 1
    run rm -f "$units/$1" "$state/pending/$1" && run systemctl daemon-reload
    systemctl reset-failed "$1" 2>/dev/null || :
}

# --- live MOUNT_POINT UNIT PROBE...

live_is() {
    shift 2
    "$helper" probe "$@"
}
live_make() {
    where=$1 unit=$2
    shift 2
    verdict=$("$helper" probe "$@")
    case $verdict in
        dead* | absent*)
            "$helper" heal "$where"
            run timeout 120 systemctl restart "$unit" || journalctl -u "$unit" -o cat -n 10 --no-pager
            ;;
        *) refuse "$where does not answer as it should: $verdict" ;;
    esac
}
live_gone() { :; }

# --- dropin UNIT NAME CONTENT

dropin_is() { holds "$units/$1.d/$2.conf" "$3" && [ "$(systemctl show -p NeedDaemonReload "$1")" = NeedDaemonReload=no ]; }
dropin_make() {
    put "$units/$1.d/$2.conf" "$3" root root 0644 && chmod 0755 "$units/$1.d" && run systemctl daemon-reload
    note "in effect when $1 is next started"
}
dropin_gone() { [ ! -e "$units/$1.d/$2.conf" ]; }
dropin_remove() {
    run rm -f "$units/$1.d/$2.conf" && run systemctl daemon-reload || return 1
    rmdir "$units/$1.d" 2>/dev/null || : # another drop-in is in it
}

# --- symlink PATH TARGET (refuses what is in the way, unless it may be kept aside)

symlink_is() { [ -L "$1" ] && [ "$(readlink "$1")" = "$2" ]; }

link_to() {
    [ ! -L "$1.mounttool-new" ] || rm -f "$1.mounttool-new" || return 1
    printf '%s' "$2" >"$state/link$(flat "$1")" &&
        run ln -s "$2" "$1.mounttool-new" && run mv -fT "$1.mounttool-new" "$1"
}

symlink_make() {
    if [ -L "$1" ]; then
        old=$(readlink "$1")
        if [ ! -e "$1" ] || [ "$old" = "$(cat "$state/link$(flat "$1")" 2>/dev/null)" ]; then
            note "it pointed to $old before"
            link_to "$@"
        elif [ "$adopt" = 1 ]; then
            keep_aside "$1" && link_to "$@"
        else
            hint "remove that link, or run again with --adopt to keep it aside"
            refuse "$1 is a link to $old that mounttool did not make"
        fi
    elif [ -n "$(mounts_at "$1")" ]; then
        hint "unmount it first, and take it out of /etc/fstab"
        refuse "$1 is a mount itself: $(mounts_at "$1" | tail -n 1)"
    elif [ -d "$1" ] && is_empty "$1"; then
        run rmdir "$1" && link_to "$@"
    elif [ -d "$1" ] && [ "$adopt" = 1 ]; then
        adopt_directory "$@" && keep_aside "$1" && link_to "$@"
    elif [ -d "$1" ]; then
        hint "run again with --adopt to copy it to $2, verify the copy and keep the old directory aside; or move it yourself"
        refuse "$1 is a directory with $(contents "$1")"
    elif [ -e "$1" ]; then
        hint "move it elsewhere"
        refuse "$1 is a file"
    else
        [ -d "${1%/*}/" ] || run mkdir -p "${1%/*}" || return 1
        link_to "$@"
    fi
}

keep_aside() {
    aside=$1.before-mounttool-$(date +%Y%m%dT%H%M%S)
    run mv -T "$1" "$aside" && note "the old one is kept as $aside"
}

# Copy into a folder beside the data, compare every file, then move the entries into place; nothing there is replaced.
# The mark lets a run that was cut off while moving go on where it stood; it holds for this very directory only.
adopt_directory() {
    staged=$2/.mounttool-adopt-$(uname -n)
    mark=$state/adopted$(flat "$1")
    this=$(stat -c '%d:%i:%Y' "$1")
    if [ "$(cat "$mark" 2>/dev/null)" != "$this" ]; then
        for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
            [ -e "$entry" ] || [ -L "$entry" ] || continue
            if [ -e "$2/${entry##*/}" ] || [ -L "$2/${entry##*/}" ]; then
                hint "rename one of them; nothing was copied"
                refuse "both $1 and $2 have '${entry##*/}'"
                return 1
            fi
        done
        rm -rf "$staged" && run mkdir -p "$staged" && run cp -a "$1/." "$staged/" || return 1
        if [ "$(checksums "$1")" != "$(checksums "$staged")" ]; then
            hint "is something still writing to $1? stop it and run again"
            refuse "the copy of $1 differs from it"
            return 1
        fi
        printf '%s' "$this" >"$mark" || return 1
    fi
    for entry in "$staged"/* "$staged"/.[!.]* "$staged"/..?*; do
        [ -e "$entry" ] || [ -L "$entry" ] || continue
        run mv -nT "$entry" "$2/${entry##*/}" || return 1
    done
    [ ! -d "$staged" ] || run rmdir "$staged"
}

checksums() { (cd "$1" && find . -type f -exec sha256sum {} + | sort && find . ! -type f ! -path . -exec stat -c '%A %n' {} + | sort); }

symlink_gone() {
    if [ ! -L "$1" ] || [ "$(readlink "$1")" != "$2" ]; then
        [ ! -e "$1" ] || note "$1 is not mounttool's link and is left"
        return 0
    fi
    return 1
}
symlink_remove() { run rm -f "$1" "$state/link$(flat "$1")"; }

# --- idle MOUNT_POINT: the first step of a removal

idle_gone() { refuse_when_busy "$1"; }
idle_remove() { return 1; } # its processes are named by the test

# --- reachable WHAT HOST PORT

reachable_is() {
    command -v bash >/dev/null || return 0 # no other shell opens sockets; the mount itself will tell
    # shellcheck disable=SC2016 # expanded by bash
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3"
}
reachable_make() {
    if command -v getent >/dev/null && ! getent ahosts "$2" >/dev/null; then
        hint "check the name (an id, a region or a zone is part of it), and this node's resolver: in a VPC, DNS must be enabled"
        refuse "the name $2 of $1 cannot be resolved on this node"
        return 1
    fi
    hint "check the address, that the service runs, and that its firewall or security group lets this node in"
    refuse "$1 at $2:$3 does not answer this node within 5 s"
}
reachable_gone() { :; }

# --- ensure_N: the functions are rendered beside their plan; what a backend ensured stays when its mount goes

ensure_gone() { note "left as it is"; }
