#!/bin/sh
# Boots one kernel node, a user-mode Linux, and boots it again when the file "again" or "cut" is there (a reboot, a power cut).
#
# usage: kernel.sh FOLDER DISK GROUP NETNS [the kernel's arguments ...]
#
# It runs in a mount namespace of its own. GROUP is the node's control group, as for files/node.sh.
set -eu
folder=$1 disk=$2 group=$3 netns=$4
shift 4

hierarchies=
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup/memory; do
    if [ -e "$hierarchy/cgroup.procs" ]; then hierarchies="$hierarchies $hierarchy"; fi
done

# Move the (sub)shell that calls into the group's child $1.
enter() {
    for root in $hierarchies; do
        mkdir -p "$root/$group/$1"
        echo 0 >"$root/$group/$1/cgroup.procs"
    done
}

leave() {
    for root in $hierarchies; do
        find "$root/$group/$1" -depth -type d -exec rmdir {} + 2>/dev/null || :
    done
}

# Whoever wants to delete the disk sees by this lock that a node runs from it.
exec 9<"$disk"
flock --shared 9

enter loop
boot=0
while :; do
    boot=$((boot + 1))
    echo "boot $boot"
    status=0
    rm -rf "$folder/uml"
    mkdir "$folder/uml"
    (
        enter "boot$boot/payload"
        # All of a node's processes go with its first one. Its memory is a file in TMPDIR.
        exec ip netns exec "$netns" unshare --pid --fork --kill-child env TMPDIR=/dev/shm \
            bash "${0%/*}/kernel-exec" "uml_dir=$folder/uml" umid=node "ubd0=$folder/disk.cow,$disk" "ubd1=$folder/volume" \
            root=/dev/ubda rw con=null con0=null,fd:1 "lab.seed=$folder/upper" "$@" 9<&-
    ) || status=$?
    echo "boot $boot ended with $status"
    leave "boot$boot"
    if [ ! -e "$folder/again" ] && [ ! -e "$folder/cut" ]; then break; fi
    rm -f "$folder/again" "$folder/cut"
done
