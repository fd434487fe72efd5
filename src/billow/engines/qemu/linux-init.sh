#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# Init of the built-in Linux guest: a line per second on the serial line, the network that the kernel's
# arguments ask for, and an orderly end when the power button is pressed. Two more arguments let a move be
# proven from inside: billow.beat_ms (heartbeats by ARP) and billow.writer (a rising log on a disk).
/bin/busybox mkdir -p /proc /sys /dev /tmp /usr/bin /usr/sbin /sbin
/bin/busybox --install -s
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
exec </dev/null >/dev/ttyS0 2>&1
while read -r module; do insmod "/modules/$module.ko"; done </modules/order

argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^billow\.$1=//p"; }
name=$(argument name)
address=$(argument address)
beat_ms=$(argument beat_ms)
writer=$(argument writer)
hostname "${name:-linux}"
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  ip link set eth0 up
  [ -n "$address" ] && ip addr add "$address" dev eth0
fi

off() {
  echo "billow-linux ${name:-linux} power button, off"
  sync
  poweroff -f
}
for device in /sys/class/input/event*; do
  [ "$(cat "$device/device/name")" = "Power Button" ] || continue
  (head -c 1 "/dev/input/${device##*/}" >/dev/null && off) &
done

# Announce our address every beat_ms; the number of the beat is the address that is asked for (198.18.0.0/15).
beats() {
  number=0
  while usleep $((beat_ms * 1000)); do
    number=$((number + 1))
    asked="198.$((18 + (number >> 16 & 1))).$((number >> 8 & 255)).$((number & 255))"
    arping -q -U -c 1 -I eth0 -s "${address%/*}" "$asked"
  done
}

# Append to a log on a disk: sector 0 says how many records there are, each further sector is one. Where to
# append is read from the disk, the record's number is only remembered here: a second copy of this guest that
# ever writes makes numbers repeat, and a write that got lost makes one missing. Every tenth record sums up a
# part of our memory that never changes; the same bytes lie at 32 MiB of the disk, for a move to carry.
append() {
  printf '%-511s\n' "$1" | dd of="$writer" bs=512 seek="$2" conv=notrunc,fsync oflag=direct status=none
}
writes() {
  boot=$(cat /proc/sys/kernel/random/boot_id)
  dd if=/dev/urandom of=/ballast bs=64k count=64 status=none
  dd if=/ballast of="$writer" bs=64k seek=512 conv=notrunc,fsync status=none
  number=0
  while usleep 100000; do
    read -r count rest <<END
$(dd if="$writer" bs=512 count=1 iflag=direct status=none | tr -d '\0')
END
    number=$((number + 1))
    count=$((count + 1))
    read -r uptime rest </proc/uptime
    [ $((number % 10)) = 1 ] && memory=$(md5sum </ballast)
    append "$boot $number $uptime ${memory%% *}" "$count" && append "$count" 0
  done
}
[ -n "$beat_ms" ] && beats &
[ -n "$writer" ] && writes &

echo "billow-linux ${name:-linux} up kernel=$(uname -r) cpus=$(nproc)"
beat=0
while sleep 1; do
  beat=$((beat + 1))
  echo "billow-linux ${name:-linux} beat=$beat"
done
