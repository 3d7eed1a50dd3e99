#!/bin/sh
# dom0's init: sshd, the toolstack's daemons, a bridge, and the guests named on the command line
# as guests=pv,pvh (g1 is the first). /run/ready appears when all of them answer.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for tree in /run /tmp /dev/shm; do mount -t tmpfs tmpfs "$tree"; done
mkdir -p /run/sshd /run/xen /var/log/xen /var/lib/xen
hostname xen
ip link set lo up

modprobe -a virtio_net virtio_rng
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
/usr/sbin/sshd

modprobe -a xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-netback bridge
mount -t xenfs xenfs /proc/xen
tools=$(echo /usr/lib/xen-[0-9]*/bin)
"$tools/oxenstored" --pid-file /run/xen/xenstored.pid
until xenstore-read / >/dev/null 2>&1; do sleep 0.2; done
"$tools/xen-init-dom0"
"$tools/xenconsoled" --pid-file=/run/xen/xenconsoled.pid --log=guest --log-dir=/var/log/xen

echo pfifo_fast >/proc/sys/net/core/default_qdisc # a queue that obeys txqueuelen
ip link add xenbr0 type bridge
ip addr add 10.0.0.1/24 dev xenbr0
ip link set xenbr0 up
ip link set eth1 master xenbr0
ip link set eth1 up
iperf3 -s -D

number=0
for type in $(sed -n 's/.*guests=\([^ ]*\).*/\1/p' /proc/cmdline | tr , ' '); do
    number=$((number + 1))
    cat >"/guests/g$number.cfg" <<CONFIG
name = "g$number"
type = "$type"
kernel = "/guests/vmlinux"
ramdisk = "/guests/guest.initrd"
extra = "console=hvc0 quiet address=10.0.0.1$number"
memory = 160
vcpus = 1
maxvcpus = 2
vif = [ "mac=00:16:3e:00:00:0$number,bridge=xenbr0" ]
on_crash = "destroy"
CONFIG
    # Migration is refused where the time stamp counter is emulated, as it is here by default.
    [ "$type" != pvh ] || echo 'tsc_mode = "native"' >>"/guests/g$number.cfg"
    # On a busy machine the hotplug scripts may take longer than xl waits for them.
    until xl create -q "/guests/g$number.cfg"; do sleep 1; done
done
while [ "$number" -gt 0 ]; do
    until ping -c 1 -W 1 "10.0.0.1$number" >/dev/null 2>&1; do sleep 0.2; done
    number=$((number - 1))
done
touch /run/ready
exec busybox init
