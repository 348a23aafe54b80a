// Package images looks into the images of the functions as they lie on disk, starts them, and builds them again elsewhere.
package images

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/pem"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	folder     = flag.String("images", "", "`folder` that make images has written; without it the tests are skipped")
	functions  = flag.String("functions", "", "`names` of the functions that must be there")
	repository = flag.String("repository", "../..", "`folder` of the repository that the images were built of")
)

// open is the layout to look into, or skips the test.
func open(t *testing.T) layout {
	t.Helper()
	if *folder == "" {
		t.Skip("give the images: go test ./tests/images -args -images FOLDER -functions NAMES, or make images-check")
	}
	return layout(*folder)
}

// eachPlatform calls f with every image of every function.
func eachPlatform(t *testing.T, f func(t *testing.T, l layout, function string, d descriptor)) {
	l := open(t)
	for _, d := range l.index(t).Manifests {
		function, ok := strings.CutPrefix(d.Annotations["org.opencontainers.image.ref.name"], "almanac/")
		if !ok {
			continue
		}
		for _, one := range l.manifest(t, d).Manifests {
			t.Run(function+"/"+one.Platform.Architecture, func(t *testing.T) { f(t, l, function, one) })
		}
	}
}

func TestEachFunctionHasAnImageForBothPlatforms(t *testing.T) {
	l := open(t)
	got := map[string][]string{}
	for _, d := range l.index(t).Manifests {
		name := d.Annotations["org.opencontainers.image.ref.name"]
		if name == "" {
			continue
		}
		if said := l.catalog(t).Images[name].Digest; said != d.Digest {
			t.Errorf("images.json says that %s is %s, it is %s", name, said, d.Digest)
		}
		m := l.manifest(t, d)
		for _, one := range m.Manifests {
			got[name] = append(got[name], one.Platform.String())
		}
		checkOrigin(t, l, m.Annotations)
		if base := l.catalog(t).Base; !strings.HasSuffix(base, "@"+m.Annotations["org.opencontainers.image.base.digest"]) {
			t.Errorf("base %s with digest %s", base, m.Annotations["org.opencontainers.image.base.digest"])
		}
	}
	want := map[string][]string{}
	for name := range strings.FieldsSeq(*functions) {
		want["almanac/"+name] = []string{"linux/amd64", "linux/arm64"}
	}
	if len(want) == 0 {
		t.Fatal("say by -functions which images must be there")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (- wanted, + there):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(l.catalog(t).Images))); diff != "" {
		t.Errorf("names in images.json (- wanted, + there):\n%s", diff)
	}
}

// checkOrigin compares what an image says of its origin with what git says.
func checkOrigin(t *testing.T, l layout, said map[string]string) {
	t.Helper()
	if strings.TrimSuffix(said["org.opencontainers.image.revision"], "-dirty") != git(t, *repository, "rev-parse", "HEAD") {
		t.Errorf("built of revision %s, the repository is at another", said["org.opencontainers.image.revision"])
	}
	if said["org.opencontainers.image.revision"] != l.catalog(t).Revision {
		t.Errorf("revision %s, images.json says %s", said["org.opencontainers.image.revision"], l.catalog(t).Revision)
	}
	created, err := time.Parse(time.RFC3339, said["org.opencontainers.image.created"])
	if want := git(t, *repository, "show", "--no-patch", "--format=%cI", "HEAD"); err != nil || !sameTime(t, created, want) {
		t.Errorf("created at %q, the commit is of %s", said["org.opencontainers.image.created"], want)
	}
	if said["org.opencontainers.image.licenses"] != "Apache-2.0" || said["org.opencontainers.image.source"] != "https://github.com/almanac-data/almanac" {
		t.Errorf("licence and source are not said: %v", said)
	}
	if name, digest := said["org.opencontainers.image.base.name"], said["org.opencontainers.image.base.digest"]; name != l.catalog(t).Base || digest == "" {
		t.Errorf("base %q with digest %q, images.json says %q", name, digest, l.catalog(t).Base)
	}
}

