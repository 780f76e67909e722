#!/bin/sh
# What the ebs backend tests and does. Set: VOLUME or DEVICE, FILESYSTEM, IDENTITY (UUID), DECLARED (UUID or empty), WHERE.
# A file system is made on a device only when nothing at all is known to be on it.

# The block device of the volume: udev's name for it, or what the kernel says of the NVMe controllers.
ebs_device() {
    if [ -n "$DEVICE" ]; then
        [ -b "$DEVICE" ] && readlink -f "$DEVICE"
        return
    fi
    serial=vol${VOLUME#vol-}
    link=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$serial
    if [ -b "$link" ]; then
        readlink -f "$link"
        return
    fi
    for file in /sys/block/*/device/serial; do
        [ "$(tr -d ' ' <"$file" 2>/dev/null)" = "$serial" ] || continue
        device=${file#/sys/block/}
        echo "/dev/${device%%/*}"
        return
    done
    return 1
}

ebs_is_attached() { ebs_device; }

# An attachment takes a moment to show.
ebs_wait() {
    turns=0
    while ! ebs_device; do
        turns=$((turns + 1))
        if [ "$turns" -gt 30 ]; then
            refuse "no such volume on this node: ${VOLUME:-$DEVICE}"
            return 1
        fi
        sleep 1
    done
}

# What is on a device: NAME=VALUE lines of blkid, which looks at the device itself; nothing for a blank one.
ebs_signature() { blkid -p -o export "$1"; }

# A partition of it, or a device made of it (LVM, RAID, encryption).
ebs_is_taken() {
    name=${1##*/}
    for part in "/sys/class/block/$name/holders"/* "/sys/class/block/$name/$name"*; do
        [ ! -e "$part" ] || { echo "${part##*/}"; return 0; }
    done
    return 1
}

ebs_has_filesystem() {
    device=$(ebs_device) || return 1
    found=$(ebs_signature "$device") || return 1
    case "
$found
" in *"
UUID=$IDENTITY
"*) ;; *) return 1 ;; esac
    case "
$found
" in *"
TYPE=$FILESYSTEM
"*) ;; *) return 1 ;; esac
    elsewhere=$(ebs_mounted_at "$device" | grep -vxF "$WHERE")
    [ -z "$elsewhere" ] || return 1
    ebs_settle
}

# While udev is still at a device, as after somebody wrote to it, systemd may take it for gone and stop its mount.
ebs_settle() { ! command -v udevadm >/dev/null || udevadm settle -t 10 || :; }

# By the device's number: it may have many names.
ebs_mounted_at() {
    number=$(stat -L -c '%Hr:%Lr' "$1" 2>/dev/null)
    # A stat without %Hr prints it as it stands.
    case $number in [0-9]*:[0-9]*) ;; *) number=$(cat "/sys/class/block/${1##*/}/dev") ;; esac
    number=$number awk '$3 == ENVIRON["number"] {print $5}' /proc/self/mountinfo
}

ebs_make_filesystem() {
    device=$(ebs_device) || return 1
    used=$(ebs_mounted_at "$device" | grep -vxF "$WHERE" | head -n 1)
    if [ -n "$used" ]; then
        hint "unmount it there first, or give another volume"
        refuse "$device is in use: it is mounted at $used"
        return 1
    fi
    if taken=$(ebs_is_taken "$device"); then
        hint "give another volume; nothing was written to this one"
        refuse "$device is in use: $taken is made of it"
        return 1
    fi
    found=$(ebs_signature "$device")
    status=$?
    # 2: nothing was found. Every other status means that there is something, or that nobody can tell.
    if [ "$status" -ne 2 ]; then
        type=$(printf '%s\n' "$found" | sed -n 's/^\(TYPE\|PTTYPE\)=//p' | head -n 1)
        other=$(printf '%s\n' "$found" | sed -n 's/^UUID=//p')
        case $type in
            xfs | ext4) hint "to use what is on it, set uuid = \"$other\" and filesystem = \"$type\"; to start anew, empty it yourself with wipefs" ;;
            *) hint "give another volume; or, when nothing on it is needed, empty it yourself with wipefs" ;;
        esac
        refuse "$device is not blank: it holds ${type:-something that blkid cannot name}${other:+ with UUID $other}; nothing was written to it"
        return 1
    fi
    if [ -n "$DECLARED" ]; then
        hint "leave out uuid to have a file system made"
        refuse "$device is blank, and there is no file system with the declared UUID $DECLARED"
        return 1
    fi
    # Neither is given a flag that would overwrite something.
    case $FILESYSTEM in
        xfs) run mkfs.xfs -q -m "uuid=$IDENTITY" "$device" ;;
        ext4) run mkfs.ext4 -q -U "$IDENTITY" "$device" ;;
    esac || return 1
    ebs_settle
}

# blkid knows what the file system thinks its size is; the rest of a block group is not worth a growth.
ebs_is_full_size() {
    device=$(readlink -f "$(findmnt -n -o SOURCE --target "$WHERE")") || return 1
    whole=$(blockdev --getsize64 "$device") && blocks=$(ebs_blocks "$device") || return 1
    [ "$((whole - blocks))" -lt $((whole / 100 + 16777216)) ]
}

ebs_blocks() {
    case $FILESYSTEM in
        xfs) xfs_info "$WHERE" | sed -n 's/^data .*bsize=\([0-9]*\) *blocks=\([0-9]*\).*/\1 \2/p' ;;
        ext4) dumpe2fs -h "$1" 2>/dev/null | awk '/^Block count:/ {count = $3} /^Block size:/ {size = $3} END {print size, count}' ;;
    esac | awk '{printf "%.0f", $1 * $2}'
}

ebs_grow() {
    case $FILESYSTEM in
        xfs) run xfs_growfs "$WHERE" ;;
        ext4) run resize2fs "$(findmnt -n -o SOURCE --target "$WHERE")" ;;
    esac
}
