package reassign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// apply is where all replicas lie after some moves.
func apply(partitions []Partition, moves []Move) []Partition {
	after := slices.Clone(partitions)
	for _, m := range moves {
		for i, p := range after {
			if p.Topic == m.Topic && p.ID == m.ID {
				after[i].Replicas = m.To
			}
		}
	}
	return after
}

// loads is how many replicas each broker has.
func loads(partitions []Partition) map[int32]int {
	n := map[int32]int{}
	for _, p := range partitions {
		for _, id := range p.Replicas {
			n[id]++
		}
	}
	return n
}

// topic is one of so many partitions, with replicas on three brokers.
func topic(name string, partitions int) (all []Partition) {
	for id := range partitions {
		first := int32(id % 3)
		all = append(all, Partition{name, int32(id), []int32{first + 1, (first+1)%3 + 1, (first+2)%3 + 1}})
	}
	return all
}

func TestSpreadGivesANewBrokerItsShare(t *testing.T) {
	before := slices.Concat(topic("facts", 1), topic("rows", 12), topic("__consumer_offsets", 12))
	moves := Spread(before, []int32{1, 2, 3, 4})
	after := apply(before, moves)
	for id, n := range loads(after) {
		if n < 18 || n > 19 { // 75 replicas on four brokers
			t.Errorf("broker %d has %d replicas, want 18 or 19", id, n)
		}
	}
	if n := loads(after)[4]; len(moves) != n {
		t.Errorf("%d partitions are moved for %d replicas of the new broker, want no more than that", len(moves), n)
	}
	leads := 0
	for _, p := range after {
		if p.Replicas[0] == 4 {
			leads++
		}
	}
	if leads < 5 || leads > 7 {
		t.Errorf("the new broker leads %d of 25 partitions, want about a quarter", leads)
	}
	for _, name := range []string{"rows", "__consumer_offsets"} {
		of := slices.DeleteFunc(slices.Clone(after), func(p Partition) bool { return p.Topic != name })
		if n := loads(of)[4]; n < 8 || n > 10 {
			t.Errorf("the new broker has %d of 36 replicas of %s, want about a quarter", n, name)
		}
	}
	if again := Spread(after, []int32{1, 2, 3, 4}); len(again) != 0 {
		t.Errorf("a second time it moves %v, want nothing", again)
	}
}

func TestDrainLeavesNothing(t *testing.T) {
	before := apply(topic("rows", 12), Spread(topic("rows", 12), []int32{1, 2, 3, 4}))
	moves, err := Drain(before, []int32{1, 2, 3, 4}, []int32{4})
	if err != nil {
		t.Fatal(err)
	}
	after := apply(before, moves)
	if got := loads(after); got[4] != 0 || got[1] != 12 || got[2] != 12 || got[3] != 12 {
		t.Errorf("replicas of brokers = %v, want 12 on each of the three others", got)
	}
	if again, err := Drain(after, []int32{1, 2, 3}, []int32{4}); err != nil || len(again) != 0 {
		t.Errorf("a second time, and with the broker stopped, it moves %v, %v, want nothing", again, err)
	}
}

func TestDrainWantsEnoughBrokers(t *testing.T) {
	for name, tt := range map[string]struct {
		brokers, off []int32
		says         string
	}{
		"three copies and two brokers": {[]int32{1, 2, 3}, []int32{3}, "2 brokers would be left, and 3 partitions have more replicas, such as partition 0 of rows with 3"},
		"no broker":                    {[]int32{1, 2, 3}, []int32{1, 2, 3}, "0 brokers would be left, and 3 partitions"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Drain(topic("rows", 3), tt.brokers, tt.off); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Drain = %v, want it to say %q", err, tt.says)
			}
		})
	}
}

// TestPlansHold makes clusters by chance, and wants of each plan that partitions keep their number of replicas, on brokers that are there, and that it is as even as
// replicas allow.
func TestPlansHold(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		n := 1 + r.IntN(6)
		var brokers []int32
		for id := range n {
			brokers = append(brokers, int32(id+1))
		}
		var before []Partition
		for name := range 1 + r.IntN(4) {
			copies := 1 + r.IntN(n)
			for id := range 1 + r.IntN(9) {
				ids := r.Perm(n)[:copies]
				p := Partition{Topic: fmt.Sprint("t", name), ID: int32(id)}
				for _, at := range ids {
					p.Replicas = append(p.Replicas, brokers[at])
				}
				before = append(before, p)
			}
		}
		spread := apply(before, Spread(before, brokers))
		hold(t, before, spread, brokers)
		got := loads(spread)
		least, most := got[brokers[0]], got[brokers[0]]
		for _, id := range brokers {
			least, most = min(least, got[id]), max(most, got[id])
		}
		if most-least > 1 {
			t.Errorf("of %v\nSpread makes %v\nwhere brokers have %v", before, spread, got)
		}
		off := brokers[:r.IntN(n)]
		moves, err := Drain(spread, brokers, off)
		if err == nil {
			hold(t, spread, apply(spread, moves), brokers[len(off):])
		}
	}
}

// hold wants the same partitions with as many replicas as before, each on another of the brokers.
func hold(t *testing.T, before, after []Partition, brokers []int32) {
	t.Helper()
	for i, p := range after {
		if b := before[i]; p.Topic != b.Topic || p.ID != b.ID || len(p.Replicas) != len(b.Replicas) {
			t.Fatalf("%v became %v", b, p)
		}
		for at, id := range p.Replicas {
			if !slices.Contains(brokers, id) || slices.Index(p.Replicas, id) != at {
				t.Fatalf("%v has broker %d, of %v", p, id, brokers)
			}
		}
	}
}
