#!/bin/sh
# What happens on a host that is being tuned, in the plainest shell: no Python, no network.
#
#   watchdog.sh VERB FOLDER BYTES [ARGUMENT...]
#
# BYTES is how much is told on stdin. Where less arrives, whoever told it has died or the link was
# cut: nothing is done then.
#
# One process on the host, "guard", is the lock and the revert timer in one. It holds FOLDER/lock
# with flock for as long as it lives. The tuner renews FOLDER/lease, and when that has not
# happened for as many seconds as it says, the guard carries out FOLDER/undo and ends.
#
#   lock    held by the guard; its first line: token, pid of the guard, for whom
#   lease   uptime of the host at the last heartbeat, and the seconds it is good for
#   undo    the commands that put the host back; absent while nothing is to be undone
#   undone  the same, once the guard has run them; undo.log has what they said
#   closed  the same, while the journal is told the event in closing: that it is confirmed, or back;
#           whoever tells it has closing locked
#
# Who renames undo first, the guard or a confirmation, has decided: a rename is one step, and needs
# no space on a full disk. Time is the host's uptime, which no change of the clock touches. A file
# that may not be writable is opened by "true", for where ":" or "exec" cannot, the shell ends.
# Return codes: 10 held by another, 11 the guard is gone, 12 the guard has put the host back,
# 13 the journal cannot be written, 14 the host lacks a program.

verb=$1 folder=$2 bytes=$3
shift 3

told=
if [ "$bytes" -gt 0 ]; then
    told=$(cat && echo .)
    told=${told%.}
    [ "$(printf %s "$told" | wc -c)" -eq "$bytes" ] || exit 13
fi

beat() { # SECONDS: renew the lease
    read -r now _ </proc/uptime
    printf '%s %s\n' "$now" "$1" >lease.new && mv -f lease.new lease
}

tell() { # TOKEN PID HOLDER: who holds; in place, for a look must never find nothing there
    printf '%s %s %s\n' "$1" "$2" "$3" 1<>lock
}

expired() { # whether the lease has run out: one that is gone or cannot be read has
    last='' seconds=''
    { read -r last seconds <lease; } 2>/dev/null
    read -r now _ </proc/uptime
    case ${last%.*}:$seconds in
    :* | *: | *[!0-9:]* | *:*:* | 0[0-9]* | ??????????????????*) return 0 ;;
    esac
    age=$((${now%.*} - ${last%.*}))
    [ "$age" -ge "$seconds" ] || [ "$age" -lt 0 ]
}

guarded() { # TOKEN: whether the guard of that token lives
    read -r token pid _ 2>/dev/null <lock && [ "$token" = "$1" ] &&
        grep -qs -- "$1" "/proc/$pid/cmdline"
}

refused() { # TOKEN: whether another has taken the lock since; "-" is who needs none
    [ "$1" != - ] && read -r token _ 2>/dev/null <lock && [ "$token" != "$1" ] && head -n 1 lock
}

reopen() { # where a close was killed halfway: the journal has been told, or there is still to undo
    [ -e closed ] || return 0
    flock -w 10 closing true # it may only be slow
    [ -e closed ] || return 0
    if [ -s closing ] && [ "$(tail -n 1 journal.jsonl 2>/dev/null)" = "$(cat closing)" ]; then
        rm -f closed
    else
        mv -f closed undo
    fi
}

free() { # whether the lock is free, or becomes so within a moment
    tries=0
    until flock -n lock true; do
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || return
        sleep 0.05
    done
}

end() { # end the guard that guarded has found, and wait until it has let go of the lock
    kill "$pid"
    free
}

carry_out() { # a command of FOLDER/undo: its failure does not keep the next from being run
    # shellcheck disable=SC2086 # $limit is some words or none
    $limit "$@" </dev/null >&8 2>&1 8>&- 9>&-
    printf '%s: %s\n' "$?" "$*" >&8
}

append() { # the line that was told, to the journal: all of it or nothing
    size=$(wc -c 2>/dev/null <journal.jsonl) || size=0
    if [ "$((size))" -gt 0 ] && [ "$(tail -c 1 journal.jsonl | wc -l)" -eq 0 ]; then
        size=$((size - $(tail -n 1 journal.jsonl | wc -c))) # a line torn by a crash
        truncate -s "$size" journal.jsonl
    fi
    { printf %s "$told" >>journal.jsonl; } 2>/dev/null && return
    truncate -s "$((size))" journal.jsonl
    return 13
}

case $verb in
start) # TOKEN SECONDS HOLDER; told this script: start the guard, and wait until it holds
    mkdir -p -m 700 -- "$folder" && cd -- "$folder" || exit
    guarded "$1" && beat "$2" && exit
    command -v flock >/dev/null || { echo "flock (util-linux)" && exit 14; }
    free || { head -n 1 lock && exit 10; }
    read -r token _ <lock && [ "$token" = "$1" ] && beat "$2" # it was killed, and its tuner lives
    printf %s "$told" >watchdog.sh.new && mv -f watchdog.sh.new watchdog.sh || exit 13
    set -- sh "$folder/watchdog.sh" guard "$folder" 0 "$@"
    if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] && command -v systemd-run >/dev/null; then
        systemd-run --quiet --collect --unit "viotune-$6" -p Restart=on-abnormal -p KillMode=process -- "$@" || exit
    else
        setsid "$@" </dev/null >/dev/null 2>&1 &
    fi
    tries=0
    until guarded "$6"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { head -n 1 lock && exit 10; }
        sleep 0.05
    done
    ;;
