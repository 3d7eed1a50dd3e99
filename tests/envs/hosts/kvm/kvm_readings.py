"""What tells the knobs of the KVM server: tools that are not ours."""

EVERYTHING = r"""
exec 2>&1
for guest in g1 g2; do
    echo "== $guest"
    virsh -q vcpupin $guest; virsh -q emulatorpin $guest; virsh -q iothreadinfo $guest
    virsh -q schedinfo $guest | grep cpu_shares
done
cd /sys/fs/cgroup
for file in machine.slice/*/cpu.weight machine.slice/*/libvirt/*/cpuset.cpus \
    machine.slice/*/libvirt/*/cpuset.cpus.effective qemu.slice/*/cpu.weight; do
    echo "${file#*slice/}: $(cat "$file")"
done
for pid in $(pgrep qemu-system); do
    owner=$(tr '\0' '\n' <"/proc/$pid/cmdline" | sed -n '/^-name$/{n;s/guest=//;s/,.*//;p}')
    awk -v owner="$owner" '
        /^Name:/ { sub(/^Name:[ \t]*/, ""); name = $0 }
        /^Cpus_allowed_list:/ { print owner, name, "on", $2 }
    ' /proc/$pid/task/*/status $(pgrep "vhost-$pid" | sed 's,.*,/proc/&/status,')
done | grep -v -e mon_iothread -e ' worker ' -e call_rcu | sed 's/vhost-[0-9]*/vhost/' |
    sort | uniq -c
uplink=$(ls -d /sys/class/net/*/device/driver/module/drivers/pci:e1000e | cut -d / -f 5)
for irq in $(ls "/sys/class/net/$uplink/device/msi_irqs"); do
    echo "interrupt $irq of $uplink: $(cat "/proc/irq/$irq/smp_affinity_list")"
done
ip -o -d link show | grep -v -e ' lo: ' | sed 's/[a-z]*_timer *[0-9.]*//g'
bridge -o -d link show
bridge fdb show br br0 | grep static | sort
tc qdisc show | grep -v 'dev lo'
for port in vnet0 vnet1 tap3 "$uplink"; do
    tc filter show dev "$port" ingress |
        awk '/ match / { m = m " " $2 $4 } /mirred/ { print m, $0; m = "" }' | sed "s/^/$port /"
done
ls /run/viotune/kvm/found.json 2>/dev/null
pgrep -f 'viotune-watc[h]:' >/dev/null && echo watched
systemctl --no-legend list-units 'viotune-*'
true
"""
"""Prints all that may be changed."""
