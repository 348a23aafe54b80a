// Package client asks the servers of a lab how they are, and tells them what they must know, as their operator.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/tests/lab/internal/site"
)

// Client speaks to the servers of one site.
type Client struct{ Site *site.Site }

// Dial connects and hangs up.
func Dial(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Kafka asks a broker for the cluster's metadata as admin: it is among the brokers when it has caught up with the controller.
func (c Client) Kafka(ctx context.Context, name string) error {
	return c.asAdmin(ctx, name, func(ctx context.Context, admin *kadm.Client) error {
		brokers, err := admin.ListBrokers(ctx)
		if err == nil && !slices.ContainsFunc(brokers, func(b kadm.BrokerDetail) bool { return int(b.Port) == c.Site.Port(name+"-mtls") }) {
			return errors.New("it has not registered")
		}
		return err
	})
}

func (c Client) asAdmin(ctx context.Context, name string, do func(context.Context, *kadm.Client) error) error {
	conf, err := c.tls("admin")
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Site.Addr(name+"-mtls")), kgo.DialTLSConfig(conf), kgo.RequestRetries(1))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return do(ctx, kadm.NewClient(client))
}

// tls trusts the lab's authority; with a name it also shows that client's certificate.
func (c Client) tls(name string) (*tls.Config, error) {
	ca, err := os.ReadFile(c.Site.Path("keys", "ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	conf := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13, ServerName: c.Site.Host}
	if name == "" {
		return conf, nil
	}
	cert, err := tls.LoadX509KeyPair(c.Site.Path("keys", name+".crt"), c.Site.Path("keys", name+".key"))
	conf.Certificates = []tls.Certificate{cert}
	return conf, err
}

// bean reads one management bean of a Hadoop server.
func (c Client) bean(ctx context.Context, web, name string, to any) error {
	var answer struct {
		Beans []json.RawMessage `json:"beans"`
	}
	if err := c.get(ctx, c.Site.URL(web)+"/jmx?qry="+url.QueryEscape(name), &answer); err != nil {
		return err
	}
	if len(answer.Beans) == 0 {
		return fmt.Errorf("it has no bean %s yet", name)
	}
	return json.Unmarshal(answer.Beans[0], to)
}

// NameNode wants it out of safe mode.
func (c Client) NameNode(ctx context.Context) error {
	var info struct{ Safemode string }
	if err := c.bean(ctx, "namenode-web", "Hadoop:service=NameNode,name=NameNodeInfo", &info); err != nil {
		return err
	}
	if info.Safemode != "" {
		return errors.New(info.Safemode)
	}
	return nil
}

// DataNode asks the DataNode whether it serves the NameNode: the NameNode believes in a dead one for a while.
func (c Client) DataNode(ctx context.Context, name string) error {
	var info struct{ BPServiceActorInfo string }
	if err := c.bean(ctx, name+"-web", "Hadoop:service=DataNode,name=DataNodeInfo", &info); err != nil {
		return err
	}
	if !strings.Contains(info.BPServiceActorInfo, `"ActorState":"RUNNING"`) {
		return fmt.Errorf("it does not serve the NameNode yet: %s", info.BPServiceActorInfo)
	}
	return nil
}

// ResourceManager asks for its state.
func (c Client) ResourceManager(ctx context.Context) error {
	var info struct {
		ClusterInfo struct{ State string } `json:"clusterInfo"`
	}
	if err := c.get(ctx, c.Site.URL("rm-web")+"/ws/v1/cluster/info", &info); err != nil {
		return err
	}
	if info.ClusterInfo.State != "STARTED" {
		return fmt.Errorf("its state is %s", info.ClusterInfo.State)
	}
	return nil
}

// NodeManager asks the node how it is, and the ResourceManager whether it knows the node.
func (c Client) NodeManager(ctx context.Context) error {
	var node struct {
		NodeInfo struct {
			NodeHealthy  bool   `json:"nodeHealthy"`
			HealthReport string `json:"healthReport"`
		} `json:"nodeInfo"`
	}
	if err := c.get(ctx, c.Site.URL("nodemanager-web")+"/ws/v1/node/info", &node); err != nil {
		return err
	}
	if !node.NodeInfo.NodeHealthy {
		return fmt.Errorf("it is unhealthy: %s", node.NodeInfo.HealthReport)
	}
	var list struct {
		Nodes *struct {
			Node []json.RawMessage `json:"node"`
		} `json:"nodes"`
	}
	if err := c.get(ctx, c.Site.URL("rm-web")+"/ws/v1/cluster/nodes?states=RUNNING", &list); err != nil {
		return err
	}
	if list.Nodes == nil || len(list.Nodes.Node) == 0 {
		return errors.New("the ResourceManager does not know it yet")
	}
	return nil
}

// Spark wants an open port and an application that runs on YARN.
func (c Client) Spark(ctx context.Context, port string) error {
	if err := Dial(ctx, c.Site.Addr(port)); err != nil {
		return err
	}
	var list struct {
		Apps *struct {
			App []json.RawMessage `json:"app"`
		} `json:"apps"`
	}
	if err := c.get(ctx, c.Site.URL("rm-web")+"/ws/v1/cluster/apps?states=RUNNING&user=spark", &list); err != nil {
		return err
	}
	if list.Apps == nil || len(list.Apps.App) == 0 {
		return errors.New("YARN runs no application of Spark's")
	}
	return nil
}

// Proxy shakes hands as a gRPC client would.
func (c Client) Proxy(ctx context.Context) error {
	conf, err := c.tls("")
	if err != nil {
		return err
	}
	conf.NextProtos = []string{"h2"}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 2 * time.Second}, Config: conf}
	conn, err := d.DialContext(ctx, "tcp", c.Site.Addr("spark"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if p := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != "h2" {
		return fmt.Errorf("it chose the protocol %q, not h2", p)
	}
	return nil
}

// get reads JSON from a web listener as operator.
func (c Client) get(ctx context.Context, url string, to any) error {
	b, err := c.curl(ctx, "GET", url)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// curl asks a web listener of Hadoop as operator. In the secured form these want SPNEGO, which curl speaks.
func (c Client) curl(ctx context.Context, method, url string) ([]byte, error) {
	args := []string{"-sS", "--fail-with-body", "--max-time", "10", "-X", method}
	if c.Site.Secure {
		args = append(args, "--cacert", c.Site.Path("keys", "ca.crt"), "--negotiate", "-u", ":")
	}
	cmd := exec.CommandContext(ctx, "curl", append(args, url)...)
	cmd.Env = append(os.Environ(), c.Site.Kerberos()...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %s %s", method, url, bytes.TrimSpace(stderr.Bytes()), bytes.TrimSpace(out[:min(len(out), 500)]))
	}
	return out, nil
}
