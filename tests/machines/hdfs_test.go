package machines_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
)

// hdfs speaks to the NameNode as the first principal of a keytab that a machine has, which it names, too.
func (s *site) hdfs(t *testing.T, host, name string) (c *hdfs.Client, principal string) {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(s.on(t, host, "", "base64 -w 0 /etc/almanac/keytabs/"+name+".keytab"))
	if err != nil {
		t.Fatal(err)
	}
	keys := keytab.New()
	if err := keys.Unmarshal(text); err != nil || len(keys.Entries) == 0 {
		t.Fatalf("the keytab %s of %s has %d keys: %v", name, host, len(keys.Entries), err)
	}
	user, realm := strings.Join(keys.Entries[0].Principal.Components, "/"), keys.Entries[0].Principal.Realm
	conf, err := config.NewFromString(fmt.Sprintf("[libdefaults]\ndefault_realm = %[1]s\ndns_lookup_kdc = false\nudp_preference_limit = 1\n[realms]\n%[1]s = {\n kdc = %[2]s\n}\n",
		realm, net.JoinHostPort(s.machines[s.groups["kdc"].Hosts[0]].Address, "88")))
	if err != nil {
		t.Fatal(err)
	}
	login := client.NewWithKeytab(user, realm, keys, conf, client.DisablePAFXFAST(true))
	t.Cleanup(login.Destroy)
	if err := login.Login(); err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	c, err = hdfs.NewClient(hdfs.ClientOptions{
		Addresses: []string{net.JoinHostPort(s.groups["namenodes"].Hosts[0], "8020")}, NamenodeDialFunc: s.dial, DatanodeDialFunc: s.dial,
		KerberosClient: login, KerberosServicePrincipleName: "nn/_HOST", DataTransferProtection: hdfs.DataTransferProtectionPrivacy,
	})
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, user + "@" + realm
}

var deniedByHDFS = regexp.MustCompile(`allowed=false\s+ugi=(\S+) .*\scmd=(\S+)\s+src=(\S+)`)

// warehouse says who may write and who read each folder of it, and of a dataset in it, and who may only pass; what else a dataset has are aggregates. The
// operator may do all.
var warehouse = map[string]struct{ writers, readers, pass string }{
	"":            {"calendar", "", "aggregate collect deliver process serve store validate"},
	"/datasets":   {"calendar", "aggregate collect deliver process serve store validate", ""},
	"/releases":   {"calendar", "serve", "deliver"},
	"/DATASET":    {"calendar", "", "aggregate collect deliver process store"},
	"/raw":        {"calendar store", "collect", ""},
	"/data-keys":  {"calendar collect", "process", ""},
	"/staging":    {"calendar store", "", ""},
	"/rows":       {"calendar store", "aggregate deliver", ""},
	"/quarantine": {"calendar store", "", ""},
	"/AGGREGATE":  {"calendar aggregate", "deliver", ""},
	"/RELEASES":   {"calendar deliver", "serve", ""},
}

// first is some file below a folder that holds something and whose name ends so, or empty.
func first(t *testing.T, c *hdfs.Client, folder, end string) (name string) {
	t.Helper()
	err := c.Walk(folder, func(at string, info fs.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 && strings.HasSuffix(at, end) {
			name, err = at, fs.SkipAll
		}
		return err
	})
	if err != nil && name == "" {
		t.Fatal(err)
	}
	return name
}

// folders are those of the warehouse, each with what the table calls it.
func folders(t *testing.T, c *hdfs.Client) map[string]string {
	t.Helper()
	names := func(dir string) (all []string) {
		found, err := c.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.IsDir() && !strings.HasPrefix(f.Name(), ".") {
				all = append(all, f.Name())
			}
		}
		return all
	}
	all := map[string]string{"/almanac": "", "/almanac/datasets": "/datasets", "/almanac/releases": "/releases"}
	for _, dataset := range names("/almanac/releases") {
		all["/almanac/"+dataset], all["/almanac/releases/"+dataset] = "/DATASET", "/RELEASES"
		aggregates := 0
		for _, name := range names("/almanac/" + dataset) {
			if _, ok := warehouse["/"+name]; ok {
				all["/almanac/"+dataset+"/"+name] = "/" + name
			} else {
				all["/almanac/"+dataset+"/"+name] = "/AGGREGATE"
				aggregates++
			}
		}
		if aggregates == 0 {
			t.Errorf("%s has no aggregate", dataset)
		}
	}
	if len(all) < 11 {
		t.Fatalf("the warehouse has the folders %v, want those of a dataset among them", all)
	}
	return all
}

