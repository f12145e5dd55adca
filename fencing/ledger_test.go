package fencing

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func must(t *testing.T, l Ledger, r Request) (Ledger, Verdict) {
	t.Helper()
	l, v, err := l.Request(r)
	if err != nil {
		t.Fatal(err)
	}
	return l, v
}

func off(id, target string, index uint64) Request {
	return Request{ID: id, Target: target, Action: Off, Term: 1, Index: index}
}

func TestLedger_MergesAndEnds(t *testing.T) {
	t.Parallel()
	var l Ledger
	l, v := must(t, l, off("a", "n1", 10))
	if v != (Verdict{Request: "a"}) {
		t.Errorf("first: %+v", v)
	}
	l, v = must(t, l, off("a", "n1", 10))
	if v != (Verdict{Request: "a"}) || len(l.Pending) != 1 {
		t.Errorf("told twice: %+v, %d pending", v, len(l.Pending))
	}
	l, v = must(t, l, off("b", "n1", 12))
	if v != (Verdict{Request: "a", Merged: true}) || len(l.Pending) != 1 {
		t.Errorf("same again: %+v, %d pending", v, len(l.Pending))
	}
	if l, v = must(t, l, off("b", "n1", 12)); !v.Merged || len(l.Pending[0].Joined) != 1 {
		t.Errorf("joined twice: %+v %v", v, l.Pending[0].Joined)
	}
	l, v = must(t, l, Request{ID: "c", Target: "n1", Action: On, Index: 12})
	if v.Merged || len(l.Pending) != 2 {
		t.Errorf("another action: %+v", v)
	}
	l, attempt, err := l.Assign("a", "n2")
	if err != nil || attempt != 1 {
		t.Fatalf("assign: %d %v", attempt, err)
	}
	l, r, ended := l.Finish(End{Request: "a", Attempt: 1, By: "n2", OK: true, Devices: []string{"d"}, Time: 5, Index: 20})
	if !ended || r.ID != "a" || !reflect.DeepEqual(r.Joined, []string{"b"}) {
		t.Errorf("end: %v %+v", ended, r)
	}
	// A decision that did not know of it needs nothing; a newer one does.
	if _, v = must(t, l, off("d", "n1", 19)); v.Done == nil || v.Done.By != "n2" || v.Request != "" {
		t.Errorf("old decision: %+v", v)
	}
	if _, v = must(t, l, off("e", "n1", 20)); v.Done != nil || v.Request != "e" {
		t.Errorf("new decision: %+v", v)
	}
	if _, v = must(t, l, Request{ID: "f", Target: "n1", Action: Reboot, Index: 19}); v.Done == nil {
		t.Error("an off does not serve for a reboot of an older decision")
	}
	if rec, ok := l.Confirmed("n1", 19); !ok || rec.Request != "a" {
		t.Errorf("Confirmed(19) = %+v %v", rec, ok)
	}
	if _, ok := l.Confirmed("n1", 20); ok {
		t.Error("Confirmed(20) finds what ended at 20")
	}
	if _, ok := l.Confirmed("n2", 0); ok {
		t.Error("Confirmed of another node")
	}
}

