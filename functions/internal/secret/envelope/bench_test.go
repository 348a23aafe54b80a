package envelope_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/almanac-data/almanac/functions/internal/secret/vaulttest"
)

// BenchmarkRealDataKey measures what a slice asks for: the data key of its window, which is there or is made, with the files of a local warehouse,
// by a key file and by a real OpenBao; and how long it takes to wrap a thousand anew.
func BenchmarkRealDataKey(b *testing.B) {
	bao := vaulttest.Start(b)
	dir := b.TempDir()
	for name, j := range map[string]job{
		"file": {Warehouse: filepath.Join(dir, "a"), KeyFile: filepath.Join(dir, "envelope.key")}, "store": {Warehouse: filepath.Join(dir, "b"), Store: login(b, bao)},
	} {
		ring, done, err := j.open(b.Context(), -1)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(done)
		n := 0
		b.Run(name+"/make", func(b *testing.B) {
			for b.Loop() {
				if _, err := ring.Ensure(b.Context(), "shop", fmt.Sprint(n)); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
		b.Run(name+"/use", func(b *testing.B) {
			for b.Loop() {
				if _, err := ring.Key(b.Context(), "shop", "0"); err != nil {
					b.Fatal(err)
				}
			}
		})
		for ; n < 1000; n++ {
			if _, err := ring.Ensure(b.Context(), "shop", fmt.Sprint(n)); err != nil {
				b.Fatal(err)
			}
		}
		if j.Store == nil {
			continue
		}
		b.Run(name+"/rewrap", func(b *testing.B) {
			for b.Loop() {
				bao.Call(b, "POST", "transit/keys/almanac-rows/rotate", nil)
				sum, err := ring.Rewrap(b.Context(), "shop")
				if err != nil || sum.Changed != sum.Keys {
					b.Fatal(sum, err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}
