package secure_test

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/functions/internal/certs/certstest"
	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/secure"
)

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	var s kafka.Settings
	err := fn.Load(t.Context(), envconfig.MapLookuper(map[string]string{
		"ALMANAC_KAFKA": "nowhere,b:1", "ALMANAC_KAFKA_CERT": "c", "ALMANAC_KAFKA_USER": "u", "ALMANAC_KAFKA_RETENTION": "1s",
		"ALMANAC_KAFKA_PARTITIONS": "-1", "ALMANAC_KAFKA_COMPRESSION": "rar",
	}), &s)
	for _, name := range []string{
		`ALMANAC_KAFKA must name each broker as host:port, not "nowhere"`, "ALMANAC_KAFKA_CERT and ALMANAC_KAFKA_KEY", "ALMANAC_KAFKA_USER and ALMANAC_KAFKA_PASSWORD_FILE",
		"ALMANAC_KAFKA_RETENTION", "ALMANAC_KAFKA_PARTITIONS", "ALMANAC_KAFKA_COMPRESSION",
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Load = %v, want it to name %s", err, name)
		}
	}
	if err := (secure.Access{ServerName: "x"}).Check(); err == nil {
		t.Error("a server's name without TLS is accepted")
	}
}

// site is a broker in memory with TLS, and the files of a client.
type site struct {
	dir  string
	ca   *certstest.Authority
	fake *kfake.Cluster
	addr string // of the broker
	conf secure.Access
}

var (
	hourAgo  = time.Now().Add(-time.Hour)
	inAnHour = time.Now().Add(time.Hour)
)

// newSite starts a broker whose certificate is valid between two times, and which wants certificates of clients if it is told an authority.
func newSite(t *testing.T, from, to time.Time, clients *certstest.Authority, opts ...kfake.Opt) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), ca: certstest.NewAuthority(t, "brokers' authority")}
	s.conf.CA = filepath.Join(s.dir, "ca.crt")
	s.ca.WriteCA(s.conf.CA)
	s.start(t, from, to, clients, opts...)
	return s
}

func (s *site) start(t *testing.T, from, to time.Time, clients *certstest.Authority, opts ...kfake.Opt) {
	t.Helper()
	_, _, pair := s.ca.Issue(s.dir, "broker", from, to)
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	if clients != nil {
		conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, clients.Pool()
	}
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.TLS(conf)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	s.fake, s.addr = fake, fake.ListenAddrs()[0]
}

