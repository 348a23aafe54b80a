#!/bin/bash
# What the role nspawn does on the host: machine.sh base | bridge | up NAME ADDRESS MEMORY | down NAME | wipe NAME | unbridge
# ROOT, BRIDGE, ADDRESS, NETWORK, SUITE, MIRROR, PACKAGES and KEY come by the environment. Each verb does nothing where there is nothing to do.
set -euo pipefail
shopt -s nullglob
# shellcheck source=process.sh
. "$(dirname "$0")/process.sh"

base=$ROOT/base
table=almanac_${BRIDGE//-/_}
groups=(memory cpu cpuacct pids blkio systemd unified)

# sources are the host's package sources and the authorities that it trusts.
sources() {
  rm -f "$1"/etc/apt/sources.list
  cp /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list "$1/etc/apt/sources.list.d/" 2>/dev/null || true
  [ ! -s /etc/apt/sources.list ] || cp /etc/apt/sources.list "$1/etc/apt/"
  grep -lZ '^Acquire' /etc/apt/apt.conf.d/* 2>/dev/null | xargs -0r cp -t "$1/etc/apt/apt.conf.d/"
  mkdir -p "$1/usr/local/share/ca-certificates"
  cp -a /usr/local/share/ca-certificates/. "$1/usr/local/share/ca-certificates/"
  cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}

mirror() {
  if [ -n "$MIRROR" ]; then echo "$MIRROR"; return; fi
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI)' 'Codename: '"$SUITE" 'Created-By: Packages' 2>/dev/null | head -n 1
}

make_base() {
  [ ! -e "$base" ] || return 0
  rm -rf "$base.new"
  debootstrap --variant=minbase "--include=$PACKAGES" "$SUITE" "$base.new" "$(mirror)" >"$ROOT/debootstrap.log" 2>&1 ||
    { echo "debootstrap: $(tail -n 3 "$ROOT/debootstrap.log")" >&2; return 1; }
  sources "$base.new"
  rm -f "$base.new"/etc/ssh/ssh_host_* "$base.new/etc/hostname"
  : >"$base.new/etc/machine-id"
  local unit
  for unit in systemd-networkd systemd-resolved systemd-timesyncd apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap fstrim.timer getty@tty1; do
    chroot "$base.new" systemctl disable "$unit" >/dev/null 2>&1 || true
  done
  chroot "$base.new" systemctl mask systemd-firstboot console-getty >/dev/null 2>&1
  chroot "$base.new" systemctl set-default multi-user.target >/dev/null 2>&1
  chroot "$base.new" systemctl enable ssh >/dev/null 2>&1
  # nspawn shows the control groups of version 1 as read-only: MemoryMax= and TasksMax= of the machine's units would do nothing.
  cat >"$base.new/sbin/machine-init" <<'INIT'
#!/bin/sh
for c in memory pids; do [ ! -d /sys/fs/cgroup/$c ] || mount -o remount,bind,rw /sys/fs/cgroup/$c; done
exec /lib/systemd/systemd "$@"
INIT
  chmod 755 "$base.new/sbin/machine-init"
  mv "$base.new" "$base"
  echo "made $base"
}

make_bridge() {
  if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
    ip link add "$BRIDGE" type bridge
    echo "made $BRIDGE"
  fi
  ip -4 addr show dev "$BRIDGE" | grep -qF " $ADDRESS " || ip addr add "$ADDRESS" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]; then
    echo 1 >/proc/sys/net/ipv4/ip_forward
    touch "$ROOT/forwarding" # so that it is taken back
  fi
  nft list table ip "$table" >/dev/null 2>&1 || nft -f - <<NFT
table ip $table {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr $NETWORK ip daddr != $NETWORK masquerade
  }
}
NFT
}

remove_bridge() {
  ip link show "$BRIDGE" >/dev/null 2>&1 || return 0
  if [ -n "$(ip -br link show master "$BRIDGE")" ]; then echo "kept: others are on $BRIDGE"; return; fi
  ip link del "$BRIDGE"
  nft delete table ip "$table" 2>/dev/null || true
  if [ -e "$ROOT/forwarding" ]; then echo 0 >/proc/sys/net/ipv4/ip_forward; rm "$ROOT/forwarding"; fi
  echo "removed $BRIDGE"
}

connect() {
  local ns=$1 link=$2 address=$3
  [ -e "/run/netns/$ns" ] || ip netns add "$ns"
  ip -n "$ns" link show host0 >/dev/null 2>&1 && return
  ip link del "$link" 2>/dev/null || true
  ip link add "$link" type veth peer name host0 netns "$ns"
  ip link set "$link" master "$BRIDGE" up
  ip -n "$ns" link set lo up
  ip -n "$ns" addr add "$address/${ADDRESS#*/}" dev host0
  ip -n "$ns" link set host0 up
  ip -n "$ns" route add default via "${ADDRESS%/*}"
}