// TestHDFSRefusesEachFunctionWhatIsOthers takes the keytab of each function to folders of others: those of Spark, of HDFS itself, and of each other in the warehouse.
// The log of HDFS must have each of these refusals. What is a function's own it may read, or write.
func TestHDFSRefusesEachFunctionWhatIsOthers(t *testing.T) {
	s, host := withFunctions(t)
	began := time.Now()
	list := func(c *hdfs.Client, name string) error {
		_, err := c.ReadDir(name)
		return err
	}
	mkdir := func(c *hdfs.Client, name string) error {
		err := c.Mkdir(name, 0o700)
		if err == nil {
			_ = c.Remove(name) // nobody should have made it
		}
		return err
	}
	read := func(c *hdfs.Client, name string) error {
		f, err := c.Open(name)
		if err != nil {
			return err
		}
		_, err = io.ReadFull(f, make([]byte, 1))
		return errors.Join(err, f.Close())
	}
	give := func(c *hdfs.Client, name string) error { return c.Chown(name, "hdfs", "supergroup") } // whose it is
	type try struct {
		do        func(c *hdfs.Client, name string) error
		cmd, name string
	}
	made := "/check-" + strconv.FormatInt(began.UnixNano(), 10)
	everybody := []try{
		{list, "listStatus", "/spark-history"}, {list, "listStatus", "/user/spark"}, {mkdir, "getfileinfo", "/user/spark" + made}, // the library looks first
		{mkdir, "getfileinfo", "/spark-history" + made}, {mkdir, "mkdirs", made}, {mkdir, "mkdirs", "/user" + made}, {give, "setOwner", "/tmp"},
	}
	functions := []try{{list, "listStatus", "/user/almanac"}, {mkdir, "mkdirs", "/scratch" + made}, {give, "setOwner", "/almanac"}}
	operator, _ := s.hdfs(t, host, "almanac-operator")
	all := folders(t, operator)
	files := map[string]string{} // one deep in each folder of data
	for folder, kind := range all {
		if kind != "" && kind != "/datasets" && kind != "/releases" && kind != "/DATASET" {
			files[folder] = first(t, operator, folder, "")
		}
		if kind == "/rows" && files[folder] == "" {
			t.Errorf("%s has no file", folder)
		}
	}
	var want []string
	for name := range strings.FieldsSeq(s.on(t, host, "", "ls /etc/almanac/keytabs | sed -n 's/^almanac-\\(.*\\)[.]keytab$/\\1/p'")) {
		c, principal := s.hdfs(t, host, "almanac-"+name)
		tries := everybody
		if name != "operator" {
			tries = slices.Concat(everybody, functions)
		}
		for folder, kind := range all {
			of := warehouse[kind]
			may := func(who string) bool { return name == "operator" || slices.Contains(strings.Fields(who), name) }
			passes := func(folder string) bool {
				of := warehouse[all[folder]]
				return folder == "/" || may(of.writers+" "+of.readers+" "+of.pass)
			}
			switch {
			case may(of.writers):
				if err := mkdir(c, folder+made); err != nil {
					t.Errorf("%s makes a folder in %s: %v", name, folder, err)
				}
			case passes(folder):
				tries = append(tries, try{mkdir, "mkdirs", folder + made})
			default:
				tries = append(tries, try{mkdir, "getfileinfo", folder + made}) // the library looks first
			}
			file := files[folder]
			if may(of.writers + " " + of.readers) {
				err := list(c, folder)
				if file != "" {
					err = errors.Join(err, read(c, file))
				}
				if err != nil {
					t.Errorf("%s reads in %s: %v", name, folder, err)
				}
				continue
			}
			asked := "getfileinfo"
			if passes(path.Dir(folder)) {
				asked = "listStatus"
			}
			tries = append(tries, try{list, asked, folder})
			if file != "" {
				tries = append(tries, try{read, "getfileinfo", file})
			}
		}
		for _, one := range tries {
			if err := one.do(c, one.name); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s asks for %s of %s: %v, want it refused", name, one.cmd, one.name, err)
			}
			want = append(want, denial(principal, one.cmd, one.name))
		}
	}
	if len(want) < 200 {
		t.Errorf("only %d refusals were tried", len(want))
	}
	s.logged(t, "namenodes", audit("hdfs-namenode", began, "allowed=false"), want, denials(deniedByHDFS))
}