func (s *site) open(t *testing.T) (*link.Cluster, error) {
	t.Helper()
	c, err := link.Open(t.Context(), link.Config{Brokers: []string{s.addr}, Access: s.conf, Now: time.Now, Dial: 1500 * time.Millisecond})
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

func TestWhoIsNotLetInIsToldWhy(t *testing.T) {
	clients := certstest.NewAuthority(t, "clients' authority")
	plain := func(t *testing.T) *site {
		t.Helper()
		return newSite(t, hourAgo, inAnHour, nil)
	}
	mutual := func(t *testing.T) *site {
		t.Helper()
		return newSite(t, hourAgo, inAnHour, clients)
	}
	client := func(s *site, ca *certstest.Authority, from, to time.Time) *site {
		s.conf.Cert, s.conf.Key, _ = ca.Issue(s.dir, "client", from, to)
		return s
	}
	tests := map[string]struct {
		site func(t *testing.T) *site
		says []string // nothing: is let in
	}{
		"a broker that is trusted": {plain, nil},
		"a client that is trusted": {func(t *testing.T) *site { return client(mutual(t), clients, hourAgo, inAnHour) }, nil},
		"a broker of another authority": {func(t *testing.T) *site {
			s := plain(t)
			certstest.NewAuthority(t, "other").WriteCA(s.conf.CA)
			return s
		}, []string{"brokers' authority", "ALMANAC_KAFKA_CA"}},
		"a broker that expired":          {func(t *testing.T) *site { return newSite(t, hourAgo, hourAgo.Add(time.Minute), nil) }, []string{"valid from", "renew it", "clock"}},
		"a broker that is not valid yet": {func(t *testing.T) *site { return newSite(t, inAnHour, inAnHour.Add(time.Minute), nil) }, []string{"valid from", "clock"}},
		"a broker of another name":       {func(t *testing.T) *site { s := plain(t); s.conf.ServerName = "kafka.example"; return s }, []string{"ALMANAC_KAFKA_SERVER_NAME"}},
		"a broker without TLS": {func(t *testing.T) *site {
			s := plain(t)
			bare, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(bare.Close)
			s.addr = bare.ListenAddrs()[0]
			return s
		}, []string{"TLS"}},
		"a client without TLS":           {func(t *testing.T) *site { s := plain(t); s.conf = secure.Access{}; return s }, []string{"ALMANAC_KAFKA_CA"}},
		"a client without a certificate": {mutual, []string{"ALMANAC_KAFKA_CERT and ALMANAC_KAFKA_KEY"}},
		"a client of another authority":  {func(t *testing.T) *site { return client(mutual(t), certstest.NewAuthority(t, "x"), hourAgo, inAnHour) }, []string{"refuses the certificate", "ALMANAC_KAFKA_CERT"}},
		"a client that expired":          {func(t *testing.T) *site { return client(mutual(t), clients, hourAgo, hourAgo.Add(time.Minute)) }, []string{`"client"`, "expired at", "client.crt"}},
		"a client that is not valid yet": {func(t *testing.T) *site { return client(mutual(t), clients, inAnHour, inAnHour.Add(time.Minute)) }, []string{`"client"`, "is not valid before", "clock"}},
		"a certificate that is missing":  {func(t *testing.T) *site { s := plain(t); s.conf.Cert, s.conf.Key = "no.crt", "no.key"; return s }, []string{"ALMANAC_KAFKA_CERT", "no.crt"}},
		"an authority without one":       {func(t *testing.T) *site { s := plain(t); put(t, s.conf.CA, "nothing"); return s }, []string{"ALMANAC_KAFKA_CA", "PEM"}},
		"a password that is missing":     {func(t *testing.T) *site { s := plain(t); s.conf.User, s.conf.PasswordFile = "u", "no.file"; return s }, []string{"ALMANAC_KAFKA_PASSWORD_FILE", "no.file"}},
		"a password that is wrong": {func(t *testing.T) *site {
			s := newSite(t, hourAgo, inAnHour, nil, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "u", "right"))
			s.conf.User, s.conf.PasswordFile = "u", filepath.Join(s.dir, "password")
			put(t, s.conf.PasswordFile, "wrong-secret\n")
			return s
		}, []string{"user u", "ALMANAC_KAFKA_PASSWORD_FILE"}},
		"nobody listens": {func(t *testing.T) *site { s := plain(t); s.fake.Close(); return s }, []string{"no broker answers", "127.0.0.1:", "refused"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := tt.site(t)
			began := time.Now()
			_, err := s.open(t)
			if tt.says == nil && err != nil {
				t.Fatal(err)
			}
			for _, part := range tt.says {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("Open = %v, want it to say %q", err, part)
				}
			}
			if waits := name == "nobody listens" || name == "a broker without TLS"; err != nil && kafka.Passing(err) != waits {
				t.Errorf("Open = %v, of which it is said that waiting helps: %v, want %v", err, !waits, waits)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("Open tells the password: %v", err)
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("it took %s to say so", took)
			}
		})
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ask asks on a new connection.
func ask(t *testing.T, c *link.Cluster) error {
	t.Helper()
	cl, err := c.Client(kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	return c.Explain(cl.Ping(t.Context()), "Describe", "")
}

func TestWhatIsRotatedCountsWithoutARestart(t *testing.T) {
	clients, next := certstest.NewAuthority(t, "clients"), certstest.NewAuthority(t, "next")
	s := newSite(t, hourAgo, inAnHour, clients)
	s.conf.Cert, s.conf.Key, _ = clients.Issue(s.dir, "client", hourAgo, inAnHour)
	c, err := s.open(t)
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, port, err = hostPort(s.addr); err != nil {
		t.Fatal(err)
	}

	// The broker comes back with certificates of other authorities on both sides.
	s.fake.Close()
	s.ca = next
	s.start(t, hourAgo, inAnHour, next, kfake.Ports(port))
	if err := ask(t, c); err == nil || !strings.Contains(err.Error(), "ALMANAC_KAFKA_CA") {
		t.Errorf("before the authority is rotated: %v", err)
	}
	next.WriteCA(s.conf.CA)
	if err := ask(t, c); err == nil || !strings.Contains(err.Error(), "refuses the certificate") {
		t.Errorf("before the certificate is rotated: %v", err)
	}
	next.Issue(s.dir, "client", hourAgo, inAnHour)
	if err := ask(t, c); err != nil {
		t.Errorf("after all is rotated: %v", err)
	}

	// A half-written pair or authority does not count.
	key, _ := os.ReadFile(s.conf.Key)
	put(t, s.conf.Key, "half")
	put(t, s.conf.CA, "-----BEGIN")
	if err := ask(t, c); err != nil {
		t.Errorf("while files are being written: %v", err)
	}
	put(t, s.conf.Key, string(key))
	next.WriteCA(s.conf.CA)

	// The old clients of the cluster go on too: they connect anew by themselves.
	if _, err := c.Metadata(t.Context()); err != nil {
		t.Errorf("a client from before: %v", err)
	}
	next.Issue(s.dir, "client", hourAgo, hourAgo.Add(time.Second))
	if err := ask(t, c); err == nil || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("after it expired: %v", err)
	}
}

// TestAPasswordThatIsRotatedCountsWithoutARestart runs against the real broker too.
func TestAPasswordThatIsRotatedCountsWithoutARestart(t *testing.T) {
	lab := kafkatest.Secured(t)
	cfg := lab.UserConfig(t, "test-rotated")
	c := kafkatest.Open(t, cfg)
	if err := ask(t, c); err != nil {
		t.Fatal(err)
	}
	admin := kafkatest.Open(t, lab.AdminConfig())
	password := rand.Text()
	set, err := admin.Admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: "test-rotated", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
	if err != nil || set.Error() != nil {
		t.Fatal(err, set.Error())
	}
	until(t, "the old password is refused", func() bool {
		err := ask(t, c)
		return err != nil && strings.Contains(err.Error(), "ALMANAC_KAFKA_PASSWORD_FILE")
	})
	put(t, cfg.Access.PasswordFile, password)
	until(t, "the new password is taken", func() bool { return ask(t, c) == nil })
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 100 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: never", what)
}

func hostPort(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(p)
	}
	return host, port, err
}

