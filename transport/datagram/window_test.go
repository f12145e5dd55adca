package datagram

import (
	"testing"

	"pgregory.net/rapid"
)

// The window agrees with a plain model: the set of all counters that were accepted.
func TestWindow_Model(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w window
		seen := map[uint64]bool{}
		top := uint64(0)
		for range rapid.IntRange(1, 400).Draw(t, "packets") {
			var c uint64
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				c = top + rapid.Uint64Range(0, 3).Draw(t, "ahead")
			case 1:
				c = top + rapid.Uint64Range(0, 3000).Draw(t, "far ahead")
			case 2:
				c = top - min(top, rapid.Uint64Range(0, 1100).Draw(t, "behind"))
			default:
				c = top - min(top, rapid.Uint64Range(1020, 1030).Draw(t, "edge"))
			}
			want := c != 0 && !seen[c] && c+windowSize > top
			if got := w.accept(c); got != want {
				t.Fatalf("accept(%d) with top %d = %v, want %v", c, top, got, want)
			}
			if want {
				seen[c] = true
				top = max(top, c)
			}
		}
	})
}

func TestWindow_Edges(t *testing.T) {
	t.Parallel()
	var w window
	for _, tc := range []struct {
		counter uint64
		want    bool
	}{
		{0, false}, {1, true}, {1, false}, {1 << 40, true}, {1, false}, {1<<40 - 1023, true}, {1<<40 - 1024, false},
		{1<<40 - 1023, false}, {^uint64(0), true}, {^uint64(0), false}, {^uint64(0) - 1023, true}, {^uint64(0) - 1024, false}, {0, false},
	} {
		if got := w.accept(tc.counter); got != tc.want {
			t.Fatalf("accept(%d) = %v, want %v", tc.counter, got, tc.want)
		}
	}
}
