#!/bin/busybox sh
# The first root of an emulated host: find the disk and go on from there, by the program that the
# kernel's command line names: init=/sbin/init
alias b=/bin/busybox
b mount -t proc proc /proc
b mount -t sysfs sys /sys
b mount -t devtmpfs dev /dev
for module in $(b cat /modules/order); do b insmod "/modules/$module"; done
until [ -b /dev/vda ]; do b sleep 0.1; done
b mount -o rw,noatime /dev/vda /newroot
init=$(b sed -n 's/.*\binit=\([^ ]*\).*/\1/p' /proc/cmdline)
for tree in proc sys dev; do b mount --move "/$tree" "/newroot/$tree"; done
exec /bin/busybox switch_root /newroot "$init"
