// Package reassign moves replicas of partitions between brokers: onto those that were added, and off those that are to go.
package reassign

import (
	"cmp"
	"fmt"
	"slices"
)

// Partition is where the replicas of a partition lie; the first of them is the one that leads it where it can.
type Partition struct {
	Topic    string  `json:"topic"`
	ID       int32   `json:"partition"`
	Replicas []int32 `json:"replicas"`
}

// Move gives a partition other replicas. Each broker that is taken away has one that takes its place, so there are as many as before.
type Move struct {
	Partition

	To []int32 `json:"to"`
}

// Spread says what to move so that each of the brokers has as many replicas as the others, give or take one, and moves no more than that takes. Of a topic
// that a broker has most of it moves first. A broker that is not named keeps what it has: one that is only away comes back.
func Spread(partitions []Partition, brokers []int32) []Move {
	l := layOut(partitions, brokers)
	for l.step() {
		// Each step lowers the sum of the squares of the numbers of replicas, so there are only so many.
	}
	return l.moves(partitions)
}

// Drain says what to move so that none of the brokers in off has a replica; those that take them are the others, of which each gets what makes them most alike. It is an error
// if the others are fewer than a partition has replicas.
func Drain(partitions []Partition, brokers, off []int32) ([]Move, error) {
	rest := slices.DeleteFunc(slices.Clone(brokers), func(id int32) bool { return slices.Contains(off, id) })
	l := layOut(partitions, rest)
	var short []Partition
	for i, p := range l.partitions {
		for at, id := range p.Replicas {
			if !slices.Contains(off, id) {
				continue
			}
			to, found := l.lightest(i)
			if !found {
				short = append(short, p)
				break
			}
			l.put(i, at, to)
		}
	}
	if len(short) > 0 {
		return nil, fmt.Errorf("%d brokers would be left, and %d partitions have more replicas, such as partition %d of %s with %d: "+
			"add a broker, or lower their numbers of replicas",
			len(rest), len(short), short[0].ID, short[0].Topic, len(short[0].Replicas))
	}
	return l.moves(partitions), nil
}

// layout is where all replicas are to lie.
type layout struct {
	brokers    []int32
	partitions []Partition
	all        map[int32]int            // replicas of a broker
	leading    map[int32]int            // partitions that a broker leads where it can
	of         map[string]map[int32]int // replicas of a topic on a broker
}

func layOut(partitions []Partition, brokers []int32) *layout {
	l := &layout{brokers: slices.Sorted(slices.Values(brokers)), all: map[int32]int{}, leading: map[int32]int{}, of: map[string]map[int32]int{}}
	for _, p := range partitions {
		p.Replicas = slices.Clone(p.Replicas)
		l.partitions = append(l.partitions, p)
	}
	slices.SortFunc(l.partitions, compare)
	for _, p := range l.partitions {
		if l.of[p.Topic] == nil {
			l.of[p.Topic] = map[int32]int{}
		}
		for at, id := range p.Replicas {
			l.count(p.Topic, at, id, 1)
		}
	}
	return l
}

func compare(a, b Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
}

func (l *layout) count(topic string, at int, id int32, n int) {
	l.all[id] += n
	l.of[topic][id] += n
	if at == 0 {
		l.leading[id] += n
	}
}

// put gives the place of a replica to another broker.
func (l *layout) put(partition, at int, to int32) {
	p := l.partitions[partition]
	l.count(p.Topic, at, p.Replicas[at], -1)
	l.count(p.Topic, at, to, 1)
	p.Replicas[at] = to
}

// lightest is the broker that has the fewest replicas of a partition's topic, and of all, among those that have none of the partition.
func (l *layout) lightest(partition int) (int32, bool) {
	p := l.partitions[partition]
	free := slices.DeleteFunc(slices.Clone(l.brokers), func(id int32) bool { return slices.Contains(p.Replicas, id) })
	if len(free) == 0 {
		return 0, false
	}
	return slices.MinFunc(free, func(a, b int32) int {
		return cmp.Or(cmp.Compare(l.of[p.Topic][a], l.of[p.Topic][b]), cmp.Compare(l.all[a], l.all[b]), cmp.Compare(a, b))
	}), true
}

// step moves one replica from a broker to one that has at least two less, if there is such a pair.
func (l *layout) step() bool {
	byLoad := slices.SortedFunc(slices.Values(l.brokers), func(a, b int32) int { return cmp.Or(cmp.Compare(l.all[b], l.all[a]), cmp.Compare(a, b)) })
	for _, from := range byLoad {
		for _, to := range slices.Backward(byLoad) {
			if l.all[from]-l.all[to] < 2 {
				break
			}
			if partition, at, found := l.best(from, to); found {
				l.put(partition, at, to)
				return true
			}
		}
	}
	return false
}

// best is the replica that had better lie on another broker: of the topic that is spread least evenly between the two, and one that leads if the one leads more than the
// other.
func (l *layout) best(from, to int32) (partition, at int, found bool) {
	most := [2]int{}
	for i, p := range l.partitions {
		where := slices.Index(p.Replicas, from)
		if where < 0 || slices.Contains(p.Replicas, to) {
			continue
		}
		worth := [2]int{l.of[p.Topic][from] - l.of[p.Topic][to], 0}
		if (where == 0) == (l.leading[from] > l.leading[to]) {
			worth[1] = 1
		}
		if !found || slices.Compare(worth[:], most[:]) > 0 {
			partition, at, found, most = i, where, true, worth
		}
	}
	return partition, at, found
}

// moves compares where replicas are to lie with where they do.
func (l *layout) moves(partitions []Partition) (moves []Move) {
	was := slices.SortedFunc(slices.Values(partitions), compare)
	for i, p := range was {
		if to := l.partitions[i].Replicas; !slices.Equal(p.Replicas, to) {
			moves = append(moves, Move{p, to})
		}
	}
	return moves
}