// TestACertificateThatIsRotatedOnARealBroker changes who the client is while it runs.
func TestACertificateThatIsRotatedOnARealBroker(t *testing.T) {
	lab := kafkatest.Need(t, true)
	dir := t.TempDir()
	be := func(who string) {
		for _, ext := range []string{".crt", ".key"} {
			b, err := os.ReadFile(filepath.Join(lab["LAB_ROOT"], "keys", who+ext))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "client"+ext), string(b))
		}
	}
	be("stranger")
	cfg := lab.Config()
	cfg.Brokers = []string{lab["KAFKA_MTLS"]}
	cfg.Access = secure.Access{CA: lab["ALMANAC_KAFKA_CA"], Cert: filepath.Join(dir, "client.crt"), Key: filepath.Join(dir, "client.key")}
	c := kafkatest.Open(t, cfg)
	const topic = "almanac.fact.stored"
	look := func() error {
		cl, err := c.Client(kgo.RequestRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		seen, err := kadm.NewClient(cl).Metadata(t.Context(), topic)
		if err == nil {
			err = seen.Topics[topic].Err
		}
		return c.Explain(err, "Describe", topic)
	}
	if err := look(); err == nil || !strings.Contains(err.Error(), "user stranger lacks the right to Describe topic "+topic) {
		t.Errorf("as stranger: %v", err)
	}
	be("admin")
	if err := look(); err != nil && !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("as admin: %v", err)
	}
	foreign := certstest.NewAuthority(t, "foreign")
	foreign.Issue(dir, "client", hourAgo, inAnHour)
	if err := look(); err == nil || !strings.Contains(err.Error(), "refuses the certificate") {
		t.Errorf("with a certificate of another authority: %v", err)
	}
	cfg.Access.Cert, cfg.Access.Key = "", ""
	if _, err := link.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "ALMANAC_KAFKA_CERT") {
		t.Errorf("without a certificate: %v", err)
	}
}
