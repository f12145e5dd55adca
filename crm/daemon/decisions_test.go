package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/server"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/policy"
)

const decisionCIB = `<cib have-quorum="1" validate-with="pacemaker-3.9"><configuration>
  <crm_config><cluster_property_set id="p"><nvpair id="p1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
  <nodes><node id="1" uname="alpha"/><node id="2" uname="beta"/></nodes>
  <resources><primitive id="web" class="ocf" provider="pacemaker" type="Dummy"/></resources>
  <constraints><rsc_location id="l" rsc="web" score="100"><rule id="r" score="100"><date_expression id="d" operation="lt" end="2026-01-01T00:00:01Z"/></rule></rsc_location></constraints>
</configuration><status>
  <node_state id="1" uname="alpha" in_ccm="true" crmd="online" join="member" expected="member"/>
  <node_state id="2" uname="beta" in_ccm="true" crmd="online" join="member" expected="member"/>
</status></cib>`

// madeDecision decides on a small document at a time between two seconds.
func madeDecision(t *testing.T, term, transition uint64) (controller.DecisionRecord, *policy.Decision) {
	t.Helper()
	doc, _, err := cibxml.Read([]byte(decisionCIB))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 999_000_000, time.UTC).Add(time.Duration(transition) * time.Minute)
	if transition == 1 {
		now = now.Add(-time.Minute)
	}
	d, err := policy.Decide(policy.Input{Document: doc, Now: now, Quorate: true})
	if err != nil {
		t.Fatal(err)
	}
	return controller.DecisionRecord{Term: term, Transition: transition, Index: 7, Now: now, Quorate: true, Document: doc, Decision: d,
		Actions: len(d.Graph.Synapses)}, d
}

func testDecisions(t *testing.T, dir string) *decisions {
	t.Helper()
	d := openDecisions(dir, "alpha", hclog.NewNullLogger())
	d.free = func() uint64 { return minFreeBytes }
	return d
}

// TestDecisions_Same checks that what is kept leads to the same decision, also after a restart.
func TestDecisions_Same(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "decisions")
	d := testDecisions(t, dir)
	rec, made := madeDecision(t, 5, 1)
	rec.Changes = []string{"Start web ( alpha )"}
	d.add(&rec)
	for _, when := range []string{"waiting", "kept", "after a restart"} {
		switch when {
		case "kept":
			d.write()
		case "after a restart":
			d = testDecisions(t, dir)
		}
		in, err := d.input("5.1")
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		doc, _, err := cibxml.Read(in.Document)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		again, err := policy.Decide(policy.Input{Document: doc, Now: in.Decision.Time, Quorate: in.Decision.Quorate})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if got, want := again.Graph.XML(), made.Graph.XML(); !bytes.Equal(got, want) {
			t.Errorf("%s: the decision is another one:\n%s\nwas\n%s", when, got, want)
		}
		if in.Decision.Changes[0] != "Start web ( alpha )" || in.Decision.Node != "alpha" || !in.Decision.Time.Equal(rec.Now) {
			t.Errorf("%s: %+v", when, in.Decision)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "5.1.xml.gz"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, want 0600 (%v)", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, want 0700 (%v)", info.Mode(), err)
	}
}

func TestDecisions_Overtaken(t *testing.T) {
	t.Parallel()
	d := testDecisions(t, t.TempDir())
	for i := uint64(2); i < 6; i++ {
		rec, _ := madeDecision(t, 1, i)
		if i != 3 {
			rec.Actions = 0
		}
		d.add(&rec)
	}
	d.write()
	var got []string
	for _, dec := range d.newest(0) {
		got = append(got, fmt.Sprintf("%s %v", dec.ID, dec.Kept))
	}
	if got, want := strings.Join(got, ", "), "1.5 true, 1.4 false, 1.3 true, 1.2 false"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	if list := d.newest(2); len(list) != 2 || list[0].ID != "1.5" {
		t.Errorf("newest(2) = %v", list)
	}
}

func TestDecisions_Bounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := testDecisions(t, dir)
	rec, _ := madeDecision(t, 1, 1)
	for i := range uint64(maxDecisions + 20) {
		rec.Transition = i + 1
		d.add(&rec)
		if i%10 == 9 {
			d.write()
		}
	}
	d.write()
	files, _ := os.ReadDir(dir)
	if len(files) != maxDecisions || len(d.newest(0)) != maxDecisions {
		t.Errorf("%d files and %d decisions, want %d", len(files), len(d.newest(0)), maxDecisions)
	}
	if _, err := d.input("1.20"); err == nil {
		t.Error("the oldest are still there")
	}
	d.mu.Lock()
	for id := range d.sizes {
		d.sizes[id] = maxDecisionBytes / 10
	}
	d.prune()
	kept := len(d.sizes)
	d.mu.Unlock()
	if files, _ := os.ReadDir(dir); kept != 10 || len(files) != 10 {
		t.Errorf("%d files and %d sizes, want 10", len(files), kept)
	}
	// Faster than they can be written: the oldest are dropped, the list knows them.
	for i := range uint64(decisionQueue + 5) {
		rec.Transition = 5000 + i
		d.add(&rec)
	}
	d.write()
	if _, err := d.input("1.5000"); err == nil || !strings.Contains(err.Error(), "not kept") {
		t.Errorf("input of a decision that was dropped: %v", err)
	}
	if _, err := d.input("1.5005"); err != nil {
		t.Error(err)
	}
}

