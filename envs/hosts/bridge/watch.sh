# Arguments: MODE PORT/ADDRESS/PREFERENCE ...; the bridge is in the name of this script. See watch.py.
set -f
bridge=${0#viotune-watch:} mode=$1
shift
all=$* plugs=$*

rules() { # what decides about frames besides addresses; a rule made later is not to be bypassed
    ip -d link show dev "$bridge" | grep -o 'vlan_filtering 1'
    for plug in $all; do
        bridge -d link show dev "${plug%%/*}" | grep -o -e 'isolated on' -e 'locked on'
    done
}

known() { # PORT ADDRESS: may we still rely on that address being behind that port?
    case $(bridge link show dev "$1") in
        *" master $bridge state forwarding "*) ;;
        *) return 1 ;;
    esac
    static='' stranger=''
    while read -r address how; do
        case $address/$how in
            */*self* | */*permanent*) ;;
            "$2/master $bridge static"*) static=yes ;;
            "$2"/* | */*static*) ;;
            ?*) stranger=yes ;;
        esac
    done <<EOF
$(bridge fdb show dev "$1")
EOF
    [ -n "$static" ] && { [ "$mode" = direct ] || [ -z "$stranger" ]; }
}

forget() { # PORT ADDRESS PREFERENCE: let the bridge find its own way to it again
    if [ "$mode" = direct ]; then
        for plug in $all; do
            tc filter del dev "${plug%%/*}" ingress pref "$3"
            tc filter del dev "$1" ingress pref "${plug##*/}"
        done
        ip -o link show master "$bridge" | while IFS=' :' read -r _ port _; do
            tc filter del dev "${port%@*}" ingress pref "$3" # an interface may have a new name
        done
    else
        case $(bridge link show dev "$1") in
            *" master $bridge "*) ip link set dev "$1" type bridge_slave flood on ;;
        esac
    fi
    bridge fdb show br "$bridge" | while read -r address _ port how; do
        case $address/$how in
            "$2/master $bridge static"*) bridge fdb del "$2" dev "$port" master ;;
        esac
    done
    true # whatever of it was gone already
}

each() { # COMMAND: for every address that is still relied on; those for which it fails are kept
    left=''
    for entry in $plugs; do
        rest=${entry#*/}
        "$1" "${entry%%/*}" "${rest%/*}" "${entry##*/}" || left="$left $entry"
    done
    plugs=$left
}

look() { # at everything anew
    if [ "$(rules)" = "$found" ]; then each doubt; else each forget; fi
}

doubt() { # forget the address unless it is known
    ! known "$1" "$2" && forget "$1" "$2" "$3"
}

matters() { # LINE of the monitor: could it cast doubt on an address?
    case $1 in
        "[MDB]"* | "[VLAN]"*) return 1 ;;
        "[NEIGH]"*static*) ;;
        "[NEIGH]"*)
            [ "$mode" = lean ] || return 1
            for plug in $plugs; do
                case $1 in *" dev ${plug%%/*} "*) return 0 ;; esac
            done
            return 1
            ;;
    esac
}

events() { # the pid of the monitor, then what it prints
    bridge monitor all &
    echo "$!"
    wait
}

# A setting that changes nothing, which the monitor tells of: so that one look at everything comes
# after it began to listen.
knock() {
    for pause in 1 4; do
        sleep "$pause"
        ip link set dev "${all%%/*}" type bridge_slave learning on
    done
}

found=$(rules)
events 2>&1 | {
    read -r monitor
    knock &
    look
    while [ -n "$plugs" ] && read -r line; do
        if matters "$line"; then look; fi
    done
    each forget
    kill "$monitor"
}
each forget # where the loop was killed
trap '' TERM
kill -TERM "-$$"
