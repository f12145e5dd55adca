package daemon

import (
	"runtime"
	"testing"
	"time"
)

func TestProcs(t *testing.T) {
	defer runtime.SetDefaultGOMAXPROCS()
	now := time.Now()
	p := procs{busy: now}
	step := func(inputs int, after time.Duration) int {
		now = now.Add(after)
		p.took(inputs, now)
		return runtime.GOMAXPROCS(0)
	}
	all := runtime.GOMAXPROCS(0)
	if got := step(1, time.Second); got != all {
		t.Fatalf("processors just after the start = %d, want %d", got, all)
	}
	for range 60 { // sixty heartbeats a second are little
		step(4, 66*time.Millisecond)
	}
	if got := step(1, 2*time.Second); got != 1 {
		t.Fatalf("processors of an idle node = %d, want 1", got)
	}
	for range procsMany - 2 {
		step(1, time.Microsecond)
	}
	if got := step(2, time.Microsecond); got != all {
		t.Fatalf("processors after %d inputs at once = %d, want %d", procsMany, got, all)
	}
	if got := step(1, procsLinger/2); got != all {
		t.Fatalf("processors soon after = %d, want %d", got, all)
	}
}
