package machines_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shuffled are how many rows a query shuffles and spills. Each holds a word that is like no other, of random letters: what Spark's LZ4 makes of it shows most of them as they are, so
// that a file that is compressed and not sealed holds words that the test knows.
const shuffled = 20000

// word is that of a row; wordOf is the same in SQL.
func word(canary string, id int) string {
	sum := sha256.Sum256([]byte(canary + strconv.Itoa(id)))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func wordOf(canary string) string { return "base64(unhex(sha2(concat('" + canary + "', id), 256)))" }

// some are about a hundred words of all rows.
func some(canary string, rows int) (words []string) {
	for id := 0; id < rows; id += rows/100 + 1 { // of each part
		words = append(words, word(canary, id))
	}
	return words
}

// shuffleSlowly makes Spark write the words of rows to its local disks, as shuffled blocks and as what a window spills, and takes half a minute over what was spilled.
func shuffleSlowly(sql func(string) ([]string, error), canary string) error {
	for _, query := range []string{
		"SET spark.sql.adaptive.enabled=false", "SET spark.sql.windowExec.buffer.in.memory.threshold=10", "SET spark.sql.windowExec.buffer.spill.threshold=100",
		fmt.Sprintf(`SELECT count(nap) + count(DISTINCT most) FROM (
			SELECT reflect('java.lang.Thread', 'sleep', 3L) AS nap, most FROM (
				SELECT max(word) OVER (PARTITION BY part) AS most FROM (SELECT id %% 16 AS part, %s AS word FROM range(%d))))`, wordOf(canary), shuffled),
	} {
		if _, err := sql(query); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return nil
}

// lz4 begins each block of what Spark's default codec has compressed. Spark seals what is compressed, so that it stands in no sealed file.
var lz4 = []byte("LZ4Block")

// blocks is what was found among the local files of executors.
type blocks struct {
	shuffled, spilled int               // bytes
	open              map[string]string // a word, or what begins compressed blocks, that stands in a file, by the file
}

func (b *blocks) look(t *testing.T, p *packs, words []string) func(name string, data []byte) {
	t.Helper()
	b.open = map[string]string{}
	return func(name string, data []byte) {
		switch base := path.Base(name); {
		case strings.HasPrefix(base, "shuffle_") && strings.HasSuffix(base, ".data"):
			b.shuffled += len(data)
		case strings.HasPrefix(base, "temp_local_"):
			b.spilled += len(data)
		}
		word := p.standing(data, words)
		if word == "" && strings.Contains(name, "/blockmgr-") && bytes.Contains(data, lz4) {
			word = string(lz4)
		}
		if word != "" {
			b.open[name] = word
		}
	}
}

// TestSparkSealsWhatItShuffles looks for words of rows in all that executors write to their machines' disks while they shuffle and spill them; and, with -capture, in what passes between
// machines while they do and while the driver collects rows. What was planted there must be found, as must what passes on loopback, behind Spark's TLS.
func TestSparkSealsWhatItShuffles(t *testing.T) {
	s := furnished(t)
	sql, canary := s.session(t, s.trusting(), s.file(t, "secrets", "spark_connect", "token")), fmt.Sprintf("canary%d", time.Now().UnixNano())
	words, p := some(canary, shuffled), newPacks(t)
	recorded := map[string]func() []byte{}
	for _, host := range s.sparks() {
		if *capture {
			recorded[host] = s.listen(t, host)
		}
	}
	since := s.on(t, s.groups["nodemanagers"].Hosts[0], "", "date +%s")
	done := make(chan error, 1)
	go func() { done <- shuffleSlowly(sql, canary) }()
	all := blocks{}
	for _, host := range s.groups["nodemanagers"].Hosts {
		found := s.blocksOf(t, host, since, words, p)
		all.shuffled, all.spilled = all.shuffled+found.shuffled, all.spilled+found.spilled
		for file, word := range found.open {
			t.Errorf("/%s of %s is not sealed: it holds %s", file, host, word)
		}
		t.Logf("%s: none of %d words is in what was shuffled (%d KB) and spilled (%d KB)", host, len(words), found.shuffled>>10, found.spilled>>10)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if volume := shuffled * len(words[0]); all.shuffled < volume || all.spilled < volume/100 {
		t.Errorf("%d bytes were shuffled and %d spilled, want %d of words: nothing was searched", all.shuffled, all.spilled, volume)
	}
	if got, err := sql("SELECT " + wordOf(canary) + " FROM range(0, 2000, 1, 8)"); err != nil || !slices.Contains(got, word(canary, 1999)) {
		t.Errorf("Spark collects %d words, %v, want 2000 that this test knows", len(got), err)
	}
	if *capture {
		s.passedAmongSparks(t, recorded, slices.Concat(words, some(canary, 2000)))
	}
}

// sparks are the machines that Spark computes on.
func (s *site) sparks() []string {
	all := slices.Concat(s.groups["spark_connect"].Hosts, s.groups["nodemanagers"].Hosts)
	slices.Sort(all)
	return slices.Compact(all)
}

var localDirs = regexp.MustCompile(`<name>yarn\.nodemanager\.local-dirs</name>\s*<value>(/[^<]*)</value>`)

// blocksOf waits until executors of a machine have shuffled and spilled since a time, and looks through their files.
func (s *site) blocksOf(t *testing.T, host, since string, words []string, p *packs) blocks {
	t.Helper()
	settings := s.on(t, host, "", "cat /etc/almanac/yarn-nodemanager/yarn-site.xml")
	dirs := localDirs.FindStringSubmatch(settings)
	if dirs == nil {
		t.Fatalf("the NodeManager of %s names no local folders: %s", host, tail(settings))
	}
	folders := strings.ReplaceAll(dirs[1], ",", " ")
	s.on(t, host, "", `for i in $(seq 120); do
			new() { find `+folders+` -name "$1" -size +0 -newermt @`+since+` 2>/dev/null | grep -q .; }
			new 'shuffle_*.data' && new 'temp_local_*' && break
			sleep 0.5
		done`)
	planted := strings.TrimPrefix(strings.Fields(folders)[0], "/") + "/almanac-control"
	s.on(t, host, "bytes before it "+words[1]+" and after", "cat > /"+planted)
	defer s.on(t, host, "", "rm -f /"+planted)
	var found blocks
	s.written(t, host, since, folders, found.look(t, p, words))
	if found.open[planted] != words[1] {
		t.Errorf("what was left in /%s of %s is not found: nothing was searched", planted, host)
	}
	delete(found.open, planted)
	return found
}

// ofSpark are the ports of drivers and executors, at either end of a stream; unveiled is the one that the Connect server has behind its TLS.
var (
	ofSpark  = regexp.MustCompile(`:(70(7[89]|[89]\d)|71(0\d|1[01]))( |$)`)
	unveiled = regexp.MustCompile(`127\.0\.0\.1:15003 > `)
)

// passedAmongSparks holds what passed while Spark shuffled words and collected them.
func (s *site) passedAmongSparks(t *testing.T, recorded map[string]func() []byte, words []string) {
	t.Helper()
	p, between, heard := newPacks(t), 0, false
	for host, packets := range recorded {
		passed := streamed(t, packets())
		for stream, word := range passed.standing(p, words) {
			if unveiled.MatchString(stream) {
				heard = true
				continue
			}
			t.Errorf("%s travels from %s on %s", word, stream, host)
		}
		for stream, data := range passed {
			if ofSpark.MatchString(stream) {
				between += len(data)
			}
		}
	}
	if !heard {
		t.Error("no word is heard behind Spark's TLS, where all pass in clear: nothing was listened to")
	}
	if between < shuffled*len(words[0])/2 {
		t.Errorf("drivers and executors said %d bytes, want those of half the words: nothing was listened to", between)
	}
	t.Logf("none of %d words is in %d KB that drivers and executors said", len(words), between>>10)
}

// TestSparkRunsSealed asks the history server how the application that runs was really configured.
func TestSparkRunsSealed(t *testing.T) {
	s := furnished(t)
	host := s.groups["spark_history"].Hosts[0]
	ask := func(path string, into any) {
		t.Helper()
		said := s.on(t, host, "", "cd /etc/almanac/tls/spark-history-tls && curl -sS --max-time 60 --cacert ca.pem --cert cert.pem --key key.pem 'https://"+host+":18480/api/v1/"+path+"'")
		if err := json.Unmarshal([]byte(said), into); err != nil {
			t.Fatalf("%s: %v: %s", path, err, tail(said))
		}
	}
	var running []struct{ ID string }
	ask("applications?status=running", &running)
	if len(running) == 0 {
		t.Fatal("no application runs")
	}
	var environment struct {
		Settings [][2]string `json:"sparkProperties"`
	}
	ask("applications/"+running[0].ID+"/environment", &environment)
	for name, want := range map[string]string{
		"spark.authenticate": "true", "spark.io.encryption.enabled": "true", "spark.io.encryption.keySizeBits": "256", "spark.network.crypto.enabled": "true",
		"spark.network.crypto.cipher": "AES/GCM/NoPadding", "spark.network.crypto.keyLength": "256", "spark.network.crypto.saslFallback": "false",
	} {
		if !slices.Contains(environment.Settings, [2]string{name, want}) {
			t.Errorf("%s runs without %s=%s: %v", running[0].ID, name, want, environment.Settings)
		}
	}
}

// openNothing asks a block manager of Spark for no blocks (network-common's RpcRequest, network-shuffle's OpenBlocks): one that wants no proof answers, with a stream of none.
func openNothing() []byte {
	text := func(b []byte, s string) []byte { return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) }
	body := text(text([]byte{0}, "application"), "executor")
	body = binary.BigEndian.AppendUint32(body, 0)
	head := binary.BigEndian.AppendUint64([]byte{3}, 77)
	head = binary.BigEndian.AppendUint32(head, uint32(len(body)))
	return slices.Concat(binary.BigEndian.AppendUint64(nil, uint64(8+len(head)+len(body))), head, body)
}

// rpcFailure is the byte after the length of a frame which says that a request has failed; 4 is that of one which answers it.
const rpcFailure = 5

// refused tells whether an answer is that of a server which wants to be told a secret first, by Spark's own protocol or by SASL.
func refused(answer string) bool {
	return len(answer) > 8 && answer[8] == rpcFailure && strings.Contains(answer, "Expected SaslMessage") || strings.Contains(answer, "Unknown challenge message")
}

// TestSparkAnswersNobodyWithoutItsSecret asks drivers and executors from another machine that may reach their ports, or their own where there is no other, without the secret of their application.
func TestSparkAnswersNobodyWithoutItsSecret(t *testing.T) {
	s := furnished(t)
	asked := 0
	for _, host := range s.sparks() {
		ports := strings.Fields(s.on(t, host, "", `ss -Hltn | awk '{n = split($4, part, ":"); port = part[n]; if (port >= 7078 && port <= 7111) print port}'`))
		for _, from := range s.groups["nodemanagers"].Hosts {
			if from == host && len(s.groups["nodemanagers"].Hosts) > 1 {
				continue
			}
			answered := 0
			for _, port := range ports {
				said := s.on(t, from, string(openNothing()), "exec 3<>/dev/tcp/"+s.machines[host].Address+"/"+port+" && cat >&3 && timeout 5 cat <&3 || true")
				switch {
				case refused(said):
					answered++
				case said != "":
					t.Errorf("port %s of %s answers %s, which has no secret: %.300q, want it refused", port, host, from, said)
				}
			}
			if asked += answered; answered == 0 && len(ports) > 0 {
				t.Errorf("none of the ports %v of %s says to %s that it refuses", ports, host, from)
			}
		}
	}
	if asked == 0 {
		t.Error("no driver and no executor was asked")
	}
	t.Logf("%d ports of drivers and executors refuse who has no secret", asked)
}
