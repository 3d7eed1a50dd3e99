# as_user.sh FOLDER COMMAND...: run a command as nobody, in a mount namespace of our own in which
# /dev/net/tun has the mode $TUN and the interpreter under $BASE can be reached.
set -e
folder=$1
shift
mount -t tmpfs -o mode=755 none "$folder"
mknod "$folder/tun" c 10 200
chmod "$TUN" "$folder/tun"
mount --bind "$folder/tun" /dev/net/tun
case "$BASE" in /root/*)
    mkdir "$folder/base"
    mount --bind "$BASE" "$folder/base"
    mount -t tmpfs -o mode=755 none /root
    mkdir -p "$BASE"
    mount --move "$folder/base" "$BASE" 2>/dev/null || mount --bind "$folder/base" "$BASE"
esac
exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \
    env -u XDG_RUNTIME_DIR PYTHONDONTWRITEBYTECODE=1 "$@"
