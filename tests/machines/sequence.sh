#!/usr/bin/env bash
# Takes the machines of an inventory of this host from nothing through their life: sequence.sh INVENTORY [STEP...]. Each step must pass; all steps
# without one named:
#   up        make them of bare Debian
#   check     check mode on the fresh machines
#   before    furnish them with older servers (before.yml); converge, which is no part of all steps, with those of the inventory
#   functions the functions as units; again changes nothing
#   upgrade   back up; to the servers of the inventory while two months are done amid kills; make it final; newer packages of Debian, and back
#   again     furnish them again, which must change nothing
#   verify    status.yml, smoke.yml, and what is let in and refused, asked from outside
#   job       two months amid kills, while all servers are restarted and certificates, passwords and other secrets are made anew
#   scale     a machine more (inventories/INVENTORY-m4.yml), and without it again; only where there is such a file
#   recover   back up, drill, harm copies of it, let go of old ones, give OpenBao wrong keys; lose all amid a job, restore onto empty machines of the same names, and go on to its releases
#   destroy   take Almanac and its data off them, ask from outside what is left, and have them refuse backups that are harmed (recover makes some)
#   down      take them away
# The machines of the inventory kernel, by kernel.sh, have a kernel of their own and little else; all of their steps are
#   up check converge again verify unplug verify destroy down
# where unplug pulls their plug and starts them, and the tests are those of what a container has not (make kernel-check).
# Where tcpdump is to be had, verify and job also look for names, words and secrets in what passes on the machines and between them.
# Steps that a former run has done may be left out. What passes stays in the machines until down.
set -euo pipefail
cd "$(dirname "$0")/../.."
inventory=$1
shift
ansible=$PWD/.cache/ansible/bin
log=$PWD/.cache/machines/sequence/$inventory
mkdir -p "$log"

# play NAME PLAYBOOK ARGS...: runs a playbook, whose output goes to a log that is shown if it fails.
play() {
	local name=$1
	shift
	if ! (cd ansible && PATH=$ansible:$PATH ansible-playbook -i "inventories/$inventory" "$@") >"$log/$name.log" 2>&1; then
		tail -n 60 "$log/$name.log"
		echo "$name: ansible-playbook $* failed; all that it said is in $log/$name.log" >&2
		return 1
	fi
}

# unchanged NAME: fails unless the playbook that was run by that name has changed nothing.
unchanged() {
	if grep -E '^[^ ]+ +: ok=.* changed=[1-9]' "$log/$1.log"; then
		grep -A 1 -E '^(changed|TASK)' "$log/$1.log" | grep -B 1 '^changed' | tail -n 40
		echo "$1: a second run changes something" >&2
		return 1
	fi
}

tests() { make --no-print-directory "$@" INVENTORY="$inventory"; }

# listens says 1 where tcpdump is to be had: what passes is looked at, too.
listens() {
	if tests/machines/tcpdump.sh .cache/tcpdump >/dev/null; then
		echo 1
	else
		echo "nothing that passes is looked at" >&2
	fi
}

up() { tests machines; }
check() { play check site.yml --check; }
converge() { play converge site.yml; }
before() {
	tests/machines/archives.sh .cache/machines/artefacts before
	play before site.yml -e @../tests/machines/before.yml
}
again() { play again site.yml && unchanged again; }
functions() {
	make --no-print-directory functions-archive
	play functions functions.yml
	play functions-again functions.yml
	unchanged functions-again
}
verify() { tests machines-check CAPTURE="$(listens)"; }
# amid CHANGES: does two months amid kills, as often as it takes until the function CHANGES is done.
amid() {
	"$1" &
	local changes=$! failed=0
	while kill -0 "$changes" 2>/dev/null && [ "$failed" = 0 ]; do tests check-machines || failed=$?; done
	wait "$changes"
	return "$failed"
}
upgrades() { play upgrade upgrade.yml; }
upgrade() {
	play backup backup.yml
	amid upgrades
	play finalize upgrade.yml -e upgrade_step=finalize
	tests packages-check
}
# All servers are restarted and get other certificates, passwords and secrets.
changes() {
	play restart restart.yml
	play certificates certificates.yml
	play passwords-make passwords.yml -e kafka_passwords_step=make
	play passwords-set passwords.yml -e kafka_passwords_step=set
	play secrets secrets.yml -e secrets_of=spark,monitoring,cookies,logins,keytabs
}
job() {
	CAPTURE=$(listens) amid changes
	tests anew-check
}
scale() {
	local more=inventories/$inventory-m4.yml
	[ -e "ansible/$more" ] || { echo "scale: there is no $more"; return; }
	local machine=(-i "$more" -e "almanac_state=$PWD/ansible/inventories/$inventory/.state" -e '{"nspawn_machines": ["m4.almanac.test"]}')
	play scale-up lab.yml "${machine[@]}"
	local failed=0
	tests scale-check MORE="ansible/$more" || failed=$?
	play scale-down lab.yml "${machine[@]}" -e nspawn_state=absent
	return "$failed"
}
recover() {
	tests backup-check
	tests restore-check
}
destroy() {
	local domain
	domain=$(awk '$1 == "almanac_domain:" {print $2}' "ansible/inventories/$inventory/group_vars/all.yml")
	play destroy destroy.yml -e "destroy_domain=$domain"
	emptied
}
emptied() { tests destroyed-check; }
down() { tests machines-down WIPE=1; }
steps=(up check before functions upgrade again verify job scale recover destroy down)

if [ "$inventory" = kernel ]; then
	up() { tests/machines/kernel.sh up; }
	unplug() {
		tests/machines/kernel.sh cut
		tests/machines/kernel.sh up
		after=cut
	}
	verify() { tests kernel-check CAPTURE="$(listens)" AFTER="${after:-}"; }
	emptied() { tests kernel-check AFTER=destroy; }
	down() { tests/machines/kernel.sh wipe; }
	steps=(up check converge again verify unplug verify destroy down)
fi

[ $# -gt 0 ] || set -- "${steps[@]}"
began=$SECONDS
for step in "$@"; do
	[ "$(type -t "$step")" = function ] || { echo "there is no step $step" >&2; exit 2; }
	since=$SECONDS
	"$step"
	echo "$step: $((SECONDS - since)) s, $((SECONDS - began)) s in all"
done
