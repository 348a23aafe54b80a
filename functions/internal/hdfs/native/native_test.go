package native_test

import (
	"net"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/native"
	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// A NameNode that accepts and says nothing, as one in a long collection of garbage, holds neither a call nor Close.
func TestSilentNameNode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := native.Dial(native.Config{NameNodes: []string{l.Addr().String()}, User: "almanac", Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := c.Replace("/x", "/y"); !remote.Unclear(err) {
		t.Errorf("Replace = %v, want an unclear error", err)
	}
	c.Close()
	c.Close()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
}

func TestNameNodeThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, err = native.Dial(native.Config{NameNodes: []string{l.Addr().String()}, User: "almanac", Timeout: time.Second})
	if err == nil || remote.Unclear(err) {
		t.Errorf("Dial = %v, want an error that says that nothing was asked", err)
	}
}
