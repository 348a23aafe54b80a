package images

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
)

// script starts a program of a root folder as a container would: as user 65532, with that root alone, which cannot be written,
// and without a network.
const script = `set -eu
mount --bind "$1" "$1"
mount -o remount,bind,ro,nosuid,nodev "$1"
if touch "$1/tmp/probe" 2>/dev/null; then echo "the root can be written" >&2; exit 99; fi
exec setpriv --no-new-privs env -i PATH=/ko-app "$(command -v chroot)" --userspec=65532:65532 --groups=65532 "$1" "$2"`

// saysVariable is a message that names the variable that is missing.
var saysVariable = regexp.MustCompile(`"error":"[^"]*\b[A-Z]+_[A-Z_]+\b`)

func TestProgramStartsAndSaysWhatIsNotSet(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to change the root folder")
	}
	eachPlatform(t, func(t *testing.T, l layout, function string, d descriptor) {
		if d.Platform.Architecture != runtime.GOARCH {
			t.Skip("this machine cannot run it")
		}
		m := l.manifest(t, d)
		c := l.config(t, m)
		root := t.TempDir()
		for _, e := range l.entries(t, m, c) {
			unpack(t, root, e)
		}
		cmd := exec.Command("unshare", "--mount", "--net", "--ipc", "sh", "-c", script, "sh", root, c.Config.Entrypoint[0])
		out, err := cmd.CombinedOutput()
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.ExitCode() != 1 || !saysVariable.Match(out) {
			t.Errorf("%v, want exit status 1 and the name of what is not set:\n%s", err, out)
		}
	})
}

func unpack(t *testing.T, root string, e entry) {
	t.Helper()
	path := filepath.Join(root, e.Name)
	var err error
	if e.FileInfo().IsDir() {
		err = os.Mkdir(path, 0o700)
	} else {
		err = os.WriteFile(path, e.bytes, 0o600)
	}
	if err == nil {
		err = os.Chmod(path, e.FileInfo().Mode())
	}
	if err != nil {
		t.Fatal(err)
	}
}
