package machines_test

import (
	"encoding/json"
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
)

var packages = flag.Bool("packages", false, "bring newer packages of Debian to the machines, and take them back")

// newer packs what is installed of the packages that it is given anew, as a later version, into an archive of apt's on the machine, and prints name=version of what was installed.
const newer = `set -euo pipefail
mkdir -p /var/lib/almanac-newer
cd /var/lib/almanac-newer
rm -rf -- *
for name in "$@"; do
  version=$(dpkg-query --show --showformat='${Version}' "$name" 2>/dev/null) && [ "$version" ] || continue
  apt-get download -q "$name=$version" >/dev/null 2>&1
  dpkg-deb --raw-extract "$name"_*.deb tree
  rm -f "$name"_*.deb
  sed -i 's/^Version: .*/&+newer1/' tree/DEBIAN/control
  dpkg-deb --build -Zgzip -z1 tree "$name.deb" >/dev/null
  rm -rf tree
  { dpkg-deb --field "$name.deb"; echo "Filename: ./$name.deb"; echo "Size: $(stat --format %s "$name.deb")"
    echo "SHA256: $(sha256sum "$name.deb" | cut -d ' ' -f 1)"; echo; } >>Packages
  echo "$name=$version"
done
echo 'deb [trusted=yes] file:/var/lib/almanac-newer ./' >/etc/apt/sources.list.d/almanac-newer.list
apt-get update -q >/dev/null
`

// older takes what newer has made away.
const older = `rm -rf /etc/apt/sources.list.d/almanac-newer.list /var/lib/almanac-newer; apt-get update -q >/dev/null`

// TestPackagesGoThereAndBack has apt tell of newer packages, wants upgrade.yml to bring those and to restart what they hold, and then to go back to the versions that it is told.
func TestPackagesGoThereAndBack(t *testing.T) {
	s := furnished(t)
	if !*packages {
		t.Skip("no -packages is given")
	}
	names := strings.Join(debian(t), " ")
	was, back := map[string]string{}, map[string]string{}
	for _, host := range s.groups["almanac"].Hosts {
		t.Cleanup(func() {
			s.on(t, host, "", older+"; [ -z '"+was[host]+"' ] || apt-get install -qy --allow-downgrades "+strings.ReplaceAll(was[host], "\n", " ")+" >/dev/null")
		})
		was[host] = s.on(t, host, newer, "bash -s -- "+names)
		for line := range strings.Lines(was[host]) {
			name, version, _ := strings.Cut(strings.TrimSpace(line), "=")
			back[name] = version
		}
	}
	upgrade := func(args ...string) string {
		t.Helper()
		return s.played(t, "upgrade.yml", append([]string{"-i", *inventory}, args...)...)
	}
	upgrade()
	for host, list := range was {
		s.runs(t, host, names, strings.ReplaceAll(list+"\n", "\n", "+newer1\n"))
	}
	if out := upgrade(); changes.MatchString(out) {
		t.Errorf("a second upgrade.yml changes something:\n%s", tail(out))
	}

	named, err := json.Marshal(map[string]any{"upgrade_packages": back})
	if err != nil {
		t.Fatal(err)
	}
	upgrade("-e", string(named))
	for host, list := range was {
		s.runs(t, host, names, list+"\n")
	}
}

// debian are the packages of Debian that upgrade.yml knows.
func debian(t *testing.T) []string {
	t.Helper()
	all := map[string]bool{}
	for _, known := range knownTo(t, "upgrade") {
		for _, name := range known.Packages {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// runs wants a machine to have these versions of packages, and no process of a program of theirs that was replaced.
func (s *site) runs(t *testing.T, host, names, want string) {
	t.Helper()
	if got := s.on(t, host, "", `for name in `+names+`; do dpkg-query --show --showformat='${Package}=${Version}\n' "$name" 2>/dev/null || true; done | grep -v '=$'`) + "\n"; got != want {
		t.Errorf("%s has\n%swant\n%s", host, got, want)
	}
	if got := s.on(t, host, "", `readlink /proc/[0-9]*/exe | grep -E '(prometheus|krb5kdc|kadmind).*deleted' || true`); got != "" {
		t.Errorf("%s still runs %s", host, got)
	}
}
