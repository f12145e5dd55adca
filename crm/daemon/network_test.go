package daemon

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/quorate/quorate/transport/keyring"
	"github.com/quorate/quorate/transport/stream"
)

func TestRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		report stream.Report
		want   bool
	}{
		{stream.Report{Err: errors.New("no route to host"), Node: 2}, false},
		{stream.Report{Err: fmt.Errorf("handshake: %w", keyring.ErrCluster)}, true},
		{stream.Report{Err: fmt.Errorf("handshake: %w: x", keyring.ErrKey)}, true},
		{stream.Report{Err: &stream.RefusedError{Refusal: stream.RefusedVersion, Text: "too old"}}, true},
		{stream.Report{Err: &stream.RefusedError{Refusal: stream.RefusedStale, Text: "newer one"}}, false},
		{stream.Report{Err: io.EOF, Node: 2}, true},
		{stream.Report{Err: io.EOF}, false},
	} {
		if got := refusal(c.report); (got != "") != c.want {
			t.Errorf("refusal(%v) = %q, want a reason: %v", c.report, got, c.want)
		}
	}
}

// A machine that tries again every second is told of once, when that has lasted; and again when the reason is another
// one, or much later.
func TestRefuses(t *testing.T) {
	t.Parallel()
	n := &network{refused: map[netip.Addr]refused{}}
	a := netip.MustParseAddr("192.0.2.1")
	at := begin
	for i, c := range []struct {
		pause time.Duration
		text  string
		want  bool
	}{{0, "x", false}, {time.Second, "x", false}, {refusedAfter, "x", true}, {time.Second, "x", false}, {time.Second, "y", false}, {refusedAfter, "y", true}, {refusedAfter, "y", false}} {
		at = at.Add(c.pause)
		if got := n.refuses(a, c.text, at); got != c.want {
			t.Errorf("%d: refuses() = %v, want %v", i, got, c.want)
		}
	}
	for range refusedAgain / refusedAfter {
		at = at.Add(refusedAfter)
		if n.refuses(a, "y", at) {
			return
		}
	}
	t.Error("a reason that lasts is not told again")
}

func TestRefuses_Bounded(t *testing.T) {
	t.Parallel()
	n := &network{refused: map[netip.Addr]refused{}}
	for i := range 2 * maxRefused {
		n.refuses(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), "x", begin)
	}
	if len(n.refused) > maxRefused {
		t.Errorf("%d machines are remembered, at most %d", len(n.refused), maxRefused)
	}
	n.refuses(netip.MustParseAddr("10.9.9.9"), "x", begin.Add(time.Hour))
	if len(n.refused) != 1 {
		t.Errorf("%d are remembered, want the newest: old ones make room", len(n.refused))
	}
}
