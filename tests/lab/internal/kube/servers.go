package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/almanac-data/almanac/tests/lab/internal/artifact"
	"github.com/almanac-data/almanac/tests/lab/internal/server"
)

const etcd = "http://127.0.0.1:12379"

// registry starts before all others: images are pushed to it, and every pod comes out of it.
func (c *Cluster) registry() server.Server {
	return server.Server{
		Name: "registry", Reach: Registry, Listens: []string{Registry}, Patience: 30 * time.Second,
		Args:    []string{c.program("registry", "registry"), "serve", "-address", Registry, "-dir", c.path("registry")},
		Healthy: c.get("http://" + Registry + "/v2/"),
	}
}

// Servers lists the processes of the cluster in the order of their start.
func (c *Cluster) Servers() []server.Server {
	return []server.Server{c.etcd(), c.containerd(), c.apiserver(), c.controllers(), c.scheduler(), c.proxy(), c.dns(), c.kubelet(), c.policies()}
}

func (c *Cluster) etcd() server.Server {
	return server.Server{
		Name: "etcd", Reach: etcd, Stage: 0, Listens: []string{"127.0.0.1:12379", "127.0.0.1:12380"}, Patience: time.Minute,
		// What a crash of the machine loses is made anew by wiping: it is not worth a sync for each write.
		Args: []string{
			c.program("etcd", "etcd"), "--data-dir", c.path("data", "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
			"--listen-peer-urls", "http://127.0.0.1:12380", "--unsafe-no-fsync", "--log-level", "warn",
		},
		Healthy: c.get(etcd + "/health"),
	}
}

func (c *Cluster) containerd() server.Server {
	socket := c.path("run", "containerd.sock")
	return server.Server{
		Name: "containerd", Reach: socket, Stage: 0, Patience: time.Minute,
		Args: []string{artifact.Program("containerd"), "-c", c.path("conf", "containerd.toml")},
		Healthy: func(ctx context.Context) error {
			return run(ctx, artifact.Program("ctr"), "-a", socket, "version")
		},
	}
}

func (c *Cluster) apiserver() server.Server {
	keys := func(name string) string { return c.path("keys", name) }
	return server.Server{
		Name: "kube-apiserver", Reach: "https://" + IP + ":6443", Stage: 1, Listens: []string{IP + ":6443"}, Patience: 4 * time.Minute,
		Args: []string{
			c.program("kubernetes", "kube-apiserver"), "--etcd-servers=" + etcd, "--advertise-address=" + IP, "--bind-address=" + IP, "--secure-port=6443",
			"--tls-cert-file=" + keys("apiserver.crt"), "--tls-private-key-file=" + keys("apiserver.key"), "--client-ca-file=" + keys("ca.crt"),
			"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + keys("sa.crt"),
			"--service-account-signing-key-file=" + keys("sa.key"), "--service-cluster-ip-range=" + services,
			"--authorization-mode=Node,RBAC", "--allow-privileged=true",
			"--kubelet-client-certificate=" + keys("admin.crt"), "--kubelet-client-key=" + keys("admin.key"), "--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + keys("ca.crt"), "--requestheader-allowed-names=front-proxy", "--requestheader-username-headers=X-Remote-User",
			"--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + keys("front-proxy.crt"), "--proxy-client-key-file=" + keys("front-proxy.key"),
		},
		Healthy: c.get("https://" + IP + ":6443/readyz"), // says yes once the roles that the others need are there
	}
}

func (c *Cluster) controllers() server.Server {
	return server.Server{
		Name: "kube-controller-manager", Reach: "https://127.0.0.1:10257", Stage: 2, Listens: []string{"127.0.0.1:10257"}, Patience: time.Minute,
		Args: []string{
			c.program("kubernetes", "kube-controller-manager"), "--kubeconfig=" + c.Kubeconfig(), "--root-ca-file=" + c.path("keys", "ca.crt"),
			"--service-account-private-key-file=" + c.path("keys", "sa.key"), "--bind-address=127.0.0.1", "--leader-elect=false",
			"--use-service-account-credentials=true", "--tls-cert-file=" + c.path("keys", "managers.crt"), "--tls-private-key-file=" + c.path("keys", "managers.key"),
			"--flex-volume-plugin-dir=" + c.path("data", "plugins"),
		},
		Healthy: c.get("https://127.0.0.1:10257/healthz"),
	}
}

func (c *Cluster) scheduler() server.Server {
	return server.Server{
		Name: "kube-scheduler", Reach: "https://127.0.0.1:10259", Stage: 2, Listens: []string{"127.0.0.1:10259"}, Patience: time.Minute,
		Args: []string{
			c.program("kubernetes", "kube-scheduler"), "--kubeconfig=" + c.Kubeconfig(), "--bind-address=127.0.0.1", "--leader-elect=false",
			"--tls-cert-file=" + c.path("keys", "managers.crt"), "--tls-private-key-file=" + c.path("keys", "managers.key"),
		},
		Healthy: c.get("https://127.0.0.1:10259/healthz"),
	}
}

func (c *Cluster) proxy() server.Server {
	return server.Server{
		Name: "kube-proxy", Reach: "http://127.0.0.1:10256", Stage: 2, Listens: []string{"127.0.0.1:10256"}, Patience: time.Minute,
		Args: []string{
			c.program("kubernetes", "kube-proxy"), "--kubeconfig=" + c.Kubeconfig(), "--hostname-override=" + Node, "--proxy-mode=iptables",
			"--cluster-cidr=" + subnet, "--nodeport-addresses=" + IP + "/32", "--conntrack-max-per-core=0",
			"--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
		},
		Healthy: c.get("http://127.0.0.1:10256/livez"),
	}
}

// policies holds pods to their NetworkPolicies, of which the bridge knows nothing. It wants the node to be there. Its own
// report of its health would be open to the network: the chain that it leads all forwarded packets through tells as much.
func (c *Cluster) policies() server.Server {
	return server.Server{
		Name: "kube-router", Reach: "iptables, chain KUBE-ROUTER-FORWARD", Stage: 3, Patience: time.Minute,
		Args: []string{
			c.program("kube-router", "kube-router"), "--run-firewall=true", "--run-router=false", "--run-service-proxy=false",
			"--kubeconfig=" + c.Kubeconfig(), "--hostname-override=" + Node, "--service-cluster-ip-range=" + services,
			"--health-port=0", "--metrics-port=0",
		},
		Healthy: func(ctx context.Context) error {
			return run(ctx, artifact.Program("iptables"), "-w", "-n", "-L", "KUBE-ROUTER-FORWARD")
		},
	}
}

// dns answers beside the cluster, not in it: Eventing's pods end if they come up before it.
func (c *Cluster) dns() server.Server {
	return server.Server{
		Name: "coredns", Reach: IP + ":53", Stage: 2, Listens: []string{IP + ":53"}, Patience: time.Minute,
		Args: []string{c.program("coredns", "coredns"), "-conf", c.path("conf", "Corefile")},
		Healthy: func(ctx context.Context) error {
			r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, IP+":53")
			}}
			_, err := r.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
			return err
		},
	}
}