func TestLedger_Attempts(t *testing.T) {
	t.Parallel()
	var l Ledger
	l, _ = must(t, l, off("a", "n1", 10))
	l, _, _ = l.Assign("a", "n2")
	l = l.ExecutorLost("n2")
	if l.Pending[0].Executor != "" {
		t.Error("the lost executor keeps the request")
	}
	l, attempt, _ := l.Assign("a", "n3")
	if attempt != 2 {
		t.Errorf("attempt %d, want 2", attempt)
	}
	if _, _, ended := l.Finish(End{Request: "a", Attempt: 1, By: "n2", Index: 15}); ended {
		t.Error("a failure of an earlier attempt ended the request")
	}
	// Its success does: the target was off after the request.
	after, _, ended := l.Finish(End{Request: "a", Attempt: 1, By: "n2", OK: true, Index: 15})
	if _, ok := after.Confirmed("n1", 10); !ended || !ok {
		t.Errorf("a success of an earlier attempt: ended %v, confirmed %v", ended, ok)
	}
	// What comes after that is recorded once, and proves nothing.
	for range 2 {
		after, _, ended = after.Finish(End{Request: "a", Attempt: 2, By: "n3", Target: "n1", Action: Off, OK: true, Index: 30})
		if ended || len(after.History) != 2 || !after.History[1].Late {
			t.Errorf("late success: ended %v, history %+v", ended, after.History)
		}
	}
	if _, ok := after.Confirmed("n1", 20); ok {
		t.Error("a late answer counts as proof")
	}
	if _, v := must(t, after, off("z", "n1", 25)); v.Done != nil {
		t.Error("a late answer serves a decision that is newer than the fencing")
	}
	if got, _, _ := after.Finish(End{Request: "a", Attempt: 2, By: "n4", Target: "n1", Action: Off, Index: 31}); len(got.History) != 2 {
		t.Error("a late failure is remembered")
	}
	if _, _, err := l.Assign("nope", "n2"); !errors.Is(err, ErrUnknown) {
		t.Errorf("assign of nothing: %v", err)
	}
}

func TestLedger_TargetJoined(t *testing.T) {
	t.Parallel()
	var l Ledger
	l, _ = must(t, l, off("a", "n1", 10))
	l, _ = must(t, l, Request{ID: "on", Target: "n1", Action: On, Index: 10})
	l, _ = must(t, l, off("b", "n2", 10))
	l, _, _ = l.Assign("a", "n3")
	l, ended := l.TargetJoined("n1", 7, 30)
	if len(ended) != 1 || ended[0].ID != "a" || len(l.Pending) != 2 {
		t.Fatalf("ended %+v, pending %+v", ended, l.Pending)
	}
	l, _, _ = l.Finish(End{Request: "a", Attempt: 1, By: "n3", Target: "n1", Action: Off, OK: true, Index: 40})
	if _, ok := l.Confirmed("n1", 0); ok {
		t.Error("a fencing that may have been before the join counts as proof")
	}
	if _, v := must(t, l, off("c", "n1", 35)); v.Request != "c" || v.Done != nil {
		t.Errorf("request after the join: %+v", v)
	}
}

func TestLedger_Confirm(t *testing.T) {
	t.Parallel()
	var l Ledger
	l, _ = must(t, l, off("a", "n1", 10))
	l, ended, err := l.Confirm("n1", "root", 9, 20)
	if err != nil || len(ended) != 1 || len(l.Pending) != 0 {
		t.Fatalf("%v %v %v", ended, l.Pending, err)
	}
	rec, ok := l.Confirmed("n1", 19)
	if !ok || !rec.Manual || rec.Detail != "confirmed by root" {
		t.Errorf("record %+v", rec)
	}
	if _, _, err := l.Confirm("", "root", 9, 20); !errors.Is(err, ErrRequest) {
		t.Errorf("confirmation of nobody: %v", err)
	}
}

func TestLedger_SwitchedOnSince(t *testing.T) {
	t.Parallel()
	l := Ledger{History: []Record{{Target: "n1", Action: Off, OK: true, Index: 20}, {Target: "n1", Action: On, OK: true, Index: 25}}}
	if _, v := must(t, l, off("a", "n1", 15)); v.Done != nil {
		t.Error("a node that was switched on since counts as off")
	}
}

