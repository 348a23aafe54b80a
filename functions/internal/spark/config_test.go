package spark_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/almanac-data/almanac/functions/internal/query/querytest"
	"github.com/almanac-data/almanac/functions/internal/spark"
	"github.com/almanac-data/almanac/functions/internal/spark/sparktest"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigChecksAllAtOnce(t *testing.T) {
	token := file(t, "dG9rZW4=\n")
	for name, c := range map[string]struct {
		config spark.Config
		want   []string // one for each line
	}{
		"no Spark":                     {spark.Config{}, nil},
		"a server":                     {spark.Config{Server: "sc://spark.example:15002"}, nil},
		"a server with no port":        {spark.Config{Server: "sc://spark.example"}, nil},
		"a token over TLS":             {spark.Config{Server: "sc://spark.example", TokenFile: token, CA: "system"}, nil},
		"a token to this machine":      {spark.Config{Server: "sc://127.0.0.1:15002", TokenFile: token}, nil},
		"a token to this machine by 6": {spark.Config{Server: "sc://[::1]", TokenFile: token}, nil},
		"a token in plain text":        {spark.Config{Server: "sc://spark.example", TokenFile: token}, []string{"ALMANAC_SPARK_TOKEN_FILE needs TLS, as spark.example is another machine: set ALMANAC_SPARK_CA"}},
		"a token for no server":        {spark.Config{TokenFile: token}, []string{"ALMANAC_SPARK_TOKEN_FILE is set, but ALMANAC_SPARK is not"}},
		"an authority for no server":   {spark.Config{CA: "system"}, []string{"ALMANAC_SPARK_CA is set, but ALMANAC_SPARK is not"}},
		"another scheme":               {spark.Config{Server: "spark://master:7077"}, []string{"ALMANAC_SPARK must be sc://host:port"}},
		"parameters in the address":    {spark.Config{Server: "sc://host:1/;token=x"}, []string{"ALMANAC_SPARK must be sc://host:port"}},
		"several mistakes": {
			spark.Config{Server: "host:1", TokenFile: "/nowhere", CA: file(t, "x"), Heartbeat: -1},
			[]string{"ALMANAC_SPARK must", "ALMANAC_SPARK_TOKEN_FILE cannot be used", "ALMANAC_SPARK_CA cannot be used", "ALMANAC_SPARK_HEARTBEAT must be"},
		},
		"a token of two words": {spark.Config{Server: "sc://localhost", TokenFile: file(t, "Bearer x")}, []string{"must hold one word"}},
	} {
		if c.config.Heartbeat == 0 {
			c.config.Heartbeat = time.Minute
		}
		err := c.config.Check()
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if len(lines) != len(c.want) {
			t.Errorf("%s: Check() = %q, want %q", name, lines, c.want)
			continue
		}
		for i := range lines {
			if !strings.Contains(lines[i], c.want[i]) {
				t.Errorf("%s: Check() = %q, want %q", name, lines, c.want)
			}
		}
	}
	if err := (spark.Required{Config: spark.Config{Heartbeat: 1}}).Check(); err == nil || !strings.Contains(err.Error(), "ALMANAC_SPARK is not set") {
		t.Errorf("Check() of one that is required = %v", err)
	}
}

// TestTokenAndTLS calls a server that wants a token with each call, which the library's own builder would drop.
func TestTokenAndTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate, which holds for 127.0.0.1
	defer web.Close()
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})))
	secured := grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	token := file(t, "dG9rZW4=\n")
	early, earlyCA := notYetValid(t)
	for name, c := range map[string]struct {
		options []grpc.ServerOption
		config  spark.Config
		want    string
	}{
		"a token over TLS":           {[]grpc.ServerOption{secured}, spark.Config{TokenFile: token, CA: ca}, ""},
		"a token to this machine":    {nil, spark.Config{TokenFile: token}, ""},
		"no token":                   {nil, spark.Config{}, "ALMANAC_SPARK_TOKEN_FILE"},
		"another authority":          {[]grpc.ServerOption{secured}, spark.Config{TokenFile: token, CA: "system"}, "certificate"},
		"a certificate of tomorrow":  {[]grpc.ServerOption{early}, spark.Config{TokenFile: token, CA: earlyCA}, "see the clock of this machine, and the certificate of the server (ALMANAC_SPARK)"},
		"plain text to a TLS server": {[]grpc.ServerOption{secured}, spark.Config{TokenFile: token}, "spark:"},
		"TLS to a plain text server": {nil, spark.Config{TokenFile: token, CA: ca}, "spark:"},
	} {
		s := sparktest.Start(t, c.options...)
		for _, method := range []string{"Config", "AnalyzePlan", "ExecutePlan", "ReleaseSession"} {
			s.On(method, func(call *sparktest.Call) error {
				if !slices.Equal(call.Header.Get("authorization"), []string{"Bearer dG9rZW4="}) {
					return status.Error(codes.Unauthenticated, "Invalid token")
				}
				switch method {
				case "AnalyzePlan":
					return call.Send(oneLong)
				case "Config":
					return call.Send("{}")
				case "ReleaseSession":
					return call.SendProgress(0, 0, 0) // any message
				}
				return nil
			})
		}
		c.config.Server, c.config.Heartbeat = "sc://"+s.Address, time.Minute
		e, err := spark.Open(context.Background(), c.config, nil)
		if err != nil {
			t.Errorf("%s: Open = %v", name, err)
			continue
		}
		_, err = querytest.Rows(t, e, one)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
		e.Close(context.Background())
	}
}

// notYetValid makes a server's certificate that holds from tomorrow on, and the file of who trusts it.
func notYetValid(t *testing.T) (server grpc.ServerOption, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(24 * time.Hour)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: from.Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})),
		file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}
