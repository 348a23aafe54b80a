#!/bin/bash
# The machines of inventories/kernel, which have a kernel of their own, by QEMU without the host's virtualisation: kernel.sh up | cut | down | wipe
#   up    make what is not there, of Debian's packages, and start what does not run
#   cut   end them as if somebody had pulled the plug
#   down  end them, with their disks left; wipe removes those, too
# Each has a disk of 128 MiB beside its own that holds nothing, /dev/disk/by-id/virtio-data. It takes root.
set -euo pipefail
cd "$(dirname "$0")/../.."
export ROOT=$PWD/.cache/machines BRIDGE=almanac-lab ADDRESS=10.77.0.1/24 NETWORK=10.77.0.0/24 SUITE=bookworm MIRROR=${MIRROR:-}
PACKAGES=$(.cache/ansible/bin/python3 -c 'import sys, yaml; print(",".join(yaml.safe_load(open(sys.argv[1]))["nspawn_packages"]))' ansible/roles/nspawn/defaults/main.yml)
export PACKAGES
machine=ansible/roles/nspawn/files/machine.sh
# shellcheck source=../../ansible/roles/nspawn/files/process.sh
. "$(dirname "$machine")/process.sh"
tree=$ROOT/kernel
inventory=ansible/inventories/kernel state=$PWD/ansible/inventories/kernel/.state

# make_tree is what all have: Debian as lab.yml makes it, and a kernel with what starts it.
make_tree() {
	[ ! -e "$tree/boot" ] || return 0
	"$machine" base
	rm -rf "$tree" "$tree.new"
	cp -a "$ROOT/base" "$tree.new"
	cp -L /etc/resolv.conf "$tree.new/etc/resolv.conf"
	chroot "$tree.new" sh -ec '
		export DEBIAN_FRONTEND=noninteractive
		printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
		apt-get -q update && apt-get -qy install --no-install-recommends linux-image-cloud-amd64 initramfs-tools zstd
		rm /usr/sbin/policy-rc.d; apt-get clean
		useradd --create-home --shell /bin/bash admin
		echo "admin ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/image
		systemctl enable systemd-networkd' >"$ROOT/kernel.log" 2>&1 || { tail -n 5 "$ROOT/kernel.log" >&2; return 1; }
	mv "$tree.new" "$tree"
	echo "made $tree"
}

# make_disks are a machine's: its own, with its name, its address and the key by which it lets the user admin in, and an empty one.
make_disks() {
	[ ! -e "$dir/data.img" ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir"
	cp -a "$tree" "$dir/tree"
	local root=$dir/tree
	tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
	ln -sf /etc/machine-id "$root/var/lib/dbus/machine-id" # that of the tree is the same for all
	echo "${name%%.*}" >"$root/etc/hostname"
	echo "127.0.0.1 localhost" >"$root/etc/hosts"
	printf '[Match]\nName=eth0\n[Network]\nAddress=%s/24\nGateway=%s\n' "$address" "${ADDRESS%/*}" >"$root/etc/systemd/network/10-lab.network"
	echo "/dev/disk/by-id/virtio-root / ext4 defaults 0 1" >"$root/etc/fstab"
	chroot "$root" install -d -m 700 -o admin -g admin /home/admin/.ssh
	install -m 644 "$state/ssh/id_ed25519.pub" "$root/home/admin/.ssh/authorized_keys"
	ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$root/etc/ssh/ssh_host_ed25519_key"
	sed -i "/^$address /d" "$state/ssh/known_hosts"
	echo "$address $(cat "$root/etc/ssh/ssh_host_ed25519_key.pub")" >>"$state/ssh/known_hosts"
	truncate --size 6G "$dir/root.img"
	mkfs.ext4 -q -d "$root" "$dir/root.img"
	rm -rf "$root"
	truncate --size 128M "$dir/data.img.new"
	mv "$dir/data.img.new" "$dir/data.img"
}

start() {
	! alive >/dev/null || return 0
	local tap kernel
	tap=$(short)
	ip link show "$tap" >/dev/null 2>&1 || ip tuntap add dev "$tap" mode tap
	ip link set "$tap" master "$BRIDGE" up
	kernel=$(basename "$tree"/boot/vmlinuz-*)
	setsid qemu-system-x86_64 -name "$name" -accel tcg,thread=multi -cpu max -smp 1 -m "${MEMORY:-1024}" -display none -monitor none -serial "file:$dir/console.log" \
		-kernel "$tree/boot/$kernel" -initrd "$tree/boot/initrd.img-${kernel#vmlinuz-}" -append "root=/dev/disk/by-id/virtio-root rw console=ttyS0 net.ifnames=0 panic=5" \
		-drive "file=$dir/root.img,format=raw,if=none,id=root" -device virtio-blk-pci,drive=root,serial=root \
		-drive "file=$dir/data.img,format=raw,if=none,id=data" -device virtio-blk-pci,drive=data,serial=data \
		-netdev "tap,id=net,ifname=$tap,script=no,downscript=no" -device "virtio-net-pci,netdev=net,mac=52:54:00:$(printf %s "$name" | sha256sum | sed 's/\(..\)\(..\)\(..\).*/\1:\2:\3/')" \
		-device virtio-rng-pci </dev/null >"$dir/qemu.log" 2>&1 &
	echo "$! $(born $!)" >"$dir/pid"
	echo "started $name"
}

# answered waits for the machine's sshd.
answered() {
	for _ in {1..180}; do
		if timeout 5 bash -c "exec 3<>/dev/tcp/$address/22 && read -r line <&3 && [[ \$line == SSH* ]]" 2>/dev/null; then return; fi
		alive >/dev/null || break
		sleep 1
	done
	echo "$name does not answer: $(tail -n 3 "$dir/console.log" "$dir/qemu.log")" >&2
	return 1
}

stop() {
	local pid signal=$1
	if pid=$(alive); then
		kill "-$signal" "$pid"
		for _ in {1..100}; do alive >/dev/null || break; sleep 0.1; done
		echo "stopped $name"
	fi
	rm -f "$dir/pid"
}

each() {
	local pair
	for pair in "${machines[@]}"; do
		name=${pair%%=*} address=${pair#*=} dir=$ROOT/kernel-${pair%%=*}
		"$@"
	done
}

unplug() {
	stop TERM
	ip link del "$(short)" 2>/dev/null || true
}

mapfile -t machines < <(.cache/ansible/bin/python3 -c '
import sys, yaml
for name, of in yaml.safe_load(open(sys.argv[1]))["all"]["children"]["almanac"]["hosts"].items():
    print(name + "=" + of["ansible_host"])' "$inventory/hosts.yml")
case ${1:-} in
	up)
		command -v qemu-system-x86_64 >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends qemu-system-x86 >/dev/null
		mkdir -p "$ROOT"
		install -d -m 700 "$state/ssh"
		[ -e "$state/ssh/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C almanac-lab -f "$state/ssh/id_ed25519"
		touch "$state/ssh/known_hosts"
		make_tree
		"$machine" bridge
		each make_disks
		each start
		each answered ;;
	cut) each stop KILL ;;
	down)
		each unplug
		"$machine" unbridge ;;
	wipe)
		each unplug
		for pair in "${machines[@]}"; do rm -rf "$ROOT/kernel-${pair%%=*}"; done
		"$machine" unbridge ;;
	*) echo "usage: kernel.sh up | cut | down | wipe" >&2; exit 2 ;;
esac