func TestLedger_Refuses(t *testing.T) {
	t.Parallel()
	var l Ledger
	for _, tt := range []struct {
		r    Request
		want string
	}{
		{Request{Target: "n1", Action: Off}, "the id has 0 bytes"},
		{Request{ID: "a", Action: Off}, "the node name is empty"},
		{Request{ID: "a", Target: "n 1", Action: Off}, "has ' ' at position 2"},
		{Request{ID: "a", Target: "n1", Action: "status"}, `"status" is no fencing action`},
	} {
		if _, _, err := l.Request(tt.r); !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want one with %q", tt.r, err, tt.want)
		}
	}
	for i := range MaxPending {
		l, _ = must(t, l, off(fmt.Sprint(i), fmt.Sprint("n", i), 1))
	}
	if _, _, err := l.Request(off("more", "more", 1)); !errors.Is(err, ErrRequest) {
		t.Errorf("more than the bound: %v", err)
	}
	l, _, _ = l.Finish(End{Request: "0", OK: true})
	for i := range MaxHistory + 5 {
		l, _, _ = l.Confirm("n1", "root", int64(i), uint64(i))
	}
	if len(l.History) != MaxHistory || l.History[MaxHistory-1].Ended != MaxHistory+4 {
		t.Errorf("%d records, newest %d", len(l.History), l.History[len(l.History)-1].Ended)
	}
}

func TestRequest_Order(t *testing.T) {
	t.Parallel()
	r := Request{ID: "a", Target: "n1", Action: Off, TimeoutMS: 1 << 62, DelayMS: -5, Attempt: 2}
	if o := r.Order(9); o != (Order{ID: "a/2", Target: "n1", Action: Off, Timeout: MaxTimeout, Delay: -1e6, Random: 9}) {
		t.Errorf("Order() = %+v", o)
	}
}

// Whatever happens in whatever order: methods never change their receiver, the ledger survives storing,
// a confirmation is proof only of a time in which the target had not joined again, and bounds hold.
func TestLedger_Properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var l Ledger
		index := uint64(0)
		joined := map[string]uint64{}    // target -> index of its last join
		requested := map[string]uint64{} // request -> index at which it was taken
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			index++
			before, _ := json.Marshal(l)
			old := l
			target := rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "target")
			node := rapid.SampledFrom([]string{"n3", "n4"}).Draw(t, "node")
			id := fmt.Sprint(rapid.IntRange(0, i).Draw(t, "id"))
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				decided := uint64(rapid.IntRange(0, int(index)).Draw(t, "decided"))
				var v Verdict
				var err error
				l, v, err = l.Request(Request{ID: fmt.Sprint(i), Target: target, Action: rapid.SampledFrom([]Action{Off, Reboot, On}).Draw(t, "action"), Index: decided})
				if err != nil {
					t.Fatal(err)
				}
				if _, known := requested[v.Request]; !known {
					requested[v.Request] = index
				}
				if v.Done != nil && (!v.Done.Confirms() || v.Done.Late || v.Done.Index <= decided) {
					t.Fatalf("done by %+v for a decision at %d", *v.Done, decided)
				}
			case 1:
				l, _, _ = l.Assign(id, node)
			case 2:
				l = l.ExecutorLost(node)
			case 3:
				var ended bool
				var r Request
				l, r, ended = l.Finish(End{Request: id, Attempt: rapid.IntRange(0, 3).Draw(t, "attempt"), By: node, Target: target, Action: Off,
					OK: rapid.Bool().Draw(t, "ok"), Index: index})
				if rec, ok := l.Confirmed(r.Target, index-1); ended && ok && requested[r.ID] < joined[r.Target] {
					t.Fatalf("%+v is proof, but the target joined at %d after the request at %d", rec, joined[r.Target], requested[r.ID])
				}
			case 4:
				l, _ = l.TargetJoined(target, 0, index)
				joined[target] = index
			case 5:
				l, _, _ = l.Confirm(target, "root", 0, index)
			}
			if after, _ := json.Marshal(old); string(after) != string(before) {
				t.Fatalf("the receiver changed:\n%s\n%s", before, after)
			}
			b, _ := json.Marshal(l)
			var back Ledger
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(back); string(again) != string(b) {
				t.Fatalf("stored and read back it differs:\n%s\n%s", b, again)
			}
		}
	})
}
