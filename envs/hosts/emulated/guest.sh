#!/bin/busybox sh
# A guest: an address on its vif, iperf3, and a shell on TCP port 99 for whoever can reach it.
# The kernel's command line says: address=10.0.0.11
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod "/modules/$module"; done
address=$(sed -n 's/.*address=\([^ ]*\).*/\1/p' /proc/cmdline)
ip link set lo up
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
ip addr add "$address/24" dev eth0
ip link set eth0 up
iperf3 -s -D
nc -ll -p 99 -e /bin/sh &
echo "guest ready"
while :; do wait; sleep 3600; done