func sameTime(t *testing.T, got time.Time, text string) bool {
	t.Helper()
	want, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return got.Equal(want)
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
	if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

func TestConfigStartsTheFunctionAsNobody(t *testing.T) {
	eachPlatform(t, func(t *testing.T, l layout, function string, d descriptor) {
		m := l.manifest(t, d)
		c := l.config(t, m)
		checkOrigin(t, l, m.Annotations)
		want := config{platform: *d.Platform, Created: m.Annotations["org.opencontainers.image.created"]}
		want.RootFS = c.RootFS
		want.Config.User = "65532:65532"
		want.Config.WorkingDir = "/"
		want.Config.Entrypoint = []string{"/ko-app/" + function}
		want.Config.Env = []string{"PATH=/ko-app", "KO_DATA_PATH=/var/run/ko"}
		want.Config.Labels = maps.Clone(m.Annotations)
		delete(want.Config.Labels, "org.opencontainers.image.base.name")
		delete(want.Config.Labels, "org.opencontainers.image.base.digest")
		if diff := cmp.Diff(want, c, cmp.AllowUnexported(config{})); diff != "" {
			t.Errorf("config (- wanted, + there):\n%s", diff)
		}
	})
}

func TestLayersHoldTheProgramAndLittleElse(t *testing.T) {
	eachPlatform(t, func(t *testing.T, l layout, function string, d descriptor) {
		m := l.manifest(t, d)
		got := map[string]string{}
		var roots, passwd []byte
		for _, e := range l.entries(t, m, l.config(t, m)) {
			if e.Uid != 0 || e.Gid != 0 {
				t.Errorf("%s belongs to %d:%d, so that the function could change it", e.Name, e.Uid, e.Gid)
			}
			if e.PAXRecords["SCHILY.xattr.security.capability"] != "" {
				t.Errorf("%s has capabilities", e.Name)
			}
			got[e.Name] = string(e.Typeflag) + " " + e.FileInfo().Mode().String()
			switch e.Name {
			case "etc/ssl/certs/ca-certificates.crt":
				roots = e.bytes
			case "etc/passwd":
				passwd = e.bytes
			}
		}
		// Modes tell that nothing is setuid or setgid, and that only the program can be executed.
		want := map[string]string{
			"etc": "5 drwxr-xr-x", "etc/passwd": "0 -r--r--r--", "etc/group": "0 -r--r--r--",
			"etc/ssl": "5 drwxr-xr-x", "etc/ssl/certs": "5 drwxr-xr-x", "etc/ssl/certs/ca-certificates.crt": "0 -r--r--r--",
			"tmp": "5 dtrwxrwxrwx",
			"var": "5 dr-xr-xr-x", "var/run": "5 dr-xr-xr-x", "var/run/ko": "5 dr-xr-xr-x",
			"ko-app": "5 dr-xr-xr-x", "ko-app/" + function: "0 -r-xr-xr-x",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("files (- wanted, + there):\n%s", diff)
		}
		if !bytes.Contains(passwd, []byte("\nnonroot:x:65532:65532:")) {
			t.Errorf("/etc/passwd does not know the user 65532:\n%s", passwd)
		}
		count := 0
		for block, rest := pem.Decode(roots); block != nil; block, rest = pem.Decode(rest) {
			count++
		}
		if count < 100 {
			t.Errorf("%d root certificates, Mozilla has more than 100", count)
		}
	})
}

func TestProgramsAreStaticAndTheirModulesAreOnTheBill(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	eachPlatform(t, func(t *testing.T, l layout, function string, d descriptor) {
		m := l.manifest(t, d)
		entries := l.entries(t, m, l.config(t, m))
		program := bytes.NewReader(entries[len(entries)-1].bytes)
		file, err := elf.NewFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != machines[d.Platform.Architecture] {
			t.Errorf("a program for %s in the image of %s", file.Machine, d.Platform)
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_INTERP {
				t.Error("the program needs a dynamic linker, and there is none")
			}
		}
		info, err := buildinfo.Read(program)
		if err != nil {
			t.Fatal(err)
		}
		if info.Path != "github.com/almanac-data/almanac/functions/"+function || info.GoVersion != l.catalog(t).Go {
			t.Errorf("program %s by %s, images.json says %s", info.Path, info.GoVersion, l.catalog(t).Go)
		}
		for _, s := range info.Settings {
			if strings.HasPrefix(s.Key, "vcs") || s.Key == "-ldflags" {
				t.Errorf("%s=%s is in the program, and changes with each commit", s.Key, s.Value)
			}
		}
		want := []string{info.Main.Path + "@"}
		for _, dep := range info.Deps {
			want = append(want, dep.Path+"@"+dep.Version)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, billOf(t, l, d, function)); diff != "" || len(want) < 10 {
			t.Errorf("modules (- in the program, + on the bill of materials):\n%s", diff)
		}
	})
}

// billOf are the modules on the bill of materials that refers to an image.
func billOf(t *testing.T, l layout, of descriptor, function string) []string {
	t.Helper()
	var bill struct {
		SPDXVersion string `json:"spdxVersion"`
		Name        string `json:"name"`
		Packages    []struct {
			Name, VersionInfo string
			ExternalRefs      []struct{ ReferenceLocator string }
		}
	}
	found := 0
	for _, d := range l.index(t).Manifests {
		m := l.manifest(t, d)
		if m.Subject == nil || m.Subject.Digest != of.Digest {
			continue
		}
		found++
		if m.ArtifactType != "application/spdx+json" || len(m.Layers) != 1 {
			t.Fatalf("%s refers to the image as %q with %d files", d.Digest, m.ArtifactType, len(m.Layers))
		}
		if said := l.catalog(t).Images["almanac/"+function].Platforms[of.Platform.String()]; said.SBOM != d.Digest || said.Digest != of.Digest {
			t.Errorf("images.json says %v, it is %s with bill %s", said, of.Digest, d.Digest)
		}
		text := l.blob(t, m.Layers[0])
		decode(t, text, &bill)
		beside, err := os.ReadFile(filepath.Join(string(l), "sbom", function+"-linux-"+of.Platform.Architecture+".spdx.json"))
		if err != nil || !bytes.Equal(beside, text) {
			t.Errorf("the file in sbom/ differs: %v", err)
		}
	}
	if found != 1 || bill.SPDXVersion != "SPDX-2.3" || bill.Name != "sbom-"+of.Digest {
		t.Fatalf("%d bills of materials, of version %q for %q", found, bill.SPDXVersion, bill.Name)
	}
	var modules []string
	for _, p := range bill.Packages {
		for _, ref := range p.ExternalRefs {
			if strings.HasPrefix(ref.ReferenceLocator, "pkg:golang/") {
				modules = append(modules, p.Name+"@"+p.VersionInfo)
			}
		}
	}
	slices.Sort(modules)
	return modules
}
