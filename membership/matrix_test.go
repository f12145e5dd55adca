package membership

import (
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawMatrix draws who hears whom among n nodes with two links.
func drawMatrix(t *rapid.T, n int) Matrix {
	var m Matrix
	for a := 1; a <= n; a++ {
		if rapid.IntRange(0, 9).Draw(t, "known") == 0 {
			continue
		}
		r := Row{Node: NodeID(a)}
		for b := 1; b <= n; b++ {
			// Mostly connected, as clusters are.
			l := LinkSet(rapid.SampledFrom([]int{0, 1, 2, 3, 3, 3, 3}).Draw(t, "links"))
			if a != b && l != 0 {
				r.Heard = append(r.Heard, Heard{NodeID(b), l})
			}
			if a != b && rapid.IntRange(0, 19).Draw(t, "stream") == 0 {
				r.NoStream = append(r.NoStream, NodeID(b))
			}
		}
		m = append(m, r)
	}
	return m
}

// Best agrees with trying all sets.
func TestMatrix_BestAgainstAllSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		m := drawMatrix(t, n)
		var members []Member
		voters := 0
		for i := range n {
			v := rapid.Bool().Draw(t, "voter")
			if v {
				voters++
			}
			members = append(members, Member{ID: NodeID(i + 1), Voter: v})
		}
		needed := voters/2 + 1
		leader := NodeID(rapid.IntRange(0, n).Draw(t, "leader"))
		type rank [4]int
		var want []NodeID
		var wantRank rank
		for set := 1; set < 1<<n; set++ {
			var ids []NodeID
			r := rank{}
			for i := range n {
				if set&(1<<i) == 0 {
					continue
				}
				ids = append(ids, NodeID(i+1))
				if NodeID(i+1) == leader {
					r[1] = 1
				}
				if members[i].Voter {
					r[2]++
				}
			}
			r[0] = len(ids)
			// The set with the lowest number in which two differ comes first: numbers from the low end.
			r[3] = int(bits.Reverse16(uint16(set)))
			ok := r[2] >= needed
			for i, a := range ids {
				for _, b := range ids[:i] {
					ok = ok && m.Connected(a, b)
				}
			}
			if ok && (want == nil || slices.Compare(r[:], wantRank[:]) > 0) {
				want, wantRank = ids, r
			}
		}
		if got := m.Best(members, needed, leader); !slices.Equal(got, want) {
			t.Fatalf("Best() = %v, want %v", got, want)
		}
	})
}

// Two sets with a majority of the same voters always share a voter, whoever computes them and from whatever.
func TestMatrix_BestNeverTwoMajorities(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "n")
		var members []Member
		for i := range n {
			members = append(members, Member{ID: NodeID(i + 1), Voter: true})
		}
		a := drawMatrix(t, n).Best(members, n/2+1, 0)
		b := drawMatrix(t, n).Best(members, n/2+1, 0)
		if a == nil || b == nil {
			return
		}
		if !slices.ContainsFunc(a, func(id NodeID) bool { return slices.Contains(b, id) }) {
			t.Fatalf("disjoint majorities %v and %v of %d", a, b, n)
		}
	})
}

func TestMatrix_Connected(t *testing.T) {
	t.Parallel()
	row := func(id NodeID, peer NodeID, l LinkSet, bad ...NodeID) Row {
		return Row{Node: id, Heard: []Heard{{peer, l}}, NoStream: bad}
	}
	tests := []struct {
		name string
		m    Matrix
		want bool
	}{
		{"both on one link", Matrix{row(1, 2, 1), row(2, 1, 1)}, true},
		{"different links", Matrix{row(1, 2, 1), row(2, 1, 2)}, false},
		{"one way", Matrix{row(1, 2, 1), row(2, 3, 1)}, false},
		{"no row", Matrix{row(1, 2, 1)}, false},
		{"no stream", Matrix{row(1, 2, 1), row(2, 1, 1, 1)}, false},
	}
	for _, tt := range tests {
		if got := tt.m.Connected(1, 2); got != tt.want {
			t.Errorf("%s: Connected(1, 2) = %v, want %v", tt.name, got, tt.want)
		}
		if got := tt.m.Connected(2, 1); got != tt.want {
			t.Errorf("%s: Connected(2, 1) = %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The worst matrix for the search (every node lacks one partner) ends, with a set that has quorum.
func TestMatrix_BestIsBounded(t *testing.T) {
	t.Parallel()
	var m Matrix
	var members []Member
	for a := range MaxMembers {
		r := Row{Node: NodeID(a + 1)}
		for b := range MaxMembers {
			if b != a && b/3 != a/3 {
				r.Heard = append(r.Heard, Heard{NodeID(b + 1), 1})
			}
		}
		m = append(m, r)
		members = append(members, Member{ID: NodeID(a + 1), Voter: true})
	}
	if got := m.Best(members, 20, 0); len(got) != 22 {
		t.Errorf("Best() found %d nodes, want 22", len(got))
	}
	if got := m.Best(members, 33, 0); got != nil {
		t.Errorf("Best() = %v, want none: no set has 33 nodes", got)
	}
}

func BenchmarkBest(b *testing.B) {
	var m Matrix
	var members []Member
	for a := range MaxMembers {
		r := Row{Node: NodeID(a + 1)}
		for p := range MaxMembers {
			if p != a && a+p != 20 && a+p != 31 {
				r.Heard = append(r.Heard, Heard{NodeID(p + 1), 1})
			}
		}
		m = append(m, r)
		members = append(members, Member{ID: NodeID(a + 1), Voter: true})
	}
	for b.Loop() {
		m.Best(members, 33, 1)
	}
}
