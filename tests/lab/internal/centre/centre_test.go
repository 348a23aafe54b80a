package centre

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/almanac-data/almanac/tests/lab/internal/server"
	"github.com/almanac-data/almanac/tests/lab/internal/site"
)

func open(t *testing.T, secure bool) (*Centre, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	c := &Centre{Site: site.New(t.TempDir(), "", "", secure), Out: &out}
	if err := c.Site.Folders(); err != nil {
		t.Fatal(err)
	}
	return c, &out
}

func TestServersStartInStages(t *testing.T) {
	for form, c := range map[bool]struct{ want string }{
		false: {"kafka namenode datanode1 datanode2 resourcemanager nodemanager | spark"},
		true:  {"kdc | kafka namenode datanode1 datanode2 resourcemanager nodemanager | spark | spark-tls"},
	} {
		centre, _ := open(t, form)
		var groups []string
		for _, stage := range server.Stages(centre.Servers()) {
			var names []string
			for _, s := range stage {
				names = append(names, s.Name)
			}
			groups = append(groups, strings.Join(names, " "))
		}
		if got := strings.Join(groups, " | "); got != c.want {
			t.Errorf("secured %v: stages %s, want %s", form, got, c.want)
		}
	}
}

func TestNoSecretStandsOnACommandLine(t *testing.T) {
	c, _ := open(t, true)
	if err := c.passwords(); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Servers() {
		for _, name := range []string{"store", "spark-token", "kdc-master", "scram-admin"} {
			if strings.Contains(strings.Join(s.Args, " "), c.secret(name)) {
				t.Errorf("%s: the command line holds the secret %s", s.Name, name)
			}
		}
	}
}

func TestOnceForgetsWhatFailed(t *testing.T) {
	c, _ := open(t, false)
	calls := 0
	for range 3 {
		_ = c.once("thing", func() error {
			calls++
			if calls == 1 {
				return errors.New("no")
			}
			return nil
		})
	}
	if calls != 2 {
		t.Errorf("it was done %d times, want 2: once in vain, once well", calls)
	}
}

func TestOneCommandAtATime(t *testing.T) {
	c, _ := open(t, false)
	unlock, err := c.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.lock(); err == nil {
		t.Error("a second lock was given")
	}
	unlock()
	again, err := c.lock()
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestDownOfALabThatNeverWasMakesNothing(t *testing.T) {
	root := t.TempDir()
	c := &Centre{Site: site.New(root, "", "", false), Out: os.Stderr}
	if err := c.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, ".cache")); err == nil {
		t.Error("Down made a folder")
	}
}

func TestUnknownServersAreNamed(t *testing.T) {
	c, _ := open(t, false)
	if err := c.Kill(t.Context(), "zookeeper"); err == nil || !strings.Contains(err.Error(), "kafka, namenode") {
		t.Errorf("Kill = %v, want the names there are", err)
	}
	if err := c.Start(t.Context(), "kafka"); err == nil || !strings.Contains(err.Error(), "never been up") {
		t.Errorf("Start = %v, want that the lab was never up", err)
	}
}

func TestALabKeepsItsBrokers(t *testing.T) {
	for name, c := range map[string]struct {
		made, only []string
		want       int
		says       string
	}{
		"everything":            {nil, nil, 1, ""},
		"one":                   {[]string{"kafka"}, []string{"kafka", "namenode"}, 1, ""},
		"three":                 {nil, []string{"kafka", "kafka2", "kafka3", "kafka3"}, 3, ""},
		"none":                  {[]string{"kafka", "kafka2"}, []string{"namenode"}, 0, ""},
		"one left out":          {nil, []string{"kafka", "kafka3"}, 0, "kafka3 is to be started without kafka2"},
		"everything, and three": {[]string{"kafka", "kafka2", "kafka3"}, nil, 3, ""},
		"two of three":          {[]string{"kafka", "kafka2", "kafka3"}, []string{"kafka", "kafka2"}, 0, "name kafka,kafka2,kafka3, too"},
	} {
		centre, _ := open(t, false)
		centre.Only = c.only
		for _, server := range c.made {
			if err := os.WriteFile(centre.Site.Path("made", server), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := centre.brokers(); n != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d brokers, %v, want %d, %q", name, n, err, c.want, c.says)
		}
	}
}

func TestTheClusterOfALabThatIsThereIsKept(t *testing.T) {
	c, _ := open(t, false)
	for path, text := range map[string]string{"made/kafka": "", "data/kafka/meta.properties": "version=1\ncluster.id=abc-1\nnode.id=1\n"} {
		path = c.Site.Path(filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.cluster(); err != nil || c.secret("cluster-id") != "abc-1" {
		t.Errorf("the id is %q, %v", c.secret("cluster-id"), err)
	}
}
