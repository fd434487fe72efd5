#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# Init of the built-in Linux guest: a line per second on the serial line, the network that the kernel's
# arguments ask for, and an orderly end when the power button is pressed.
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

echo "billow-linux ${name:-linux} up kernel=$(uname -r) cpus=$(nproc)"
beat=0
while sleep 1; do
  beat=$((beat + 1))
  echo "billow-linux ${name:-linux} beat=$beat"
done