guard) # TOKEN SECONDS HOLDER
    cd -- "$folder" && exec 9>>lock || exit
    tries=0
    until flock -n 9; do
        tries=$((tries + 1))
        [ "$tries" -lt 20 ] || exit
        sleep 0.1
    done
    read -r token _ <lock && [ "$token" = "$1" ] || beat "$2" # else it is started again
    tell "$1" "$$" "$3"
    mv -f undoing undo 2>/dev/null # of a guard that was killed while it undid
    limit=
    command -v timeout >/dev/null && limit="timeout -s KILL 20"
    while :; do
        # Who removes the lock ends the trial, for nobody is held off any more: either another has
        # taken the host meanwhile, undo and all, or it is to be undone now.
        [ lock -ef "/proc/$$/fd/9" ] || [ ! -e lock ] || exit 0
        if expired || [ ! -e lock ]; then
            reopen
            mv -f undo undoing 2>/dev/null || exit 0
            again=''
            { read -r again _ <lease; } 2>/dev/null
            if [ "$again" = "$last" ]; then
                { true >>undo.log; } 2>/dev/null && exec 8>>undo.log || exec 8>/dev/null
                # shellcheck disable=SC1091 # written by arm
                . ./undoing
                mv -f undoing undone
                exit 0
            fi
            [ -e undo ] || mv -f undoing undo # a heartbeat at the last moment
            rm -f undoing                     # or new orders at that moment
        fi
        sleep 1 9>&-
    done
    ;;
beat) # TOKEN SECONDS: renew the lease; say whether the guard lives and has not acted
    cd -- "$folder" 2>/dev/null && guarded "$1" || exit 11
    beat "$2" || exit 13
    [ -e undo ] || exit 12
    ;;
arm) # TOKEN SECONDS must|may; told what to carry out, "must" be instead of what there is so far
    cd -- "$folder" 2>/dev/null && guarded "$1" || exit 11
    beat "$2" || exit 13
    if [ "$3" = must ]; then
        [ -e undo ] || exit 12
    else
        rm -f undone undo.log
        { true >undo.log; } 2>/dev/null || exit 13
    fi
    { printf %s "$told" >undo.new && mv -f undo.new undo; } || {
        rm -f undo.new
        exit 13
    }
    [ ! -e undoing ] && [ ! -e undone ] || exit 12 # the guard was faster after all
    ;;
hold) # TOKEN SECONDS HOLDER: nobody renews the lease any more, and the lock is for a person
    cd -- "$folder" && guarded "$1" || exit 11
    tell "$1" "$pid" "$3"
    beat "$2" || exit 13
    [ -e undo ] || exit 12
    ;;
close) # TOKEN must|may; told an event: disarm, and tell the journal, or else arm again
    cd -- "$folder" || exit
    refused "$1" && exit 10
    reopen
    { true >>closing && exec 7>>closing && flock -w 10 7 && printf %s "$told" >closing; } \
        2>/dev/null || exit 13
    mv -f undo closed 2>/dev/null || [ "$2" = may ] || exit 12
    if append; then
        rm -f closed closing undone
    else
        mv -f closed undo 2>/dev/null
        exit 13
    fi
    ;;
append) # TOKEN; told an event
    mkdir -p -m 700 -- "$folder" && cd -- "$folder" || exit
    refused "$1" && exit 10
    append
    ;;
tidy) # TOKEN; told a new journal; the old one stays beside it
    cd -- "$folder" || exit
    refused "$1" && exit 10
    { printf %s "$told" >journal.new && ln -f journal.jsonl journal.old.jsonl; } || {
        rm -f journal.new
        exit 13
    }
    mv -f journal.new journal.jsonl
    ;;
release) # TOKEN HOLDER: end the guard; if something is left to undo, let it hold on for HOLDER
    cd -- "$folder" 2>/dev/null && guarded "$1" || exit 0
    if [ -e undo ] || [ -e undoing ] || [ -e closed ]; then
        tell "$1" "$pid" "$2"
    else
        end
    fi
    ;;
take) # TOKEN: end the guard of a tuner that is gone; whoever takes the lock next undoes
    cd -- "$folder" || exit
    tries=0
    while [ -e undoing ] && [ "$tries" -lt 100 ]; do # let it end what it has begun
        tries=$((tries + 1))
        sleep 0.1
    done
    guarded "$1" && end
    exit 0
    ;;
said) # BYTES: tell what the commands said that put the host back, up to so much of it
    cd -- "$folder" 2>/dev/null || exit 0
    [ -f undo.log ] || exit 0
    head -c "$1" undo.log
    ;;
look) # tell what is here
    cd -- "$folder" 2>/dev/null || exit 0
    if [ -e lock ] && ! flock -n -s lock true; then
        printf 'held %s\n' "$(head -n 1 lock)"
    fi
    [ -e lease ] && printf 'lease %s\n' "$(head -n 1 lease)"
    printf 'uptime %s\n' "$(cat /proc/uptime)"
    for mark in undo undoing closed undone; do
        [ -e "$mark" ] && printf '%s %s\n' "$mark" "$(stat -c %Z "$mark")"
    done
    exit 0
    ;;
esac
