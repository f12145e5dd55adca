package attribute

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/store/command"
)

// state has one attribute per name that waits with a dampening of 5 s; changed is the index of its last change.
func state(changed map[string]uint64) *command.State {
	s := command.New()
	for _, name := range []string{"a", "b", "c"} {
		if at, ok := changed[name]; ok {
			s.Attributes = append(s.Attributes, command.AttributeState{Name: name, DelayMS: 5000, Changed: at,
				Values: []command.AttributeValue{{Node: "n", Value: "1"}}})
		}
	}
	s.Attributes = append(s.Attributes, command.AttributeState{Name: "private", Private: true, Values: []command.AttributeValue{{Node: "n"}}})
	return s
}

func names(list []command.Attribute) string {
	text := ""
	for _, a := range list {
		if !a.Write {
			return fmt.Sprintf("a change that is no write: %+v", a)
		}
		text += a.Name
	}
	return text
}

func TestTimers(t *testing.T) {
	t.Parallel()
	var m Timers
	if _, ok := m.Deadline(); ok {
		t.Fatal("a deadline although nothing waits")
	}
	type step struct {
		at    time.Duration
		state map[string]uint64 // nil = no entry was applied
		retry bool
		want  string
	}
	for _, s := range []step{
		{at: 0, state: map[string]uint64{"a": 1}},
		{at: 3 * time.Second, state: map[string]uint64{"a": 1, "b": 2}},
		{at: 4 * time.Second, state: map[string]uint64{"a": 3, "b": 2}}, // a starts again
		{at: 7999 * time.Millisecond},
		{at: 8 * time.Second, want: "b"},
		{at: 9 * time.Second, want: "a"},
		{at: 10 * time.Second}, // both are asked for
		{at: 11 * time.Second, retry: true, want: "ab"},
		{at: 12 * time.Second, state: map[string]uint64{}}, // both were written
		{at: 60 * time.Second},
	} {
		if s.state != nil {
			m.Applied(state(s.state), s.at)
		}
		if s.retry {
			m.Retry()
		}
		if at, ok := m.Deadline(); s.want != "" != (ok && at <= s.at) {
			t.Errorf("at %v: Deadline() = %v, %v, want due: %v", s.at, at, ok, s.want != "")
		}
		if got := names(m.Tick(s.at)); got != s.want {
			t.Errorf("Tick(%v) = %q, want %q", s.at, got, s.want)
		}
	}
	if _, ok := m.Deadline(); ok {
		t.Error("a deadline although everything was written")
	}
}

// TestTimers_Flapping: a value that changes all the time is written all the same, after five times the dampening.
func TestTimers_Flapping(t *testing.T) {
	t.Parallel()
	var m Timers
	for second := range uint64(26) {
		m.Applied(state(map[string]uint64{"a": second + 1}), time.Duration(second)*time.Second)
		if got := names(m.Tick(time.Duration(second) * time.Second)); got != "" != (second == 25) {
			t.Fatalf("after %d s: %q", second, got)
		}
	}
}