// TestDecisions_Trouble checks that nothing that storage does wrong is an error of the node.
func TestDecisions_Trouble(t *testing.T) {
	t.Parallel()
	rec, _ := madeDecision(t, 1, 1)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := testDecisions(t, file) // a file where the folder should be
	d.add(&rec)
	d.write()
	var missing *server.NotFoundError
	if _, err := d.input("1.1"); !errors.As(err, &missing) {
		t.Errorf("input() = %v, want a NotFoundError", err)
	}

	dir := t.TempDir()
	d = testDecisions(t, dir)
	d.free = func() uint64 { return minFreeBytes - 1 }
	d.add(&rec)
	d.write()
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Error("a file was written on a disk that is nearly full")
	}
	d.free = func() uint64 { return minFreeBytes }
	rec.Transition, rec.Err, rec.Decision = 2, "the policy failed on this document", nil
	d.add(&rec)
	d.write()
	if in, err := d.input("1.2f"); err != nil || in.Decision.Error == "" {
		t.Errorf("the input of a decision that failed is not kept: %v", err)
	}
	rec.Transition, rec.Document = 3, nil // which cannot be written
	d.add(&rec)
	d.write()

	// Damaged and foreign files.
	whole, err := os.ReadFile(filepath.Join(dir, "1.2f.xml.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"9.1.xml.gz": whole, "9.2.xml.gz": nil, "9.3.xml.gz": []byte("text"), "9.4.xml.gz.new": whole, "1.7.xml.gz": whole[:20],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "1.2f.xml.gz"), whole[:len(whole)-12], 0o600); err != nil {
		t.Fatal(err)
	}
	d = testDecisions(t, dir)
	if files, _ := os.ReadDir(dir); len(files) != 1 || len(d.newest(0)) != 1 {
		t.Errorf("%d files and %d decisions, want the one with a good header", len(files), len(d.newest(0)))
	}
	if _, err := d.input("1.2f"); err == nil {
		t.Error("a file that was cut off is read without an error")
	}
}

// TestDecisions_Pause: a decision with something to do is written soon, one without waits for those that overtake it.
func TestDecisions_Pause(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := testDecisions(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go d.Run(ctx)
		kept := func() (ids []string) {
			synctest.Wait()
			for _, dec := range d.newest(0) {
				if dec.Kept {
					ids = append(ids, dec.ID)
				}
			}
			slices.Reverse(ids)
			return ids
		}
		rec, _ := madeDecision(t, 1, 1)
		for i, actions := range []int{0, 0, 3, 0, 0} {
			rec.Transition, rec.Actions = uint64(i+1), actions
			d.add(&rec)
			if time.Sleep(decisionPause / 2); i == 1 && len(kept()) != 0 {
				t.Errorf("written at once: %v", kept())
			}
		}
		if got := kept(); !slices.Contains(got, "1.3") {
			t.Errorf("written soon: %v, want the one with something to do", got)
		}
		time.Sleep(idlePause)
		if got := kept(); got[len(got)-1] != "1.5" || slices.Contains(got, "1.1") || slices.Contains(got, "1.2") {
			t.Errorf("written in the end: %v, want the last one and none that was overtaken", got)
		}
		cancel()
		synctest.Wait()
	})
}

func TestDecisions_Run(t *testing.T) {
	t.Parallel()
	d := testDecisions(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	rec, _ := madeDecision(t, 1, 1)
	d.add(&rec)
	cancel() // what waits is written all the same
	d.Run(ctx)
	if list := d.newest(0); len(list) != 1 || !list[0].Kept {
		t.Errorf("newest() = %+v", list)
	}
}

func TestDecisionHeader_Long(t *testing.T) {
	t.Parallel()
	lines := make([]string, 5000)
	for i := range lines {
		lines[i] = strings.Repeat("\x01", 300) // six bytes each as JSON
	}
	dec := api.Decision{Changes: shorten(lines), Error: strings.Repeat("<", maxChangeBytes/4)}
	extra, err := encodeDecision(dec)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := decodeDecision(extra); err != nil || back.Changes != nil || len(back.Error) != maxChangeBytes/4 {
		t.Errorf("decodeDecision() = %d bytes of error, %v", len(back.Error), err)
	}
	lines = lines[:10]
	for i := range lines {
		lines[i] = "Start web ( alpha )"
	}
	if got := shorten(lines); len(got) != 10 {
		t.Errorf("shorten() left %d of 10 lines", len(got))
	}
	if got := shorten(make([]string, 1000)); len(got) != maxChangesShown+1 || got[maxChangesShown] != "and 800 more" {
		t.Errorf("shorten() ends with %q", got[len(got)-1])
	}
}

func FuzzDecodeDecision(f *testing.F) {
	good, err := encodeDecision(api.Decision{ID: "1.1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("QR\xff\xff{}"))
	f.Add([]byte("AB\x01\x00xQR\x02\x00{}"))
	f.Fuzz(func(t *testing.T, extra []byte) {
		if d, err := decodeDecision(extra); err == nil {
			if again, err := encodeDecision(d); err == nil {
				if _, err := decodeDecision(again); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