identify() {
  local root=$1 home
  home=$root$(awk -F: '$3 == 0 { print $6; exit }' "$root/etc/passwd")
  [ -s "$root/etc/machine-id" ] || tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
  ln -sf /etc/machine-id "$root/var/lib/dbus/machine-id" # that of the tree is the same for all
  [ -s "$root/etc/hostname" ] || echo "${name%%.*}" >"$root/etc/hostname"
  [ -s "$root/etc/hosts" ] || echo "127.0.0.1 localhost" >"$root/etc/hosts"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  sources "$root"
  install -d -m 700 "$home/.ssh"
  install -m 600 "$KEY" "$home/.ssh/authorized_keys"
  [ -e "$root/etc/ssh/ssh_host_ed25519_key" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$root/etc/ssh/ssh_host_ed25519_key"
}

up() {
  local address=$1 memory=$2 c
  ! alive >/dev/null || return 0
  mkdir -p "$dir"/{up,work,tree}
  mountpoint -q "$dir/tree" || mount -t overlay "almanac-$name" -o "lowerdir=$base,upperdir=$dir/up,workdir=$dir/work" "$dir/tree"
  connect "$(short)" "$(short)" "$address"
  identify "$dir/tree"
  # Each machine has a group of its own in every hierarchy, else all share the host's, and one removes the groups of another's services while those start.
  for c in "${groups[@]}"; do [ ! -d "/sys/fs/cgroup/$c" ] || mkdir -p "/sys/fs/cgroup/$c/$table/$name"; done
  [ ! -d /sys/fs/cgroup/memory ] || echo "$memory" >"/sys/fs/cgroup/memory/$table/$name/memory.limit_in_bytes"
  rm -f "$dir/pid"
  setsid "$0" boot "$name" </dev/null >"$dir/log" 2>&1 &
  for _ in {1..100}; do [ ! -s "$dir/pid" ] || break; sleep 0.1; done
  alive >/dev/null || { echo "$name did not start: $(tail -n 3 "$dir/log")" >&2; return 1; }
  echo "started $name"
}

# boot becomes the machine's process.
boot() {
  local c
  for c in "${groups[@]}"; do [ ! -d "/sys/fs/cgroup/$c/$table/$name" ] || echo $$ >"/sys/fs/cgroup/$c/$table/$name/cgroup.procs"; done
  echo "$$ $(born $$)" >"$dir/pid"
  exec systemd-nspawn -q -D "$dir/tree" -M "$name" --register=no --keep-unit --kill-signal=SIGRTMIN+3 --capability=CAP_NET_ADMIN \
    --network-namespace-path="/run/netns/$(short)" --resolv-conf=off --timezone=off --link-journal=no --console=pipe /sbin/machine-init
}

# stop asks the machine to end, and ends it after 30 s: its own first process before nspawn, which would leave that behind.
stop() {
  local pid child
  pid=$(alive) || return 0
  child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) || true
  kill -TERM "$pid"
  for _ in {1..300}; do alive >/dev/null || break; sleep 0.1; done
  if alive >/dev/null; then
    # shellcheck disable=SC2086
    kill -KILL $child 2>/dev/null || true
    kill -KILL "$pid" 2>/dev/null || true
    for _ in {1..50}; do alive >/dev/null || break; sleep 0.1; done
  fi
  echo "stopped $name"
}

down() {
  [ -d "$dir" ] || return 0
  stop
  rm -f "$dir/pid"
  ! mountpoint -q "$dir/tree" || umount "$dir/tree"
  [ ! -e "/run/netns/$(short)" ] || ip netns del "$(short)"
  ip link del "$(short)" 2>/dev/null || true
  local c
  for c in "${groups[@]}"; do
    find "/sys/fs/cgroup/$c/$table/$name" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    rmdir "/sys/fs/cgroup/$c/$table" 2>/dev/null || true
  done
}

wipe() {
  down
  [ -d "$dir" ] || return 0
  rm -rf --one-file-system "$dir"
  echo "removed $name"
}

verb=$1 name=${2:-} dir=$ROOT/${2:-}
case $verb in
  base) make_base ;;
  bridge) make_bridge ;;
  unbridge) remove_bridge ;;
  up) up "$3" "$4" ;;
  boot | down | wipe) [ -n "$name" ] && "$verb" ;;
  *) echo "machine.sh: unknown verb $verb" >&2; exit 2 ;;
esac
