package editor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
)

const testCIB = `<cib validate-with="pacemaker-3.9" epoch="1" num_updates="2" admin_epoch="0"><configuration><crm_config>
<cluster_property_set id="cib-bootstrap-options"><nvpair id="f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/></nodes><resources><primitive id="a" class="ocf" provider="t" type="x"/></resources><constraints/></configuration><status/></cib>`

func newFile(t *testing.T) *File {
	t.Helper()
	b := &File{Path: filepath.Join(t.TempDir(), "cib.xml")}
	if err := os.WriteFile(b.Path, []byte(testCIB), 0o640); err != nil {
		t.Fatal(err)
	}
	return b
}

func setProperty(name, value string) func(*cib.Document) error {
	return func(d *cib.Document) error {
		cib.SetValue(&d.Config, &d.Config.Properties, cib.BootstrapSet, name, value)
		return nil
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	b := newFile(t)
	ctx := t.Context()
	if changed, err := Change(ctx, b, Options{}, setProperty("x", "1")); err != nil || !changed {
		t.Fatalf("Change() = %v, %v", changed, err)
	}
	if changed, err := Change(ctx, b, Options{}, setProperty("x", "1")); err != nil || changed {
		t.Errorf("the same again: Change() = %v, %v", changed, err)
	}
	snap, err := b.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := cib.Value(snap.Doc.Config.Properties, "x"); v != "1" || snap.Doc.Head.Epoch != 2 || snap.Doc.Head.NumUpdates != 0 {
		t.Errorf("x = %q, epoch %d.%d; want 1, 2.0", v, snap.Doc.Head.Epoch, snap.Doc.Head.NumUpdates)
	}
	own := errors.New("own")
	if _, err := Change(ctx, b, Options{}, func(*cib.Document) error { return own }); !errors.Is(err, own) {
		t.Errorf("an error of edit: %v", err)
	}
	_, err = Change(ctx, b, Options{}, func(d *cib.Document) error {
		d.Config.Constraints = append(d.Config.Constraints, cib.Constraint{Kind: cib.Location, ID: "l", Resource: "nosuch", Node: "n1", Score: "1"})
		return nil
	})
	var invalid *InvalidError
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("a reference to nothing: %v", err)
	}
}

// TestChange_Concurrent has another writer change the same value while edit runs: the edit is made again on what is
// there then.
func TestChange_Concurrent(t *testing.T) {
	t.Parallel()
	b := newFile(t)
	ctx := t.Context()
	runs := 0
	_, err := Change(ctx, b, Options{}, func(d *cib.Document) error {
		if runs++; runs == 1 {
			if _, err := Change(ctx, b, Options{}, setProperty("x", "theirs")); err != nil {
				t.Fatal(err)
			}
		}
		old, _ := cib.Value(d.Config.Properties, "x")
		return setProperty("x", old+"+mine")(d)
	})
	if err != nil || runs != 2 {
		t.Fatalf("Change: %v after %d runs, want 2", err, runs)
	}
	snap, _ := b.Load(ctx)
	if v, _ := cib.Value(snap.Doc.Config.Properties, "x"); v != "theirs+mine" {
		t.Errorf("x = %q", v)
	}
}

func TestFile_Commit(t *testing.T) {
	t.Parallel()
	b := newFile(t)
	ctx := t.Context()
	base, err := b.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mine := base.Doc.Clone()
	setProperty("x", "mine")(mine)
	changes := cib.Diff(base.Doc, mine)
	if _, err := Change(ctx, b, Options{}, setProperty("x", "theirs")); err != nil {
		t.Fatal(err)
	}
	var conflict *ConflictError
	if err := b.Commit(ctx, base, changes, Options{}); !errors.As(err, &conflict) || len(conflict.Objects) != 1 {
		t.Errorf("Commit: %v, want a conflict of one object", err)
	}
	if err := b.Replace(ctx, base, mine); err == nil {
		t.Error("Replace overwrote what somebody else wrote")
	}
	if err := b.Commit(ctx, base, changes, Options{Force: true}); err != nil {
		t.Errorf("with force: %v", err)
	}
	if st, err := os.Stat(b.Path); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640", st.Mode(), err)
	}
	if _, err := (&File{Path: t.TempDir()}).Load(ctx); err == nil {
		t.Error("a folder was read as a CIB")
	}
}