func (c *Cluster) kubelet() server.Server {
	return server.Server{
		Name: "kubelet", Reach: "https://" + IP + ":10250", Stage: 2, Listens: []string{IP + ":10250", "127.0.0.1:10248"}, Patience: 2 * time.Minute,
		Args: []string{
			c.program("kubernetes", "kubelet"), "--kubeconfig=" + c.Kubeconfig(), "--config=" + c.path("conf", "kubelet.yaml"), "--hostname-override=" + Node,
			"--node-ip=" + IP, "--root-dir=" + c.path("data", "kubelet"), "--cert-dir=" + c.path("data", "kubelet-pki"),
		},
		Healthy: c.get("http://127.0.0.1:10248/healthz"),
		Settle: func(ctx context.Context) error {
			if _, err := c.kubectl().Run(ctx, nil, "wait", "--for=create", "node/"+Node, "--timeout=60s"); err != nil {
				return err
			}
			_, err := c.kubectl().Run(ctx, nil, "wait", "--for=condition=Ready", "node/"+Node, "--timeout=120s")
			return err
		},
	}
}

// get wants status 200 of a URL, and shows the administrator's certificate to whoever asks for one.
func (c *Cluster) get(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, answer.Status)
		}
		return nil
	}
}

func (c *Cluster) client() (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca, err := os.ReadFile(c.path("keys", "ca.crt")); err == nil {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM(ca)
		pair, err := tls.LoadX509KeyPair(c.path("keys", "admin.crt"), c.path("keys", "admin.key"))
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: conf}}, nil
}
