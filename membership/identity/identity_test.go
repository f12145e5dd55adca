package identity

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNodeName_Validate(t *testing.T) {
	t.Parallel()
	for _, n := range []NodeName{"a", "n1", "web-1.example.org", "A_b", NodeName(strings.Repeat("x", MaxNameLength))} {
		if err := n.Validate(); err != nil {
			t.Errorf("%q: %v", n, err)
		}
	}
	for n, want := range map[NodeName]string{
		"": "is empty", "-a": "'-' at position 1", "a b": "' ' at position 2", "ä": "position 1", "a/b": "'/'", "a\n": `'\n'`,
		NodeName(strings.Repeat("x", MaxNameLength+1)): "has 256 bytes, at most 255",
	} {
		if err := n.Validate(); !errors.Is(err, ErrName) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", n, err, want)
		}
	}
}

func TestInstant_AddStaysInRange(t *testing.T) {
	t.Parallel()
	const most, least = Instant(1<<63 - 1), Instant(-1 << 63)
	if got := most.Add(time.Hour); got != most {
		t.Errorf("end of time plus an hour = %d", got)
	}
	if got := least.Add(-time.Hour); got != least {
		t.Errorf("begin of time minus an hour = %d", got)
	}
	if got := Instant(5).Add(7).Sub(2); got != 10 {
		t.Errorf("5+7-2 = %d", got)
	}
}

func TestLinkSet(t *testing.T) {
	t.Parallel()
	s := Links(3, 0, 7, 8, 200)
	if got := s.IDs(); !slices.Equal(got, []LinkID{0, 3, 7}) {
		t.Errorf("links %v, want 0, 3, 7", got)
	}
	if s.Has(8) || s.Has(1) || s.Without(3).Has(3) || s.Without(99) != s {
		t.Errorf("wrong set operations on %b", s)
	}
}