// TestSparkReadsNoOriginals goes through the warehouse as Spark: tables that queries are asked of it reads, what came as it was and what was refused it does not.
func TestSparkReadsNoOriginals(t *testing.T) {
	s, host := withFunctions(t)
	operator, _ := s.hdfs(t, host, "almanac-operator")
	spark, _ := s.hdfs(t, s.groups["spark_connect"].Hosts[0], "spark")
	for folder, kind := range folders(t, operator) {
		_, err := spark.ReadDir(folder)
		switch kind {
		case "/rows", "/AGGREGATE":
			if err != nil {
				t.Errorf("Spark reads %s: %v", folder, err)
			}
		case "/raw", "/data-keys", "/staging", "/quarantine":
			if !errors.Is(err, fs.ErrPermission) {
				t.Errorf("Spark reads %s: %v, want it refused", folder, err)
			}
		}
	}
}

// TestADataNodeWantsTheTokenOfABlock reads a published file, and again with its token altered by one bit. The client may speak to the DataNodes both times: only the
// token says that it may read this block. Each DataNode that has it must refuse it for that.
func TestADataNodeWantsTheTokenOfABlock(t *testing.T) {
	s, host := withFunctions(t)
	began := strconv.FormatInt(time.Now().Unix(), 10)
	c, _ := s.hdfs(t, host, "almanac-process")
	file := first(t, c, "/almanac/datasets", ".yaml") // each function may read it
	if file == "" {
		t.Fatal("nothing is published")
	}
	r, err := c.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // it is only read
	read := func() (int, error) {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		return r.Read(make([]byte, 1))
	}
	if _, err := read(); err != nil {
		t.Fatalf("%s: %v", r.Name(), err)
	}
	block := reflect.ValueOf(r).Elem().FieldByName("blocks").Index(0).Elem() // the library shows none
	proof := block.FieldByName("BlockToken").Elem().FieldByName("Password").Bytes()
	if len(proof) < 20 {
		t.Fatalf("the NameNode gives a token with a proof of %d bytes", len(proof))
	}
	proof[0] ^= 1
	if n, err := read(); n != 0 || err == nil {
		t.Errorf("with an altered token a DataNode gives %d bytes of %s: %v", n, r.Name(), err)
	}
	proof[0] ^= 1
	if _, err := read(); err != nil {
		t.Errorf("with its own token again: %v", err)
	}
	id := strconv.FormatUint(block.FieldByName("B").Elem().FieldByName("BlockId").Elem().Uint(), 10)
	want := block.FieldByName("Locs").Len()
	if missing := s.retold(t, "datanodes", "journalctl -u almanac-hdfs-datanode -o cat --no-pager --since @"+began+
		" | grep 'Block token verification failed: op=READ_BLOCK, .* userId=almanac-process, .* blockId="+id+",' || true", func(log string) []string {
		return make([]string, max(0, want-strings.Count(log, "Block token verification failed")))
	}); len(missing) > 0 {
		t.Errorf("%d of %d DataNodes did not say that they refused the token", len(missing), want)
	}
}
